"""Lists the trained models of the package: their bits per dimension, training images and training.

--workdir of the other commands takes their names, and so does `pixelcnn_aux.load`.
"""

from pixelcnn_aux.runs import trained


def main():
    for name, card in trained.pretrained().items():
        print(name)
        for key, value in card.items():
            print(f"    {key:13} {value:,}" if key == "bytes" else f"    {key:13} {value}")


def define_flags():
    """It has no flags of its own."""
