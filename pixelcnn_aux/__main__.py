"""The programs of the package as sub-commands of `pixelcnn-aux`, which is `python -m pixelcnn_aux`."""

import importlib
import sys

import pixelcnn_aux
from pixelcnn_aux.commands import process

# Each sub-command, a module of `pixelcnn_aux.commands`, and its line of --help.
COMMANDS = {
    "train": "train a model on images, or a trained one on others",
    "bpd": "bits per dimension of a data set, beside PNG and WebP",
    "score": "bits per dimension of image files, a row of a table for each",
    "sample": "draw images, or redraw test images from what is kept of them",
    "color": "color gray photographs of any size",
    "enlarge": "enlarge photographs of any size",
    "complete": "draw the unknown part of photographs of any size",
    "classify": "classify images by a model of classes",
    "scores": "tell images that do not belong from those that do",
    "information": "information of noisy measurements about images",
    "curves": "plot the learning curves of runs",
    "tour": "try the trained models on photographs, in two minutes",
    "export": "write a SavedModel for TensorFlow Serving",
    "client": "images and likelihoods of a model that TensorFlow Serving serves",
    "codec": "compress pictures without loss, and decompress them",
    "demo": "try the models on a page in the browser, on this machine alone",
    "models": "list the trained models that come with the package",
    "docs": "list the pages of the documentation, or print some",
}
SYNONYMS = {"upscale": "enlarge", "inpaint": "complete", "compress": "codec", "evaluate": "bpd"}


def main():
    """The command `pixelcnn-aux`."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    process.begin()
    # After `begin`: absl, which it imports, keeps the streams that it finds.
    from pixelcnn_aux.commands import program

    typed = program.typed()
    if name in ("--help", "-h"):
        print(f"{typed} COMMAND ...: PixelCNN models with auxiliary variables.\n")
        for command, text in COMMANDS.items():
            print(f"  {command:13}{text}")
        print(f"\n{typed} COMMAND --help explains a command and its flags.")
    elif name == "--version":
        print(f"pixelcnn-aux {pixelcnn_aux.__version__}")
    elif name not in COMMANDS:
        from pixelcnn_aux.base.errors import did_you_mean

        received = "none" if name is None else repr(name)
        remedy = f"Give one of them first; {typed} --help lists them"
        remedy = did_you_mean(SYNONYMS.get(name, name), COMMANDS, remedy)
        sys.exit(f"Expected one of {', '.join(COMMANDS)}. Received: {received}. {remedy}.")
    else:
        del sys.argv[1]
        module = importlib.import_module(f"pixelcnn_aux.commands.{name}")
        program.start(module, f"{typed} {name}")


if __name__ == "__main__":
    main()
