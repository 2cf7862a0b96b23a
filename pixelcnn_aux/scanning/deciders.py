"""Who decides each pixel: a draw, a given image, or what is known of it.

How a pixel's distribution is computed and who decides the pixel from it are apart. A decider is a
function of a row's index, called once a row, that returns a function `decide(params, column, bounds)`, from
the parameters of a column's pixels, float [B, P], and what an auxiliary image says of them, as for
`Likelihood.draw`, to their values, int32 [B, C].
"""

import tensorflow as tf

from pixelcnn_aux.bounds import Bounds


def draws(likelihood, noise, log_scale_shift):
    """The decider that draws each pixel. Args as for `Factor.draw`."""

    def row(index):
        here = tf.gather(noise, index, axis=1)

        def decide(params, column, bounds):
            return likelihood.draw(params, tf.gather(here, column, axis=1), log_scale_shift, bounds)

        return decide

    return row


def given_pixels(images):
    """The decider that takes each pixel from uint8 [B, H, W, C], whatever its distribution."""

    def row(index):
        here = tf.cast(tf.gather(images, index, axis=1), tf.int32)
        return lambda params, column, bounds: tf.gather(here, column, axis=1)

    return row


def completion(known, mask, decider):
    """The decider that takes the pixels where `mask` is 1 from `known`, and asks another for the rest.

    Args:
      known: uint8 [B, H, W, C].
      mask: uint8 [B, H, W, 1].
      decider: the other one.
    """
    known, mask = given_pixels(known), given_pixels(mask)

    def row(index):
        pixels, known_pixels, masks = decider(index), known(index), mask(index)

        def decide(*args):
            return tf.where(masks(*args) == 1, known_pixels(*args), pixels(*args))

        return decide

    return row


def narrowed(low, high, decider):
    """The decider that asks another one for pixels that are known to lie between others.

    Args:
      low, high: uint8 [B, H, W, C].
      decider: the other one.
    """
    low, high = given_pixels(low), given_pixels(high)

    def row(index):
        pixels, lows, highs = decider(index), low(index), high(index)

        def decide(params, column, bounds):
            known = (x(params, column, bounds) for x in (lows, highs))
            return pixels(params, column, within_both(bounds, *known))

        return decide

    return row


def within_both(bounds, low, high):
    """Bounds of pixels that are also known to lie between others.

    Args:
      bounds: function, as for `Likelihood.draw`, or None.
      low, high: int32 [..., C].

    Returns:
      Function, likewise.
    """
    least, most = (tf.unstack(x, axis=-1) for x in (low, high))

    def both(channel, earlier):
        if bounds is None:
            return Bounds(least[channel], most[channel], least[channel])
        low, high, center = bounds(channel, earlier)
        return Bounds(tf.maximum(low, least[channel]), tf.minimum(high, most[channel]), center)

    return both
