"""The program `pixelcnn-aux train pixelcnn`: python -m train.pixelcnn."""

from pixelcnn_aux.commands import train

if __name__ == "__main__":
    train.start("pixelcnn")
