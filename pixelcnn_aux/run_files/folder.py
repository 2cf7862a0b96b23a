"""Folder of a training run: the model's description and each factor's files.

    W/config.json                   description of the run and its model
    W/FACTOR/training.json          settings of the factor's training
    W/FACTOR/average.safetensors    averaged weights, for evaluation, samples and exports
    W/FACTOR/best.safetensors       averaged weights of the epoch with the best validation
    W/FACTOR/checkpoints/           training state to resume from
    W/FACTOR/metrics.csv            metrics of each epoch
    W/FACTOR/logs/                  the same for TensorBoard, and traces of --profile
    W/FACTOR/samples/               images drawn during training

Training a factor touches only its own folder, so several can train in one workdir at once. Methods raise
OSError as `disk.explained`.
"""

import contextlib
import math
import os
import pathlib

from absl import logging

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.run_files import hub, tensors

_CONFIG = "config.json"
_AVERAGE, _BEST = "average.safetensors", "best.safetensors"


class RunFolder:
    """A run's folder, which need not exist; `folder[name]` is a factor's `FactorFolder`.

    `name` is the last part of the absolute `path`, without following links; in the Hub's cache, where that is
    a commit, the repository's OWNER--NAME. Raises ValueError as `arguments.path`.
    """

    RUNS = pathlib.Path("runs")  # where programs create runs

    def __init__(self, path):
        self.path = arguments.path("the folder of a run", path)
        self.name = hub.in_cache(self.path) or os.path.basename(os.path.abspath(self.path))
        self.config_file = self.path / _CONFIG

    def __str__(self):
        return str(self.path)

    def __getitem__(self, name):
        return FactorFolder(self, name)

    def is_run(self):
        """Whether training made the folder."""
        return disk.exists(self.config_file)

    def create(self, config):
        """Creates the folder for the run described by `config`; ValueError if it belongs to another run."""
        with disk.explained(f"to read the folder {self}"):
            # Another process may be writing the same files.
            ours = (_CONFIG, disk.ASIDE)
            is_ours = self.path.is_dir() and all(x.startswith(ours) for x in os.listdir(self.path))
            # Checked last: another process writes the config before any other files.
            fits = not self.path.exists() or is_ours or self.config_file.exists()
        expected = "an empty or new folder, or one of an earlier run"
        expect(fits, expected, f"{self}, which holds other things", "Choose another --workdir")
        disk.write_or_agree(self.config_file, config)

    def config(self):
        """Reads the dict that `create` wrote. Raises FileNotFoundError, and ValueError for a damaged file."""
        expected = f"a workdir that training made, with a {_CONFIG} in it"
        remedy = "Train first, by pa.train or pixelcnn-aux train"
        expect(self.is_run(), expected, self, remedy, kind=FileNotFoundError)
        config = disk.read_dict(self.config_file, "the description of a run", "model")
        for key in ("dataset", "image_dir", "image_file", "labels"):
            value = config.get(key)
            expected = f"{key} in {self.config_file} as text or null"
            fits = isinstance(value, (str, type(None)))
            expect(fits, expected, arguments.short_repr(value), "Correct it")
        return config

    def shared_config(self):
        """`config` without this machine's paths, for publication."""
        paths = ("image_dir", "image_file", "labels")
        return {key: None if key in paths else value for key, value in self.config().items()}

    def save_model(self, model, **settings):
        """Creates the folder with a model's description, these settings, and all factors' weights."""
        self.create({**settings, "model": model.description()})
        for name, factor in model.factors.items():
            self[name].save_weights(factor)

    @classmethod
    def newest(cls):
        """The most recently written run under `runs/`; None if there is none."""

        def last_written(run):
            times = [-math.inf]
            for name in (_CONFIG, f"*/{_AVERAGE}", f"*/{_BEST}"):
                for file in run.path.glob(name):
                    with contextlib.suppress(FileNotFoundError):  # just removed
                        times.append(file.stat().st_mtime)
            return max(times)

        runs = [cls(file.parent) for file in cls.RUNS.glob(f"*/{_CONFIG}")]
        return max(runs, key=last_written, default=None)


class FactorFolder:
    """A factor's folder within a run; attributes are the paths of its files."""

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.path = path = run.path / name
        self.training, self.metrics = path / "training.json", path / "metrics.csv"
        self.weights, self.best = path / _AVERAGE, path / _BEST
        self.checkpoints, self.logs = path / "checkpoints", path / "logs"
        self.samples = path / "samples"

    @contextlib.contextmanager
    def lock(self):
        """Context that locks the folder and removes unfinished files; RuntimeError if it is locked."""
        for folder in (self.path, self.checkpoints):
            with disk.explained(f"a folder {folder}"):
                folder.mkdir(parents=True, exist_ok=True)

        def refuse():
            raise RuntimeError(
                f"Expected to be alone in training factor {self.name!r} in {self.run}. Received: another "
                "process doing so. Wait for it, or choose another --factor or --workdir."
            ) from None

        self._check_version()
        with disk.locked(self.path / "lock", refuse):
            disk.remove_unfinished(self.path, "**/")
            yield

    def record_training(self, settings):
        """Writes the training settings. Raises ValueError if different ones were recorded before."""
        disk.write_or_agree(self.training, settings, f"{self.name}.")

    def recorded_training(self):
        """Reads the recorded settings; None before training. Raises ValueError for a damaged file."""
        return disk.read_dict(self.training, "settings") if disk.exists(self.training) else None

    def shared_training(self):
        """`recorded_training` with the name instead of the path of its initial run, for publication."""
        settings = self.recorded_training()
        if settings and settings.get("init"):
            settings["init"] = RunFolder(settings["init"]).name
        return settings

    def save_weights(self, factor):
        """Writes the averaged weights of a `Factor`."""
        with disk.explained(f"a folder {self.path}"):
            self.path.mkdir(exist_ok=True)
        tensors.save_weights(self.weights, factor)

    def save_if_best(self, factor, step, val_bits_per_dim):
        """Writes the averaged weights after a step as the best, unless an earlier step was as good.

        Weights of a later step are replaced, as a resumed run takes that step again.
        """
        best = {}
        try:
            if disk.exists(self.best):
                best = tensors.notes(self.best)
        except ValueError as error:
            damage = f"Received: a damaged file ({error}). Those of step {step} replace it."
            logging.warning("Expected the best weights so far in %s. %s", self.best, damage)
        is_earlier = best.get("step", step) < step
        if not is_earlier or best.get("val_bits_per_dim", math.inf) > val_bits_per_dim:
            tensors.save_weights(self.best, factor, step=step, val_bits_per_dim=val_bits_per_dim)

    def read_weights(self, identity, best=False, then=lambda arrays: arrays):
        """Reads the averaged weights, or the best of them; returns None for an untrained factor.

        `identity` is that of `tensors`; the function `then` converts the arrays, and may raise ValueError.
        Raises ValueError for weights that are damaged, of another factor, not finite, or of an old format.
        """
        file = self.best if best else self.weights
        if not disk.exists(file):
            expect(
                not (best and disk.exists(self.weights)),
                f"the best weights of factor {self.name!r} in {file}",
                "no such file, as in models of the package, and runs of earlier versions or imported weights",
                "Load the last ones, without best",
            )
            self._check_version()
            return None
        remedy = "Restore it: there is no checkpoint to write it again from"
        if best:
            remedy = "Load the last ones, without best"
        elif any(self.checkpoints.glob("*.safetensors")):
            remedy = "Run training again, which rewrites it from its last checkpoint"
        received = "a file that is damaged or of another factor"
        with restated(f"the weights of factor {self.name!r} in {file}", received, remedy):
            return then(tensors.read_weights(file, identity))

    def _check_version(self):
        """Raises ValueError for files in formats of earlier versions."""
        patterns = ("*.weights.h5", "checkpoints/step-*.npz")
        file = next((file for pattern in patterns for file in self.path.glob(pattern)), None)
        expected = f"weights and checkpoints of factor {self.name!r} as .safetensors"
        remedy = "Train again in another folder, or use that version"
        expect(file is None, expected, f"{file}, of an earlier version", remedy)
