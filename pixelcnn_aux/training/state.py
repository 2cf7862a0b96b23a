"""Training state and its checkpoints: weights, dropout generators, optimizer with averages, and seconds.

A checkpoint is a sealed file of arrays (`run_files.tensors`), independent of the Keras backend:

    network/PATH, embedding/PATH      weights in training
    seeds/PATH                        states of the generators of dropout's masks
    optimizer/KIND/PATH               momenta, velocities and averages of weights
    optimizer/NAME, seconds           the optimizer's other variables, and the time of training
"""

import os
import re
import time
import zlib

import keras
import numpy as np
from absl import logging
from keras import ops

from pixelcnn_aux.base import arrays, disk
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.training import steps
from pixelcnn_aux.training.config import CONDITION_DROPOUT
from pixelcnn_aux.training.optimizer import named_variables

_NAME = re.compile(r"step-([0-9]+)\.safetensors")


class TrainingState:
    """A factor's training state, new or restored from its last checkpoint.

    Attributes:
      take: the training step (`steps.make`), which updates `keras_model` and `optimizer`.
      keras_model: `KerasFactor`, the weights in training.
      average: `Factor` with the averaged weights, in the model's precision.
      step: int, the number of steps taken.
      saved: float, `time.monotonic()` when the state was last saved or made.
    """

    def __init__(self, config, name, training, policy=None, initial=None):
        """A new state has the weights `initial`, path -> array, or draws them from the seed if None."""
        self.config, self.name, self.training = config, name, training
        self.folder = config.folder[name]
        self.validation_images = config.validation_images
        if training.crop is not None:
            self.validation_images = self.validation_images.centers(training.crop)
        # Determines the initial weights, the order of images and the dropout masks.
        self.seed = zlib.crc32(f"{config.seed}/{name}".encode()) % 2**31
        keras.utils.set_random_seed(self.seed)

        is_new = not find_checkpoints(self.folder.checkpoints)
        factor = self._first(initial) if is_new else config.model.factors[name]
        weights = config.hosts.from_chief([*factor.weights.values()])
        self.average = factor.with_weights(dict(zip(factor.weights, weights)))
        options = {"strategy": config.hosts.strategy, "policy": policy, "remat": config.remat}
        self.take = steps.make(config.model, self.average, training, **options)
        self.keras_model, self.optimizer = self.take.keras_model, self.take.optimizer
        self._adam = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._seconds = keras.Variable(0.0, dtype="float32", trainable=False)
        trained = {id(x) for x in self.keras_model.trainable_variables}
        paths = self.keras_model.by_path.items()
        self._trained = [path for path, x in paths if id(x) in trained]
        seeds = {f"seeds/{path}": x.state for path, x in self.keras_model.seeds.items()}
        self._variables = {
            **self.keras_model.by_path,
            **seeds,
            **named_variables(self.optimizer, self._trained),
            "seconds": self._seconds,
        }
        self._identity = tensors.identity(self.average)
        self.step = 0
        self._saved_step = None
        if not is_new:
            self.step = restore_checkpoint(
                self.folder.checkpoints, self._variables, self._identity, self._earlier_names()
            )
            self._saved_step = self.step
        config.hosts.check_agree(step=self.step)
        self.saved = time.monotonic()
        self._copy_averages()

    def _first(self, initial):
        """The factor with its first weights."""
        model = self.config.model
        factor = model.factors[self.name]
        if initial:
            return factor.with_weights(initial)
        inputs = model.inputs(*next(self.batches(0)))[self.name]
        tensors_of = (x if x is None else arrays.tensor(x) for x in inputs)
        return factor.with_new_weights(self.seed).fitted_to(Inputs(*tensors_of))

    def _earlier_names(self):
        """The names of variables in checkpoints of versions up to 0.2, which numbered them."""
        seeds = {path: f"seeds/{path}" for path in self.keras_model.seeds}
        paths = [
            seeds.get(x, x) for x, record in self.average.recorded.items() if record is not None
        ]
        ids = {id(x): name for name, x in self._variables.items()}
        names = {name: f"factor/{k}" for k, name in enumerate(paths)}
        names |= {ids[id(x)]: f"optimizer/{k}" for k, x in enumerate(self.optimizer.variables)}
        return {**names, "seconds": "seconds/0"}

    def batches(self, first_step, rows=slice(None)):
        """Iterator over the arguments of `take` from a step on, for some rows of each global batch."""
        images = self.config.images
        condition = self.config.model.condition
        training = self.training
        place = {"batch_size": training.batch_size, "seed": self.seed}
        place = {**place, "first_step": first_step, "rows": rows}
        augmentation = {"flip": training.flip, "crop": training.crop, "vary": training.vary}
        batches = [images.training_batches(**place, **augmentation)]
        if condition is not None:
            dropout = training.condition_dropout
            dropout = CONDITION_DROPOUT if dropout is None else dropout
            batches.append(images.training_conditions(condition, dropout, **place))
        return zip(*batches)

    @property
    def seconds(self):
        """Seconds of training so far: float."""
        return float(ops.convert_to_numpy(self._seconds))

    @property
    def learning_rate(self):
        """Learning rate of the next step: float."""
        return float(ops.convert_to_numpy(self._adam.learning_rate))

    def update(self, seconds):
        """Updates `average` and `seconds`. Raises RuntimeError for weights that are not finite."""
        self.take.sync()
        self._seconds.assign(seconds)
        self._copy_averages()
        for path, mean in self.average.weights.items():
            if not np.isfinite(mean).all():
                when, received = f"after step {self.step:,}", f"NaN or Inf in {path}"
                self.fail("finite weights", when, received)

    def _copy_averages(self):
        averages = (ops.convert_to_numpy(x.value) for x in self._adam.averages)
        averages = dict(zip(self._trained, averages, strict=True))
        self.average = self.average.with_weights({**self.average.weights, **averages})

    def save(self):
        """Writes a checkpoint, on the chief alone."""
        if self.config.hosts.chief:
            folder, before = self.folder.checkpoints, self._saved_step
            save_checkpoint(folder, self.step, self._variables, self._identity, before=before)
        self.saved = time.monotonic()
        self._saved_step = self.step

    def fail(self, expected, when, received):
        """Raises RuntimeError for diverged training, naming the last good checkpoint."""
        last = "There is no checkpoint yet."
        if self._saved_step is not None:
            file = checkpoint_file(self.folder.checkpoints, self._saved_step)
            # Within an epoch hosts save by their own clocks, whose steps may differ by one.
            where = file if self.config.hosts.chief else f"in {file.parent}"
            last = f"The last good checkpoint is {where}."
        raise RuntimeError(
            f"Expected {expected} of factor {self.name!r} {when}. Received: {received}. {last} Nothing was "
            "overwritten. Choose a lower --learning_rate and another --workdir, or look at the images."
        )


def checkpoint_file(folder, step):
    """Path of a step's checkpoint."""
    return folder / f"step-{step}.safetensors"


def find_checkpoints(folder):
    """Checkpoints in a folder, which may not exist, newest first: [(step, path)]."""
    with disk.explained(f"to read the folder {folder}"):
        names = os.listdir(folder) if folder.exists() else []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(((int(match[1]), folder / match[0]) for match in matches), reverse=True)


def save_checkpoint(folder, step, variables, identity, *, before=None):
    """Writes a step's variables, a dict by name, and removes all checkpoints but this one and `before`."""
    values = {name: ops.convert_to_numpy(x.value) for name, x in variables.items()}
    tensors.write(checkpoint_file(folder, step), values, {**identity, "step": step}, disk.RESUME)
    with disk.explained(f"to remove old checkpoints from {folder}", disk.RESUME):
        for other, old in find_checkpoints(folder):
            if other not in (step, before):
                old.unlink()


def restore_checkpoint(folder, variables, identity, earlier_names):
    """Assigns the newest intact checkpoint to variables, a dict by name, and returns its step.

    `earlier_names`, a dict by name, are those in checkpoints of earlier versions. Raises ValueError if there
    is no intact checkpoint.
    """
    damaged = []
    for step, path in find_checkpoints(folder):
        try:
            saved, _ = tensors.read(path, {**identity, "step": step})
            named = variables
            if "factor/0" in saved:
                named = {earlier_names[name]: x for name, x in variables.items()}
            tensors.assign(named, saved)
        except ValueError as error:
            damaged.append(f"{path} ({error})")
            continue
        for description in damaged:
            message = "Skipped a damaged checkpoint, and resumes from %s: %s"
            logging.warning(message, path.name, description)
        return step
    raise ValueError(
        f"Expected an intact checkpoint of this factor in {folder}. Received: "
        f"{', '.join(damaged) or 'none'}. To start over, remove the folder."
    )
