"""The folder that a training run leaves: what was trained, and each factor's averaged weights.

    W/config.json                   the description of the run and of its model
    W/FACTOR/training.json          how the factor is trained
    W/FACTOR/average.safetensors    the weights that evaluation, samples and exports use
    W/FACTOR/best.safetensors       those of the epoch that was the best by validation
    W/FACTOR/checkpoints/           what training needs to go on
    W/FACTOR/metrics.csv            its figures, epoch by epoch
    W/FACTOR/logs/                  the same for TensorBoard, and traces of --profile
    W/FACTOR/samples/               images drawn as training went on

A factor touches only its own folder, so that several may train on one workdir at once.
"""

import contextlib
import math
import os
import pathlib

from absl import logging

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk, records, tensors, weight_files

_CONFIG = "config.json"
_AVERAGE, _BEST = "average.safetensors", "best.safetensors"


class RunFolder:
    """The folder of a run, which may be there or not; `folder[name]` is the `FactorFolder` of a factor.

    Args:
      path: str or `pathlib.Path`.

    Attributes:
      path: `pathlib.Path`.
      name: str, the last part of the path, links not followed, and never "..".

    Raises:
      ValueError: if `path` is no path, or has bytes that are no UTF-8, which TensorFlow cannot write to.
    """

    RUNS = pathlib.Path("runs")  # where programs leave runs

    def __init__(self, path):
        self.path = arguments.path("the folder of a run", path)
        self.name = os.path.basename(os.path.abspath(self.path))

    def __str__(self):
        return str(self.path)

    def __getitem__(self, name):
        return FactorFolder(self, name)

    @property
    def config_file(self):
        """The description of the run: present in the folder of any run."""
        return self.path / _CONFIG

    def is_run(self):
        """Whether training made the folder. Raises OSError as `disk.explained`."""
        with disk.explained(f"to read {self.config_file}"):
            return self.config_file.is_file()

    def create(self, config):
        """Makes the folder that of the run that `config` describes, or finds that it is already.

        Args:
          config: dict that JSON can hold.

        Raises:
          OSError: as `disk.explained`.
          ValueError: if the folder is that of another run, or holds other things; nothing is changed.
        """
        with disk.explained(f"to read the folder {self}"):
            is_ours = self.path.is_dir() and all(map(_is_ours, self.path.iterdir()))
            # Asked last: a process beside this one writes it before it makes what is not ours.
            if self.path.exists() and not is_ours and not self.config_file.exists():
                raise ValueError(
                    "Expected an empty or new folder, or one of an earlier run. Received: "
                    f"{self}, which holds other things. Choose another --workdir."
                )
        records.write_or_agree(self.config_file, config)

    def config(self):
        """The dict that `create` was given.

        Raises:
          FileNotFoundError: if this is no run.
          OSError: as `disk.explained`.
          ValueError: if the description is damaged.
        """
        if not self.is_run():
            raise FileNotFoundError(
                f"Expected a workdir that training made, with a {_CONFIG} in it. Received: {self}. "
                "Train first, by pa.train, or in a checkout by python -m train.grayscale."
            )
        config = records.read_dict(self.config_file, "the description of a run", "model")
        for key in ("dataset", "image_dir", "image_file"):
            if not isinstance(config.get(key), (str, type(None))):
                raise ValueError(
                    f"Expected {key} in {self.config_file} as text or null. Received: "
                    f"{arguments.shown(config[key])}. Correct it."
                )
        return config

    def save_model(self, model, **settings):
        """Makes it the folder of a model, with the weights of all its factors.

        Args:
          model: `AuxiliaryModel`.
          **settings: what else `create` is given.

        Raises:
          OSError, ValueError: as `create`.
        """
        self.create({**settings, "model": model.description()})
        for name, factor in model.factors.items():
            self[name].save_weights(factor)

    @classmethod
    def newest(cls):
        """The run under `runs/` that training wrote to last; None if there is none."""
        runs = [cls(file.parent) for file in cls.RUNS.glob(f"*/{_CONFIG}")]

        def last_written(run):
            weights = (file for name in (_AVERAGE, _BEST) for file in run.path.glob(f"*/{name}"))
            return max(map(_modified, (run.config_file, *weights)))

        return max(runs, key=last_written, default=None)


def _is_ours(file):
    """Whether `create` makes a file of this name: one beside this process may be just about to."""
    return file.name.startswith((_CONFIG, disk.ASIDE))


def _modified(file):
    """When a file was written, in seconds; before all others if it is gone by now."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return -math.inf


class FactorFolder:
    """The folder of one factor in that of a run.

    Args:
      run: `RunFolder`.
      name: str, the factor's name.

    Attributes:
      path: `pathlib.Path`, the folder.
      training: file that says how the factor is trained: present once its training has begun.
      weights: file of its averaged weights: present once training has saved them.
      best: file of the best of its averaged weights: present once its first epoch is done.
      checkpoints: folder of what training needs to go on.
      metrics: file of the table of its metrics, epoch by epoch: present once its first epoch is done.
      logs: folder of TensorBoard's files.
      samples: folder of pictures of what the factor drew as it was trained.
    """

    def __init__(self, run, name):
        self.run, self.name = run, name
        self.path = run.path / name
        self.training = self.path / "training.json"
        self.weights, self.best = self.path / _AVERAGE, self.path / _BEST
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.csv"
        self.logs = self.path / "logs"
        self.samples = self.path / "samples"

    @contextlib.contextmanager
    def lock(self):
        """Holds the folder for one training process; the system frees it whatever ends that.

        The folder is made where there is none, and what a process that was killed was just writing is
        removed.

        Raises RuntimeError if another process holds it, ValueError if an earlier version trained the factor
        there, and OSError as `disk.explained`.
        """
        for made in (self.path, self.checkpoints):
            with disk.explained(f"a folder {made}"):
                made.mkdir(parents=True, exist_ok=True)

        def refuse():
            raise RuntimeError(
                f"Expected to be alone in training factor {self.name!r} in {self.run}. Received: another "
                "process at it. Wait for it, or choose another --factor or --workdir."
            ) from None

        self._refuse_earlier_version()
        with disk.locked(self.path / "lock", refuse):
            with disk.explained(f"to write {self.path}"):
                disk.remove_unfinished(self.path)
            yield

    def record_training(self, settings):
        """Writes how the factor is trained, or finds that it was trained so before.

        Args:
          settings: dict that JSON can hold.

        Raises:
          OSError: as `disk.explained`.
          ValueError: if the factor was trained in another way; nothing is changed.
        """
        records.write_or_agree(self.training, settings, f"{self.name}.")

    def recorded_training(self):
        """What `record_training` wrote; None where the factor's training has not begun.

        Raises OSError as `disk.explained`, and ValueError if the file is damaged.
        """
        with disk.explained(f"to read {self.training}"):
            if not self.training.exists():
                return None
        return records.read_dict(self.training, "settings")

    def save_weights(self, factor):
        """Writes the averaged weights of a `Factor`, so that a reader sees the old file or the new one."""
        with disk.explained(f"a folder {self.path}"):
            self.path.mkdir(exist_ok=True)
        weight_files.save(self.weights, factor)

    def save_if_best(self, factor, step, val_bits_per_dim):
        """Writes weights as the best ones, unless those of an earlier step are as good.

        Those of a later step give way: a run that goes on takes that step again.

        Args:
          factor: `Factor` with averaged weights.
          step: int, how many steps were done.
          val_bits_per_dim: float, by which weights are compared.

        Raises:
          OSError: as `disk.explained`.
        """
        try:
            kept = tensors.notes(self.best) if self.best.exists() else {}
        except ValueError as error:
            logging.warning(
                "Expected the best weights so far in %s. Received: a damaged file (%s). Those of step %d "
                "take its place.",
                *(self.best, error, step),
            )
            kept = {}
        is_earlier = kept.get("step", step) < step
        if not is_earlier or kept.get("val_bits_per_dim", math.inf) > val_bits_per_dim:
            notes = {"step": step, "val_bits_per_dim": val_bits_per_dim}
            weight_files.save(self.best, factor, **notes)

    def load_weights(self, factor, best=False):
        """Gives a `Factor` its averaged weights, or the best of them; False if there are none yet.

        Raises ValueError for a file that is damaged or of another factor, has weights that are not finite,
        or is of an earlier version, and OSError as `disk.explained`.
        """
        file = self.best if best else self.weights
        with disk.explained(f"to read {file}"):
            if not file.exists():
                if best and self.weights.exists():
                    raise ValueError(
                        f"Expected the best weights of factor {self.name!r} in {file}. Received: no such "
                        "file, as in models of the package, and runs of earlier versions or imported "
                        "weights. Load the last ones, without best."
                    )
                self._refuse_earlier_version()
                return False
        try:
            weight_files.load(file, factor)
        except ValueError as error:
            raise ValueError(
                f"Expected the weights of factor {self.name!r} in {file}. Received: a file that is damaged "
                f"or of another factor ({error}). {self._remedy(best)}"
            ) from error
        return True

    def _refuse_earlier_version(self):
        """Raises ValueError for what an earlier version left, whose formats were others."""
        patterns = ("*.weights.h5", "checkpoints/step-*.npz")
        if found := [file for pattern in patterns for file in self.path.glob(pattern)]:
            raise ValueError(
                f"Expected weights and checkpoints of factor {self.name!r} as .safetensors. Received: "
                f"{found[0]}, of an earlier version. Train again in another folder, or use that version."
            )

    def _remedy(self, best):
        """What to do about a damaged file of weights."""
        if best:
            return "Load the last ones, without best."
        if any(self.checkpoints.glob("*.safetensors")):
            return "Run training again, which writes it anew from its last checkpoint."
        return "Restore the file: there is no checkpoint beside it, from which training would write it anew."
