"""The trained models of the package, and how a run is found by its path or name.

Each lies in pixelcnn_aux/zoo, as the folder of a run without checkpoints:

    NAME/config.json                  the description of the run and of its model
    NAME/card.json                    the facts that `pretrained` returns
    NAME/FACTOR/average.safetensors   its weights, in 16 bits, or 8 where they are whole, with a checksum
    NAME/FACTOR/training.json         how it was trained last
    NAME/FACTOR/metrics.csv           its learning curve, of all its trainings one after another

`pixelcnn-aux models` lists them.
"""

import pathlib
from typing import Any

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.runs import hub
from pixelcnn_aux.runs.folder import RunFolder

FOLDER = pathlib.Path(__file__).parents[1] / "zoo"
# What programs read if they are given no workdir and there is no run.
DEFAULT = "cifar10-pyramid"


def pretrained() -> dict[str, dict[str, Any]]:
    """The models that `load`, and --workdir of every program that reads a run, take by name.

    Returns:
      dict, name -> dict: its "purpose"; "bits_per_dim" with its "std_error", on "num_images" images of the
      split "split"; "data", the images that it was trained on, with their "license"; "seconds" of training,
      on "machine", by "command"; "fingerprint", by which files that it compressed know it; and "bytes", the
      size of its files.

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
    """What is known of the model in a folder, by its card, in lines; empty for one without a card here."""
    if folder.parent != FOLDER:
        return ()
    bits = "{}: {bits_per_dim:.3f} bits per dimension of {num_images:,} {split} images"
    return (bits.format(folder.name, **disk.read_dict(folder / "card.json", "a card")),)


def find(path: PathLike) -> pathlib.Path:
    """The folder of a run, given its path, or the name of a trained model or of a repository on the Hub.

    Raises FileNotFoundError if it is none of these; for a repository as `hub.download`.
    """
    if hub.is_name(path):
        return hub.download(path)
    path = arguments.path("the folder of a run, or the name of a trained model", path)
    start, folder = f"{path!s:.200}", FOLDER / path
    with disk.explained(f"the folder of a run, or the name of a trained model: {start}"):
        is_name = len(path.parts) == 1 and (folder / "card.json").exists()
        # Exports and evaluations of a trained model lie in folders of its name that are no runs.
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
    """The folder of the newest run under runs/, or of the model `DEFAULT` if there is none."""
    run = RunFolder.newest()
    return run.path if run else find(DEFAULT)


def outputs(folder: pathlib.Path) -> pathlib.Path:
    """The folder for evaluations of the run in a folder: the run's own, but runs/NAME for trained models.

    Trained models are those of the package and of the Hub. Raises ValueError if runs/NAME is a run.
    """
    if FOLDER not in folder.absolute().parents and hub.in_cache(folder) is None:
        return folder
    name = RunFolder(folder).name
    beside = RunFolder.RUNS / name
    expected = f"{beside} to be for what is found out about the trained model {name}"
    expect(not RunFolder(beside).is_run(), expected, "a run", "Give that another name")
    return beside
