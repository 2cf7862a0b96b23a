"""Entropies of many distributions of pixel values, in constant memory."""

import math
from collections.abc import Callable

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.arrays import lookup
from pixelcnn_aux.likelihoods.logistic import FAR, TAIL, Logistics

# The omitted probability in each tail of a component. With ten components it changes an entropy by at most
# 4e-4 nats, usually far less.
LEFT_OUT = 1e-6
AT_ONCE = 2**12  # distributions at a time
BLOCK = 16  # values at a time, so that the components of a mixture fit in a processor's cache
# In lengths of an interval. With larger scales it is flat, and differences of sigmoids would vanish.
FLAT = 64.0


def in_chunks(function: Callable[[Tensor], Tensor], indices: Tensor, at_once: int) -> Tensor:
    """Applies a function, int [n] -> [n], to indices [N], at most `at_once` at a time: [N]."""
    count = arrays.shape(indices)[0]
    if isinstance(count, int) and count < at_once:  # Keras's `map` evaluates a first row twice
        return function(indices)
    chunks = count // at_once + 1
    size = (count + chunks - 1) // chunks
    # The last chunk repeats the last index.
    places = arrays.minimum(arrays.arange(chunks * size), count - 1)
    results = arrays.map_rows(function, arrays.reshape(lookup(indices, places), (chunks, size)))
    return arrays.reshape(results, (-1,))[:count]


@np.errstate(over="ignore")  # sigmoids far out
def of_mixtures(log_weights: Tensor, components: Logistics, low: Tensor, high: Tensor) -> Tensor:
    """Entropies of mixtures of K logistics, each truncated to an interval of values.

    Up to a constant, the probability of a value is a difference of sums of sigmoids,
    sum_k amount_k sigmoid((x - loc_k) slope_k). Only values of relevant probability are evaluated, few in
    trained models. Distributions with similar numbers of such values are evaluated together.

    Args:
      log_weights: float [..., K], before truncation, up to a constant.
      components: `Logistics` [..., K].
      low, high: float [..., 1], the ends of the interval, whole numbers.

    Returns float [...], in nats.
    """
    leading, num_components = arrays.shape(log_weights)[:-1], log_weights.shape[-1]
    last_value = components.num_values - 1
    bottom = arrays.where(low > 0, low - 0.5, -FAR)
    top = arrays.where(high < last_value, high + 0.5, FAR)
    log_weights = arrays.log_softmax(log_weights + components.log_mass(low, high), axis=-1)
    scale = arrays.minimum(components.scale, FLAT * (top - bottom))
    # Locations move closer to an interval far out in a tail.
    loc = arrays.clip(components.loc, bottom - TAIL * scale, top + TAIL * scale)
    # Sigmoids of an upper tail are mirrored, so that far out they are close to 0, not to 1.
    slope = arrays.where(loc > 0.5 * (low + high), 1.0 / scale, -1.0 / scale)
    mass = arrays.sigmoid((top - loc) * slope) - arrays.sigmoid((bottom - loc) * slope)
    amount = arrays.exp(log_weights) / mass
    # The relevant distance from the location of a component, or from the value nearest to it.
    reach = scale * (log_weights - math.log(LEFT_OUT))
    nearest = arrays.clip(loc, low, high)
    is_relevant = reach > 0
    first = arrays.min(arrays.where(is_relevant, nearest - reach, high), axis=-1)
    last = arrays.max(arrays.where(is_relevant, nearest + reach, low), axis=-1)

    loc, slope, amount = (
        arrays.swapaxes(arrays.reshape(x, (-1, num_components)), 0, 1) for x in (loc, slope, amount)
    )
    first, last, low, high = (arrays.reshape(x, (-1,)) for x in (first, last, low, high))
    first = arrays.clip(arrays.floor(first), low, high)
    num_values = arrays.clip(arrays.ceil(last), low, high) - first + 1  # to evaluate
    order = arrays.argsort(num_values)

    def entropies_at(index):
        """Entropies [n] of the mixtures at an index, int [n], `BLOCK` values at a time."""
        loc_n, slope_n, amount_n = (lookup(x, index, 1)[:, None] for x in (loc, slope, amount))
        first_n, num_values_n = lookup(first, index), lookup(num_values, index)
        values = arrays.arange(BLOCK + 1, dtype=loc.dtype)[:, None]

        def add(start, total, entropy):
            x = first_n + start + (values - 0.5)  # [BLOCK + 1, n]
            x = arrays.where(x < 0, -FAR, arrays.where(x > last_value, FAR, x))
            sigmoids = arrays.sigmoid((x - loc_n) * slope_n)  # [K, BLOCK + 1, n]
            until = arrays.sum(amount_n * sigmoids, axis=0)
            probs = arrays.where(start + values[:-1] < num_values_n, until[1:] - until[:-1], 0.0)
            probs = arrays.maximum(probs, 0.0)
            nats = probs * arrays.log(arrays.maximum(probs, 1e-30))
            total = total + arrays.sum(probs, axis=0)
            return start + BLOCK, total, entropy - arrays.sum(nats, axis=0)

        most, zeros = arrays.max(num_values_n), arrays.zeros_like(first_n)
        _, total, entropy = arrays.while_loop(
            lambda start, *_: start < most, add, (arrays.zeros_like(most), zeros, zeros)
        )
        return entropy / total + arrays.log(total)

    entropies = in_chunks(entropies_at, order, AT_ONCE)
    return arrays.reshape(lookup(entropies, arrays.argsort(order)), leading)
