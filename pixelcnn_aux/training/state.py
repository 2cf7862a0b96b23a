"""The state that training changes, and its checkpoints: weights, their averages, and the optimizer's state.

A checkpoint is a sealed file of arrays (`runs.tensors`), the same for all Keras backends.
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
    """The state of a factor's training: new, or that of its last checkpoint.

    New weights are `first`, a list of arrays, or are drawn from the seed. `take` is the training step of
    `steps.make`, with the `factor` in training and its `optimizer`; `average` is a `Factor` with the averaged
    weights, in the precision of the model's; `step` counts the steps taken; and `saved` is the time when it
    was saved or made, in seconds of `time.monotonic`.
    """

    def __init__(self, config, name, training, policy=None, first=None):
        model, hosts = config.model, config.hosts
        self.config, self.name, self.training = config, name, training
        self.folder = config.folder[name]
        images, crop = config.validation_images, training.crop
        self.validation_images = images if crop is None else images.centers(crop)
        # Of the first weights, the order of images and the dropout masks.
        self.seed = zlib.crc32(f"{config.seed}/{name}".encode()) % 2**31
        keras.utils.set_random_seed(self.seed)
        self.average = model.new_factor(name, model.factors[name].variable_dtype)
        is_new = not find_checkpoints(self.folder.checkpoints)
        if is_new and first:
            self.average.set_weights(first)
        elif is_new:
            self.average.initialize_from_data(model.inputs(*next(self.batches(0)))[name])
        weights = hosts.from_chief(self.average.get_weights())
        how = {"strategy": hosts.strategy, "policy": policy, "remat": config.remat}
        self.take = steps.make(model, name, weights, training, **how)
        self.factor, self.optimizer = self.take.factor, self.take.optimizer
        self._adam = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._seconds = keras.Variable(0.0, dtype="float32", trainable=False)
        groups = {"factor": self.factor.variables, "optimizer": self.optimizer.variables}
        groups["seconds"] = [self._seconds]
        self._variables = {f"{x}/{k}": y for x, of in groups.items() for k, y in enumerate(of)}
        self._identity = tensors.identity(self.average)
        self.step = 0
        if not is_new:
            self.step = restore_checkpoint(self.folder.checkpoints, self._variables, self._identity)
        hosts.check_agree(step=self.step)
        self.saved, self._saved_step = time.monotonic(), None if is_new else self.step
        self._copy_averages()

    def batches(self, first_step, rows=slice(None)):
        """The batches from a step on, of all hosts together or of some rows: the arguments of `take`."""
        images, condition = self.config.images, self.config.model.condition
        training = self.training
        which = {"batch_size": training.batch_size, "seed": self.seed}
        which |= {"first_step": first_step, "rows": rows}
        how = {"flip": training.flip, "crop": training.crop, "vary": training.vary}
        batches = [images.training_batches(**which, **how)]
        if condition is not None:
            dropout = training.condition_dropout
            dropout = CONDITION_DROPOUT if dropout is None else dropout
            batches.append(images.training_conditions(condition, dropout, **which))
        return zip(*batches)

    @property
    def seconds(self):
        """float, of training so far."""
        return float(ops.convert_to_numpy(self._seconds))

    @property
    def learning_rate(self):
        """float, of the next step."""
        return float(ops.convert_to_numpy(self._adam.learning_rate))

    def update(self, seconds):
        """Brings `average` and `seconds` up to date. Raises RuntimeError for weights that are not finite."""
        self.take.sync()
        self._seconds.assign(seconds)
        self._copy_averages()
        for mean in self.average.trainable_variables:
            if not np.isfinite(ops.convert_to_numpy(mean.value)).all():
                self.fail("finite weights", f"after step {self.step:,}", f"others in {mean.path}")

    def _copy_averages(self):
        averages = self._adam.averages
        for mean, average in zip(self.average.trainable_variables, averages, strict=True):
            mean.assign(ops.convert_to_numpy(average.value))

    def save(self):
        """Writes a checkpoint, on the chief of several hosts."""
        if self.config.hosts.chief:
            folder, before = self.folder.checkpoints, self._saved_step
            save_checkpoint(folder, self.step, self._variables, self._identity, before=before)
        self.saved, self._saved_step = time.monotonic(), self.step

    def fail(self, what, when, received):
        """Raises the RuntimeError of training that diverges, which names the last good checkpoint."""
        last = "There is no checkpoint yet."
        if self._saved_step is not None:
            file = checkpoint_file(self.folder.checkpoints, self._saved_step)
            # Within an epoch hosts save by their own clocks, which may differ by a step.
            where = file if self.config.hosts.chief else f"in {file.parent}"
            last = f"The last good checkpoint is {where}."
        raise RuntimeError(
            f"Expected {what} of factor {self.name!r} {when}. Received: {received}. {last} Nothing was "
            "overwritten. Choose a lower --learning_rate and another --workdir, or look at the images."
        )


def checkpoint_file(folder, step):
    """The path of the checkpoint of a step."""
    return folder / f"step-{step}.safetensors"


def find_checkpoints(folder):
    """[(step, path)] of the checkpoints in a folder, which may not exist, the newest first."""
    with disk.explained(f"to read the folder {folder}"):
        names = os.listdir(folder) if folder.exists() else []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(((int(match[1]), folder / match[0]) for match in matches), reverse=True)


def save_checkpoint(folder, step, variables, identity, *, before=None):
    """Writes the variables of a step, by name, and removes all checkpoints but this and `before`."""
    arrays = {name: ops.convert_to_numpy(x.value) for name, x in variables.items()}
    tensors.write(checkpoint_file(folder, step), arrays, {**identity, "step": step}, disk.RESUME)
    with disk.explained(f"to remove old checkpoints from {folder}", disk.RESUME):
        for other, old in find_checkpoints(folder):
            if other not in (step, before):
                old.unlink()


def restore_checkpoint(folder, variables, identity):
    """Gives variables, by name, the values of the newest intact checkpoint, or raises; returns its step."""
    damaged = []
    for step, path in find_checkpoints(folder):
        try:
            arrays, _ = tensors.read(path, {**identity, "step": step})
            tensors.assign(variables, arrays)
        except ValueError as error:
            damaged.append(f"{path} ({error})")
            continue
        for one in damaged:
            logging.warning("Skipped a damaged checkpoint, and resumes from %s: %s", path.name, one)
        return step
    raise ValueError(
        f"Expected a whole checkpoint of this factor in {folder}. Received: {', '.join(damaged) or 'none'}. "
        "To start anew, remove the folder."
    )
