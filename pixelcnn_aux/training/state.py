"""Training state and its checkpoints: weights, dropout generators, optimizer with averages, and seconds.

A checkpoint is a sealed file of arrays (`runs.tensors`), independent of the Keras backend.
"""

import os
import re
import time
import zlib

import keras
import numpy as np
from absl import logging
from keras import ops

from pixelcnn_aux.base import disk
from pixelcnn_aux.runs import tensors
from pixelcnn_aux.training import steps
from pixelcnn_aux.training.config import CONDITION_DROPOUT

_NAME = re.compile(r"step-([0-9]+)\.safetensors")


class TrainingState:
    """A factor's training state, new or restored from its last checkpoint.

    Attributes:
      take: the training step (`steps.make`), which updates `factor` and `optimizer`.
      average: `Factor` with the averaged weights, in the model's precision.
      step: int, the number of steps taken.
      saved: float, `time.monotonic()` when the state was last saved or made.
    """

    def __init__(self, config, name, training, policy=None, initial=None):
        """A new state has the weights `initial`, a list of arrays, or draws them from the seed if None."""
        self.config, self.name, self.training = config, name, training
        self.folder = config.folder[name]
        self.validation_images = config.validation_images
        if training.crop is not None:
            self.validation_images = self.validation_images.centers(training.crop)
        # Determines the initial weights, the order of images and the dropout masks.
        self.seed = zlib.crc32(f"{config.seed}/{name}".encode()) % 2**31
        keras.utils.set_random_seed(self.seed)

        is_new = not find_checkpoints(self.folder.checkpoints)
        self.average = self._new_factor(initial, is_new)
        weights = config.hosts.from_chief(self.average.get_weights())
        options = {"strategy": config.hosts.strategy, "policy": policy, "remat": config.remat}
        self.take = steps.make(config.model, name, weights, training, **options)
        self.factor = self.take.factor
        self.optimizer = self.take.optimizer
        self._adam = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._seconds = keras.Variable(0.0, dtype="float32", trainable=False)

        self._variables = {
            **{f"factor/{k}": variable for k, variable in enumerate(self.factor.variables)},
            **{f"optimizer/{k}": variable for k, variable in enumerate(self.optimizer.variables)},
            "seconds/0": self._seconds,
        }
        self._identity = tensors.identity(self.average)
        self.step = 0
        self._saved_step = None
        if not is_new:
            self.step = restore_checkpoint(self.folder.checkpoints, self._variables, self._identity)
            self._saved_step = self.step
        config.hosts.check_agree(step=self.step)
        self.saved = time.monotonic()
        self._copy_averages()

    def _new_factor(self, initial, is_new):
        model = self.config.model
        factor = model.new_factor(self.name, model.factors[self.name].variable_dtype)
        if is_new and initial:
            factor.set_weights(initial)
        elif is_new:
            factor.initialize_from_data(model.inputs(*next(self.batches(0)))[self.name])
        return factor

    def batches(self, first_step, rows=slice(None)):
        """Iterator over the arguments of `take` from a step on, for some rows of each global batch."""
        images = self.config.images
        condition = self.config.model.condition
        training = self.training
        place = {"batch_size": training.batch_size, "seed": self.seed}
        place |= {"first_step": first_step, "rows": rows}
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
        for mean in self.average.trainable_variables:
            if not np.isfinite(ops.convert_to_numpy(mean.value)).all():
                when, received = f"after step {self.step:,}", f"NaN or Inf in {mean.path}"
                self.fail("finite weights", when, received)

    def _copy_averages(self):
        averages = self._adam.averages
        for mean, average in zip(self.average.trainable_variables, averages, strict=True):
            mean.assign(ops.convert_to_numpy(average.value))

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
    arrays = {name: ops.convert_to_numpy(x.value) for name, x in variables.items()}
    tensors.write(checkpoint_file(folder, step), arrays, {**identity, "step": step}, disk.RESUME)
    with disk.explained(f"to remove old checkpoints from {folder}", disk.RESUME):
        for other, old in find_checkpoints(folder):
            if other not in (step, before):
                old.unlink()


def restore_checkpoint(folder, variables, identity):
    """Assigns the newest intact checkpoint to variables, a dict by name, and returns its step.

    Raises ValueError if there is none.
    """
    damaged = []
    for step, path in find_checkpoints(folder):
        try:
            arrays, _ = tensors.read(path, {**identity, "step": step})
            tensors.assign(variables, arrays)
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
