"""The program `pixelcnn-aux sample`: python -m evaluate.samples."""

from pixelcnn_aux.commands import program, sample

if __name__ == "__main__":
    program.start(sample)
