"""The program `pixelcnn-aux sample`: python -m evaluate.samples."""

from pixelcnn_aux.commands import sample
from pixelcnn_aux.programs import program

if __name__ == "__main__":
    program.start(sample)
