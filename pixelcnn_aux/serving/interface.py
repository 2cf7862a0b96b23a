"""Signatures of exports, which exports implement and clients check requests and answers against."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_aux.conditions import Classes, Vector


class Tensor(NamedTuple):
    """An input or output of a signature."""

    dtype: tf.DType
    shape: tuple  # after the batch dimension
    num_values: int | None = None  # exclusive upper bound of pixel values and classes

    @property
    def least(self):
        """The smallest value: 0 in images, and -1 for no class."""
        return -1 if self.dtype == tf.int32 else 0


class Signature(NamedTuple):
    """A served function's inputs and outputs: dicts, name -> `Tensor`."""

    inputs: dict
    outputs: dict


PIXELS = (tf.uint8, tf.uint16)
FLOATS = Tensor(tf.float32, ())
STRINGS = Tensor(tf.string, ())

ROUNDING = 0.1  # nats or bits per dimension: a probability may exceed one by rounding

# The output of `auxiliaries` with the size of each type of condition.
SIZES = {"num_classes": Classes, "vector_size": Vector}
# Outputs of `auxiliaries` besides the auxiliary images.
DESCRIPTION = ("factors", "num_values", "max_batch", *SIZES)


def signatures_of_chain(images, condition=None):
    """dict, name -> `Signature`, as in docs/serving.md; `images` are `Tensor`s by factor name."""
    *names, last = images
    sizes = {name: condition.size for name, cls in SIZES.items() if isinstance(condition, cls)}
    conditions = {}
    if condition is not None:
        dtype = tf.as_dtype(condition.dtype)
        conditions["condition"] = Tensor(dtype, condition.shape, sizes.get("num_classes"))
    drawing = {"seed": Tensor(tf.int32, (2,)), "log_scale_shift": FLOATS, **conditions}
    auxiliaries, full = {name: images[name] for name in names}, {"image": images[last]}
    height, width, channels = full["image"].shape
    floats = full["image"]._replace(dtype=tf.float32)
    mask = {"mask": Tensor(tf.uint8, (height, width, 1), num_values=2)}
    # PNG stores such images unchanged.
    has_png = channels in (1, 3) and full["image"].num_values == 256
    drawn = {**full, "image_png_bytes": STRINGS} if has_png else full
    sample = Signature(drawing, {**auxiliaries, **drawn})
    likelihoods = ["log_prob", "bits_per_dim"]
    likelihoods += [f"{kind}_{name}" for kind in likelihoods for name in images]
    description = {
        "factors": Tensor(tf.string, (len(images),)),
        "num_values": Tensor(tf.int32, (len(images),)),
        "max_batch": Tensor(tf.int32, ()),
        **dict.fromkeys(sizes, Tensor(tf.int32, ())),
    }
    draws_given = {
        f"given_{name}": Signature(
            {**drawing, "auxiliary": images[name]},
            {**{later: images[later] for later in names[at:]}, **drawn},
        )
        for at, name in enumerate(names, start=1)
    }
    return {
        "serving_default": sample,
        "sample": sample,
        "map": sample,
        **draws_given,
        "complete": Signature({**drawing, **full, **mask}, sample.outputs),
        "log_prob": Signature({**full, **conditions}, dict.fromkeys(likelihoods, FLOATS)),
        "log_density_and_gradient": Signature(
            {"image": floats, **conditions},
            {"log_density": FLOATS, "gradient": floats._replace(num_values=None)},
        ),
        "auxiliaries": Signature(full, {**auxiliaries, **description}),
    }


def misfit(arrays, tensors, rows):
    """(expected, received) if arrays do not fit a dict of `Tensor`s with so many rows; else None."""
    if arrays.keys() != tensors.keys():
        return f"{sorted(tensors)}", sorted(arrays)
    for name, tensor in tensors.items():
        dtype, shape, num_values = tensor
        array, expected = arrays[name], [rows, *shape]
        if array.dtype != dtype.as_numpy_dtype or list(array.shape) != expected:
            return f"{name} as {dtype.name} {expected}", f"{array.dtype.name} {list(array.shape)}"
        if num_values is not None:
            right = (tensor.least <= array) & (array <= num_values - 1)
            expected = f"from {tensor.least} to {num_values - 1}"
        elif name.startswith("log_prob"):
            right, expected = array <= ROUNDING, "of at most 0 nats"
        elif name.startswith("bits_per_dim"):
            right, expected = array >= -ROUNDING, "of at least 0"
        elif dtype == tf.float32:
            right, expected = np.isfinite(array), "that are finite"
        else:
            continue
        if not right.all():
            return f"values of {name} {expected}", array[~right][0].item()
    return None


def most_bytes(tensors, rows):
    """Largest size in bytes of a message with so many rows of a dict of `Tensor`s."""
    strings = sum(math.prod(x.shape) for x in tensors.values() if x.dtype == tf.string)
    numbers = sum(math.prod(x.shape) for x in tensors.values()) - strings
    # Numbers take up to 10 bytes as varints and 2 in a PNG file; strings are names, or the rest of the file.
    return rows * (12 * numbers + 1024 * strings) + 2**16
