"""Entropies of many distributions of pixel values, in memory that does not grow with their number."""

import math
from collections.abc import Callable

from keras import ops

from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.backend import lookup
from pixelcnn_aux.likelihoods.logistic import FAR, TAIL, DiscretizedLogistic

# The probability of a component on either side of the values that are evaluated. With ten components, leaving
# it out changes an entropy by 4e-4 nats at most, and mostly by far less.
LEFT_OUT = 1e-6
AT_ONCE = 2**12  # distributions at a time
BLOCK = 16  # of their values at a time, so that a mixture's components fit in a processor's cache
# In lengths of an interval: with larger scales it is flat, and differences of sigmoids would be lost.
FLAT = 64.0


def in_chunks(function: Callable[[Tensor], Tensor], count: Tensor, at_once: int) -> Tensor:
    """A function of indices, int32 [n] -> [n], applied to 0 .. count - 1, at most `at_once` at a time."""
    chunks = count // at_once + 1
    size = (count + chunks - 1) // chunks
    # The last chunk repeats the last index.
    indices = ops.minimum(ops.arange(0, chunks * size, dtype="int32"), count - 1)
    found = ops.map(function, ops.reshape(indices, (chunks, size)))
    return ops.reshape(found, (-1,))[:count]


def of_mixtures(
    log_weights: Tensor, components: DiscretizedLogistic, low: Tensor, high: Tensor
) -> Tensor:
    """Entropies of mixtures of K logistics, each truncated to an interval of values.

    Up to a constant, the probability of a value is a difference of sums of sigmoids,
    sum_k amount_k sigmoid((x - loc_k) slope_k). They are computed only for values with a probability that
    counts, few in trained models. Distributions with similar numbers of them are evaluated together.

    Log-weights [..., K], before the cut, are up to a constant; `low` and `high`, [..., 1], whole numbers of
    their dtype. The result is [...], in nats.
    """
    leading, num_components = ops.shape(log_weights)[:-1], log_weights.shape[-1]
    last_value = components.num_values - 1
    bottom = ops.where(low > 0, low - 0.5, -FAR)
    top = ops.where(high < last_value, high + 0.5, FAR)
    log_weights = ops.log_softmax(log_weights + components.log_mass(low, high), axis=-1)
    scale = ops.minimum(components.scale, FLAT * (top - bottom))
    # Moved, where the interval is far out in a tail.
    loc = ops.clip(components.loc, bottom - TAIL * scale, top + TAIL * scale)
    # Sigmoids of an upper tail are turned around, so that far out they are small instead of close to one.
    slope = ops.where(loc > 0.5 * (low + high), 1.0 / scale, -1.0 / scale)
    mass = ops.sigmoid((top - loc) * slope) - ops.sigmoid((bottom - loc) * slope)
    amount = ops.exp(log_weights) / mass
    # How far from its location, or the nearest value, a component counts.
    reach = scale * (log_weights - math.log(LEFT_OUT))
    nearest = ops.clip(loc, low, high)
    counts = reach > 0
    first = ops.min(ops.where(counts, nearest - reach, high), axis=-1)
    last = ops.max(ops.where(counts, nearest + reach, low), axis=-1)

    loc, slope, amount = (ops.reshape(x, (-1, num_components)) for x in (loc, slope, amount))
    first, last, low, high = (ops.reshape(x, (-1,)) for x in (first, last, low, high))
    first = ops.clip(ops.floor(first), low, high)
    num_values = ops.clip(ops.ceil(last), low, high) - first + 1  # that are evaluated
    order = ops.argsort(num_values)

    def entropies_at(index):
        """[n] of the mixtures at positions int32 [n] of `order`, `BLOCK` values at a time."""
        index = lookup(order, index)
        loc_n, slope_n, amount_n = (lookup(x, index)[..., None] for x in (loc, slope, amount))
        first_n, num_values_n = (lookup(x, index)[..., None] for x in (first, num_values))
        edges = ops.arange(BLOCK + 1, dtype=loc.dtype) - 0.5
        values = ops.arange(BLOCK, dtype=loc.dtype)

        def add(start, total, entropy):
            x = first_n + start + edges  # [n, BLOCK + 1]
            x = ops.where(x < 0, -FAR, ops.where(x > last_value, FAR, x))
            sigmoids = ops.sigmoid((x[:, None] - loc_n) * slope_n)  # [n, K, BLOCK + 1]
            until = ops.sum(amount_n * sigmoids, axis=1)
            probs = ops.where(start + values < num_values_n, until[:, 1:] - until[:, :-1], 0.0)
            probs = ops.maximum(probs, 0.0)
            nats = probs * ops.log(ops.maximum(probs, 1e-30))
            return start + BLOCK, total + ops.sum(probs, axis=-1), entropy - ops.sum(nats, axis=-1)

        most, zeros = ops.max(num_values_n), ops.zeros_like(first_n[:, 0])
        _, total, entropy = ops.while_loop(
            lambda start, *_: start < most, add, (ops.zeros_like(most), zeros, zeros)
        )
        return entropy / total + ops.log(total)

    entropies = in_chunks(entropies_at, ops.shape(order)[0], AT_ONCE)
    return ops.reshape(lookup(entropies, ops.argsort(order)), leading)
