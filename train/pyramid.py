"""The program `pixelcnn-aux train pyramid`: python -m train.pyramid."""

from pixelcnn_aux.commands import train

if __name__ == "__main__":
    train.start("pyramid")
