"""The program `pixelcnn-aux classify`: python -m evaluate.classify."""

from pixelcnn_aux.commands import classify, program

if __name__ == "__main__":
    program.start(classify)
