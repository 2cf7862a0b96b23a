"""Categorical distributions over indices: how one is drawn, picked, or ruled out."""

import math

from keras import ops

from pixelcnn_aux import backend


def gumbel(uniforms):
    return -ops.log(-ops.log(uniforms))


def draw_index(logits, gumbels):
    """A draw from each categorical distribution: the largest of its logits, each with a Gumbel added."""
    return backend.argmax(logits + gumbels)


def select(x, index):
    """Of x [..., K] the element at index [...]: zeros for all others, and a sum, whatever those are."""
    chosen = index[..., None] == ops.arange(x.shape[-1])
    return ops.sum(ops.where(chosen, x, ops.zeros_like(x)), axis=-1)


def interpolate(x, index):
    """As `select`, of finite elements and a float index: linear between two of them, and beyond the last."""
    below = ops.clip(ops.floor(ops.stop_gradient(index)), 0, x.shape[-1] - 2)
    share, below = index - below, ops.cast(below, "int32")
    return (1 - share) * select(x, below) + share * select(x, below + 1)


def masked(logits, low, high):
    """Logits [..., K] with -inf for the values outside low .. high, [...] each."""
    values = ops.arange(logits.shape[-1], dtype=low.dtype)
    agrees = ops.logical_and(low[..., None] <= values, values <= high[..., None])
    return ops.where(agrees, logits, -math.inf)
