"""How a factor is trained."""

import math
from typing import NamedTuple


class Training(NamedTuple):
    """How a factor is trained.

    The learning rate decays by a constant factor a step, as in the paper. Adam's moments are those of
    PixelCNN++: 0.95 and 0.9995.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int  # of all devices and hosts together
    learning_rate: float
    decay: float  # of the learning rate, applied after each step
    flip: bool = True  # whether images are flipped left to right at random
    accumulate: int = 1  # in how many parts a device takes its images of a batch
    mixed_precision: bool = False  # whether the networks' streams compute in 16 bits


def check(training, hosts):
    """Raises ValueError for settings that no run can have, or that do not fit the devices."""
    counts = ("epochs", "steps_per_epoch", "batch_size", "accumulate")
    for field in counts:
        value = getattr(training, field)
        if type(value) is not int or value < 1:
            raise ValueError(
                f"Expected {field} of 1 or more, a whole number. Received: {field}={value!r}"
            )
    for field in ("learning_rate", "decay"):
        value = getattr(training, field)
        if not 0 < value < math.inf:
            raise ValueError(f"Expected a {field} above 0, and finite. Received: {field}={value!r}")
    parts = hosts.num_replicas * training.accumulate
    if training.batch_size % parts:
        raise ValueError(
            f"Expected a batch_size that is a multiple of {parts}: {hosts.num_replicas} devices, which "
            f"take their images in {training.accumulate} parts. Received: batch_size={training.batch_size}"
        )
