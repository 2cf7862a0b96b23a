"""Rounding (`rounding`) in layers, whose gradients are those without it (straight through)."""

from keras import ops

from pixelcnn_aux import rounding
from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.layers.contexts import current


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x); in a rounded `Context`, of x in whole units and rounded to whole units."""
    return _straight_silu(x) if current().rounded else ops.silu(x)


@ops.custom_gradient
def _straight_silu(x):
    def gradient(*args, upstream=None):
        (upstream,) = args if upstream is None else (upstream,)
        sigmoid = ops.sigmoid(x)
        slope = sigmoid * (1.0 + x * (1.0 - sigmoid))
        units = ops.round(x * rounding.ACTIVATIONS)
        return upstream * slope * ops.cast(units < rounding.HIGHEST, x.dtype)

    return rounding.whole_silu(x), gradient


def rounded(x: Tensor, units: float | Tensor) -> Tensor:
    """x as a multiple of 1 / units, a power of two; the gradient is that of x."""

    @ops.custom_gradient
    def straight(x):
        def gradient(*args, upstream=None):
            return args[0] if upstream is None else upstream

        return ops.round(x * units) / units, gradient

    return straight(x)
