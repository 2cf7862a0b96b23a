"""Lists the trained models that come with the package, which --workdir of other commands takes by name."""

from pixelcnn_aux import zoo


def main():
    for name, card in zoo.pretrained().items():
        print(name)
        for key, value in card.items():
            print(f"    {key:13} {value:,}" if key == "bytes" else f"    {key:13} {value}")


def define_flags():
    """It has no flags of its own."""
