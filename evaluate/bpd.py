"""The program `pixelcnn-aux bpd`: python -m evaluate.bpd."""

from pixelcnn_aux.commands import bpd, program

if __name__ == "__main__":
    program.start(bpd)
