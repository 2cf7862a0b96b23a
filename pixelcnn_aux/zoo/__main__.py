"""Lists the trained models of the package: python -m pixelcnn_aux.zoo."""

from pixelcnn_aux import zoo
from pixelcnn_aux.programs import process, program


def main():
    for name, card in zoo.pretrained().items():
        print(name)
        for key, value in card.items():
            print(f"    {key:13} {value:,}" if key == "bytes" else f"    {key:13} {value}")


if __name__ == "__main__":
    process.begin()
    program.run(main)
