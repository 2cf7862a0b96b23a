"""The program `pixelcnn-aux information`: python -m evaluate.information."""

from pixelcnn_aux.commands import information, program

if __name__ == "__main__":
    program.start(information)
