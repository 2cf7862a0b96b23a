"""Who decides pixels: a draw, a given image, or what is known of them.

How pixels' distributions are computed and who decides the pixels from them are apart. A scan takes the pixels
of an image in two steps, such as a row, and a pixel of it: by two functions from [B, H, W, ...] to
[B, W, ...], and from that to [B, ...]. A decider is a function of the first one, called once a row, that
returns a function `decide(params, pick, bounds)`, from the parameters of some pixels, float [B, ..., P], the
second function and what an auxiliary image says of them, as for `Likelihood.draw`, to their values,
int32 [B, ..., C].
"""

from keras import ops

from pixelcnn_aux.bounds import Bounds


def draws(likelihood, noise, log_scale_shift):
    """The decider that draws each pixel. Args as for `Factor.draw`."""

    def row(pick_row):
        here = pick_row(noise)

        def decide(params, pick, bounds):
            return likelihood.draw(params, pick(here), log_scale_shift, bounds)

        return decide

    return row


def given_pixels(images):
    """The decider that takes each pixel from uint8 [B, H, W, C], whatever its distribution."""

    def row(pick_row):
        here = ops.cast(pick_row(images), "int32")
        return lambda params, pick, bounds: pick(here)

    return row


def completion(known, mask, decider):
    """The decider that takes the pixels where `mask` is 1 from `known`, and asks another for the rest.

    Args:
      known: uint8 [B, H, W, C].
      mask: uint8 [B, H, W, 1].
      decider: the other one.
    """
    known, mask = given_pixels(known), given_pixels(mask)

    def row(pick_row):
        pixels, known_pixels, masks = decider(pick_row), known(pick_row), mask(pick_row)

        def decide(*args):
            return ops.where(masks(*args) == 1, known_pixels(*args), pixels(*args))

        return decide

    return row


def narrowed(low, high, decider):
    """The decider that asks another one for pixels that are known to lie between others.

    Args:
      low, high: uint8 [B, H, W, C].
      decider: the other one.
    """
    low, high = given_pixels(low), given_pixels(high)

    def row(pick_row):
        pixels, lows, highs = decider(pick_row), low(pick_row), high(pick_row)

        def decide(params, pick, bounds):
            known = (x(params, pick, bounds) for x in (lows, highs))
            return pixels(params, pick, within_both(bounds, *known))

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
    least, most = (ops.unstack(x, axis=-1) for x in (low, high))

    def both(channel, earlier):
        if bounds is None:
            return Bounds(least[channel], most[channel], least[channel])
        low, high, center = bounds(channel, earlier)
        return Bounds(ops.maximum(low, least[channel]), ops.minimum(high, most[channel]), center)

    return both
