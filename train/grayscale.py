"""The program `pixelcnn-aux train grayscale`: python -m train.grayscale."""

from pixelcnn_aux.commands import train

if __name__ == "__main__":
    train.start("grayscale")
