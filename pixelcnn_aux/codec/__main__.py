"""The program `pixelcnn-aux codec`: python -m pixelcnn_aux.codec."""

from pixelcnn_aux.commands import process

if __name__ == "__main__":
    process.begin()

    from pixelcnn_aux.commands import codec, program

    program.start(codec)
