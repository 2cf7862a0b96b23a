"""The command `pixelcnn-aux export`: python -m pixelcnn_aux.export."""

from pixelcnn_aux.commands import process

if __name__ == "__main__":
    process.begin()
    from pixelcnn_aux.commands import export, program

    program.start(export)
