"""The folder of a training run: the description of the model, and each factor's weights.

    W/config.json                   the description of the run and of its model
    W/FACTOR/training.json          how the factor is trained
    W/FACTOR/average.safetensors    the averaged weights: for evaluation, samples and exports
    W/FACTOR/best.safetensors       those of the epoch that was the best by validation
    W/FACTOR/checkpoints/           the state from which training resumes
    W/FACTOR/metrics.csv            metrics of each epoch
    W/FACTOR/logs/                  the same for TensorBoard, and traces of --profile
    W/FACTOR/samples/               images drawn during training

A factor touches only its own folder, so that several may train in one workdir at once. Methods raise OSError
as `disk.explained`.
"""

import contextlib
import math
import os
import pathlib

from absl import logging

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.runs import hub, tensors

_CONFIG = "config.json"
_AVERAGE, _BEST = "average.safetensors", "best.safetensors"


class RunFolder:
    """The folder of a run, which may exist or not; `folder[name]` is the `FactorFolder` of a factor.

    Its `name` is the last part of its `path`, links not followed, and never ".."; in the Hub's cache, where
    that is a commit, OWNER--NAME of the repository. Raises ValueError as `arguments.path`.
    """

    RUNS = pathlib.Path("runs")  # where programs leave runs

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
        """Makes it the folder of the run that a dict describes; ValueError if it is that of another."""
        with disk.explained(f"to read the folder {self}"):
            # Another process may be just about to write the same files.
            ours = (_CONFIG, disk.ASIDE)
            is_ours = self.path.is_dir() and all(x.startswith(ours) for x in os.listdir(self.path))
            # Asked last: another process writes it before it makes other files.
            fits = not self.path.exists() or is_ours or self.config_file.exists()
        expected = "an empty or new folder, or one of an earlier run"
        expect(fits, expected, f"{self}, which holds other things", "Choose another --workdir")
        disk.write_or_agree(self.config_file, config)

    def config(self):
        """The dict that `create` was given. Raises FileNotFoundError, and ValueError for a damaged one."""
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
        """`config` without paths of this machine, for others."""
        paths = ("image_dir", "image_file", "labels")
        return {key: None if key in paths else value for key, value in self.config().items()}

    def save_model(self, model, **settings):
        """Makes it the folder of a model and these settings, with the weights of all factors."""
        self.create({**settings, "model": model.description()})
        for name, factor in model.factors.items():
            self[name].save_weights(factor)

    @classmethod
    def newest(cls):
        """The run under `runs/` that training wrote to last; None if there is none."""

        def last_written(run):
            times = [-math.inf]
            for name in (_CONFIG, f"*/{_AVERAGE}", f"*/{_BEST}"):
                for file in run.path.glob(name):
                    with contextlib.suppress(FileNotFoundError):  # it was just removed
                        times.append(file.stat().st_mtime)
            return max(times)

        runs = [cls(file.parent) for file in cls.RUNS.glob(f"*/{_CONFIG}")]
        return max(runs, key=last_written, default=None)


class FactorFolder:
    """The folder of a factor in that of a run; its attributes are the files in it."""

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.path = path = run.path / name
        self.training, self.metrics = path / "training.json", path / "metrics.csv"
        self.weights, self.best = path / _AVERAGE, path / _BEST
        self.checkpoints, self.logs = path / "checkpoints", path / "logs"
        self.samples = path / "samples"

    @contextlib.contextmanager
    def lock(self):
        """Holds the folder, cleaned of unfinished files; RuntimeError if another process holds it."""
        for made in (self.path, self.checkpoints):
            with disk.explained(f"a folder {made}"):
                made.mkdir(parents=True, exist_ok=True)

        def refuse():
            raise RuntimeError(
                f"Expected to be alone in training factor {self.name!r} in {self.run}. Received: another "
                "process at it. Wait for it, or choose another --factor or --workdir."
            ) from None

        self._check_version()
        with disk.locked(self.path / "lock", refuse):
            with disk.explained(f"to write {self.path}"):
                # What killed processes left.
                for aside in self.path.rglob(f"{disk.ASIDE}*"):
                    if not aside.is_dir():  # someone else's
                        aside.unlink()
            yield

    def record_training(self, settings):
        """Writes how the factor is trained. Raises ValueError if it was trained otherwise before."""
        disk.write_or_agree(self.training, settings, f"{self.name}.")

    def recorded_training(self):
        """What `record_training` wrote; None before training. Raises ValueError for a damaged file."""
        return disk.read_dict(self.training, "settings") if disk.exists(self.training) else None

    def shared_training(self):
        """`recorded_training` without the path of the run that it began with, for others."""
        recorded = self.recorded_training()
        if recorded and recorded.get("init"):
            recorded["init"] = RunFolder(recorded["init"]).name
        return recorded

    def save_weights(self, factor):
        """Writes the averaged weights of a `Factor`."""
        with disk.explained(f"a folder {self.path}"):
            self.path.mkdir(exist_ok=True)
        tensors.save_weights(self.weights, factor)

    def save_if_best(self, factor, step, val_bits_per_dim):
        """Writes the averaged weights after a step as the best, unless those of an earlier step are as good.

        Those of a later step are replaced: a run that resumes takes that step again.
        """
        kept = {}
        try:
            if disk.exists(self.best):
                kept = tensors.notes(self.best)
        except ValueError as error:
            damage = f"Received: a damaged file ({error}). Those of step {step} take its place."
            logging.warning("Expected the best weights so far in %s. %s", self.best, damage)
        is_earlier = kept.get("step", step) < step
        if not is_earlier or kept.get("val_bits_per_dim", math.inf) > val_bits_per_dim:
            tensors.save_weights(self.best, factor, step=step, val_bits_per_dim=val_bits_per_dim)

    def read_weights(self, identity, best=False, then=lambda arrays: arrays):
        """The averaged weights of a factor, or the best of them; None if it is not trained yet.

        `identity` is that of `tensors`; the function `then` takes the arrays, and may raise ValueError.
        Raises ValueError for a file that is damaged, of another factor, not finite or of an earlier version.
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
        remedy = "Restore it: there is no checkpoint from which training would write it anew"
        if best:
            remedy = "Load the last ones, without best"
        elif any(self.checkpoints.glob("*.safetensors")):
            remedy = "Run training again, which writes it anew from its last checkpoint"
        received = "a file that is damaged or of another factor"
        with restated(f"the weights of factor {self.name!r} in {file}", received, remedy):
            return then(tensors.read_weights(file, identity))

    def _check_version(self):
        """Raises ValueError for the files of an earlier version, in other formats."""
        patterns = ("*.weights.h5", "checkpoints/step-*.npz")
        found = [file for pattern in patterns for file in self.path.glob(pattern)]
        expected = f"weights and checkpoints of factor {self.name!r} as .safetensors"
        received = f"{[*found, None][0]}, of an earlier version"
        expect(not found, expected, received, "Train again in another folder, or use that version")
