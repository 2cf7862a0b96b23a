"""What likelihoods are given: shapes that agree, and uniforms without a 0."""

import keras
import numpy as np
from keras import ops


def opened(uniforms):
    """Uniforms in [0, 1) -> in (0, 1): a 0 stands for all those below the dtype's resolution.

    Left at 0 it would be a black pixel out of the narrowest component.
    """
    dtype = keras.backend.standardize_dtype(uniforms.dtype)
    return ops.maximum(uniforms, np.finfo(dtype).eps / 2)


def check_shapes(params, num_params, other, num_channels, name):
    """Raises ValueError, which names it, for what is not of the likelihood's sizes, one for each pixel."""
    params, other = tuple(params.shape), tuple(other.shape)
    for label, shape, size in (("params", params, num_params), (name, other, num_channels)):
        if shape[-1:] != (size,):
            raise ValueError(
                f"Expected `{label}` of shape [..., {size}]. Received: {label}.shape={shape}. "
                "Give that number of channels."
            )
    if not agree(params[:-1], other[:-1]):
        raise ValueError(
            f"Expected `params` and `{name}` to have the same leading shape. "
            f"Received: params.shape={params}, {name}.shape={other}. "
            "Give one set of parameters for each pixel."
        )


def agree(shape, other):
    """Whether two shapes are of the same rank and agree, where they are known."""
    pairs = zip(shape, other)
    return len(shape) == len(other) and all(a == b for a, b in pairs if None not in (a, b))
