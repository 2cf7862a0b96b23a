"""How a factor is trained."""

from typing import NamedTuple

from pixelcnn_aux import arguments

_MOST = {"epochs": 10**6, "steps_per_epoch": 10**9, "batch_size": 2**16, "accumulate": 2**16}


class Training(NamedTuple):
    """How a factor is trained.

    The learning rate falls linearly, to zero after the last step; with a `decay` by that factor a step, as in
    the paper. Adam's moments are those of PixelCNN++: 0.95 and 0.9995.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int  # of all devices and hosts together
    learning_rate: float
    decay: float | None = None  # what the learning rate is multiplied by after each step
    flip: bool = True  # whether images are flipped left to right at random
    accumulate: int = 1  # in how many parts a device takes its images of a batch
    mixed_precision: bool = False  # whether the networks' streams compute in 16 bits


def checked(training, hosts):
    """A `Training` of plain Python values, which JSON can hold, of one that may have NumPy's.

    Raises ValueError for settings that no run can have, or that do not fit the devices.
    """
    arguments.instance("training", training, Training)
    values = training._asdict()
    for field, most in _MOST.items():
        values[field] = arguments.whole(field, values[field], 1, most)
    values["learning_rate"] = arguments.positive("learning_rate", training.learning_rate)
    if training.decay is not None:
        values["decay"] = arguments.positive("decay", training.decay, 1)
    for field in ("flip", "mixed_precision"):
        values[field] = arguments.flag(field, values[field])
    training = Training(**values)
    parts = hosts.num_replicas * training.accumulate
    if training.batch_size % parts:
        raise ValueError(
            f"Expected a batch_size that is a multiple of {parts}: {hosts.num_replicas} devices, which "
            f"take their images in {training.accumulate} parts. Received: batch_size={training.batch_size}. "
            "Choose another --batch_size, a smaller --accumulate, or fewer devices (CUDA_VISIBLE_DEVICES)."
        )
    return training
