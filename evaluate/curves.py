"""The program `pixelcnn-aux curves`: python -m evaluate.curves."""

from pixelcnn_aux.commands import curves, program

if __name__ == "__main__":
    program.start(curves)
