"""The package's trained models, and resolution of runs by path or name.

Each is a folder in pixelcnn_aux/zoo, a run without checkpoints:

    NAME/config.json                  description of the run and its model
    NAME/card.json                    the facts that `pretrained` returns
    NAME/FACTOR/average.safetensors   weights in 16 bits, or 8 for whole numbers, with a checksum
    NAME/FACTOR/training.json         settings of the last training
    NAME/FACTOR/metrics.csv           learning curve over all trainings

`pixelcnn-aux models` lists them.
"""

import pathlib
from typing import Any

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.run_files import hub
from pixelcnn_aux.run_files.folder import RunFolder

FOLDER = pathlib.Path(__file__).parents[1] / "zoo"
# The model that programs read without --workdir if there is no run.
DEFAULT = "cifar10-pyramid"


def pretrained() -> dict[str, dict[str, Any]]:
    """Lists the models that `load`, and --workdir of programs that read a run, accept by name.

    Returns:
      dict, name -> dict: its "purpose"; "bits_per_dim" with its "std_error", on "num_images" images of the
      split "split"; "data", its training images, with their "license"; "seconds" of training, on "machine",
      by "command"; "fingerprint", which identifies it in compressed files; and "bytes", the size of its
      files.

    Raises:
      OSError: for a card that cannot be read.
      ValueError: for a damaged card.
    """
    return {
        card.parent.name: {
            **disk.read_dict(card, "a trained model's card"),
            "bytes": sum(file.stat().st_size for file in card.parent.rglob("*") if file.is_file()),
        }
        for card in sorted(FOLDER.glob("*/card.json"))
    }


def notes(folder: pathlib.Path) -> tuple[str, ...]:
    """Lines about the model in a folder, from its card; empty for folders outside the package."""
    if folder.parent != FOLDER:
        return ()
    bits = "{}: {bits_per_dim:.3f} bits per dimension of {num_images:,} {split} images"
    return (bits.format(folder.name, **disk.read_dict(folder / "card.json", "a card")),)


def find(path: PathLike) -> pathlib.Path:
    """Finds a run's folder by its path, or by the name of a trained model or a Hub repository.

    Raises FileNotFoundError if it is none of these, and for a repository as `hub.download`.
    """
    if hub.is_name(path):
        return hub.download(path)
    path = arguments.path("the folder of a run, or the name of a trained model", path)
    start, folder = f"{path!s:.200}", FOLDER / path
    with disk.explained(f"the folder of a run, or the name of a trained model: {start}"):
        is_name = len(path.parts) == 1 and (folder / "card.json").exists()
        # Folders of a trained model's name may have its exports and evaluations, without a run.
        if path.exists() and (RunFolder(path).is_run() or not is_name):
            return path
    if not is_name:
        names, runs = pretrained(), RunFolder.RUNS.glob("*/config.json")
        remedy = "Give one of these, or train first, by pa.train or pixelcnn-aux train"
        remedy = did_you_mean(start, [*names, *(str(file.parent) for file in runs)], remedy)
        expected = f"the folder of a run, or the name of a trained model: {', '.join(names)}"
        expect(False, expected, start, remedy, kind=FileNotFoundError)
    return folder


def newest() -> pathlib.Path:
    """Folder of the newest run under runs/, or of the model `DEFAULT` if there is none."""
    run = RunFolder.newest()
    return run.path if run else find(DEFAULT)


def outputs(folder: pathlib.Path) -> pathlib.Path:
    """Folder for a run's evaluations: its own, or runs/NAME for trained models of the package and the Hub.

    Raises ValueError if runs/NAME is a run.
    """
    if FOLDER not in folder.absolute().parents and hub.in_cache(folder) is None:
        return folder
    name = RunFolder(folder).name
    beside = RunFolder.RUNS / name
    expected = f"{beside} to be free for evaluations of the trained model {name}"
    expect(not RunFolder(beside).is_run(), expected, "a run", "Rename that")
    return beside
