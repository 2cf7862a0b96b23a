"""Drawing images from a factor, pixel by pixel in raster order.

How a pixel's distribution is computed and who decides the pixel from it are apart. A decider is a
function of a row's index, called once a row, that returns a function `decide(params, column, bounds)`, from
the parameters of a column's pixels, float [B, P], and what an auxiliary image says of them, as for
`Likelihood.draw`, to their values, int32 [B, C].
"""

import tensorflow as tf

from pixelcnn_aux import backend, incremental
from pixelcnn_aux.remaining import Remaining


def noise(factor, seeds, position, size, mode="sample", bounded=False):
    """What a factor's draws consume, of each image a function of its seed alone.

    Never drawn inside a function that XLA compiles, where the same seed would give other numbers.

    Args:
      factor: `Factor`.
      seeds: int32 [B, 2].
      position: int, the factor's place in the chain; no two factors share noise.
      size: (H, W).
      mode: "sample" or "map".
      bounded: bool, whether for draws within bounds; those of a factor with a fixed sum always are.

    Returns:
      float [B, H, W, noise_size] of the factor's dtype, or [B, H, W, bounded_noise_size]: `likelihood.noise`
      of uniforms.
    """
    likelihood = factor.likelihood
    bounded = bounded or factor.fixed_sum is not None
    shape = (*size, likelihood.bounded_noise_size if bounded else likelihood.noise_size)
    return likelihood.noise(_uniforms(seeds, position, shape, factor.variable_dtype), mode, bounded)


@tf.function(reduce_retracing=True, autograph=False)
def _uniforms(seeds, position, shape, dtype):
    # What a seed is folded to is of the position's dtype: in 32 bits, many seeds would share one.
    position = tf.cast(position, tf.int64)

    def of_image(seed):
        seed = tf.random.fold_in(seed, position, alg="philox")
        return tf.random.stateless_uniform(shape, seed, dtype=dtype, alg="philox")

    return tf.map_fn(of_image, seeds, fn_output_signature=dtype)


def draws(likelihood, noise, log_scale_shift):
    """The decider that draws each pixel. Args as for `Sampler.draw_images`."""

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
            return least[channel], most[channel], least[channel]
        low, high, center = bounds(channel, earlier)
        return tf.maximum(low, least[channel]), tf.minimum(high, most[channel]), center

    return both


class Sampler:
    """Draws images from a factor, in graphs of its own that last no longer than the factor does.

    Args:
      factor: `Factor`.
    """

    def __init__(self, factor):
        self._factor = factor
        options = {"reduce_retracing": True, "autograph": False}
        self._drawing = {
            jit_compile: tf.function(self._draw_images, jit_compile=jit_compile, **options)
            for jit_compile in (False, True)
        }
        self._forcing = tf.function(self._forced_params, **options)

    def draw_images(
        self,
        features,
        noise,
        log_scale_shift,
        auxiliary=None,
        completed=None,
        within=None,
        method="incremental",
        jit_compile=False,
    ):
        """Draws images.

        Args:
          features: list of float [B, h, w, F], `factor.features` of the auxiliary images; () for an
            unconditional factor.
          noise: float [B, H, W, noise_size], from `noise`: `bounded` for a factor with a fixed sum, and
            wherever `within` is given.
          log_scale_shift: float32 [B].
          auxiliary: uint8 [B, h, w, c], the auxiliary images themselves. Only a factor with a fixed sum needs
            them.
          completed: (uint8 [B, H, W, C], uint8 [B, H, W, 1]), pixels that are known, and 1 where they
            are; None where none is.
          within: (uint8 [B, H, W, C], uint8 [B, H, W, C]), the least and the most that each value is known to
            be; None where nothing is known.
          method: "incremental", or "full": the network evaluated anew for every pixel.
          jit_compile: bool, whether XLA compiles the loop, once for each shape.

        Returns:
          uint8 [B, H, W, C].
        """
        # The size as plain numbers: whatever shapes are traced anew for, it never becomes unknown.
        size = tuple(noise.shape[1:3])
        if self._factor.fixed_sum is None:
            auxiliary = None
        drawing = self._drawing[jit_compile]
        return drawing(size, features, noise, log_scale_shift, auxiliary, completed, within, method)

    def _draw_images(
        self, size, features, noise, log_scale_shift, auxiliary, completed, within, method
    ):
        factor, remaining = self._factor, None
        if factor.fixed_sum is not None:
            remaining = Remaining(factor.fixed_sum, auxiliary, within)
        decider = draws(factor.likelihood, noise, log_scale_shift)
        if completed is not None:
            decider = completion(*completed, decider)
        if within is not None:
            decider = narrowed(*within, decider)
        fill = {"full": _fill_anew, "incremental": _fill_incrementally}[method]
        batch = noise.shape[0] or tf.shape(noise)[0]
        return fill(factor, features, size, batch, remaining, decider)

    def forced_params(self, features, images, auxiliary=None):
        """The parameters that the incremental evaluation meets on its way through given images.

        Args:
          features, auxiliary: as for `draw_images`.
          images: uint8 [B, H, W, C].

        Returns:
          float [B, H, W, P].
        """
        if self._factor.fixed_sum is None:
            auxiliary = None
        return self._forcing(tuple(images.shape[1:3]), features, images, auxiliary)

    def _forced_params(self, size, features, images, auxiliary):
        factor, batch = self._factor, images.shape[0] or tf.shape(images)[0]
        remaining = factor.fixed_sum and Remaining(factor.fixed_sum, auxiliary)
        scan = incremental.Scan(
            factor.network, factor.seen, size, batch, remaining, keep_params=True
        )
        _, params = scan.decide_each_pixel(features, given_pixels(images))
        return params


def _fill_incrementally(factor, features, size, batch, remaining, decider):
    scan = incremental.Scan(factor.network, factor.seen, size, batch, remaining)
    [images] = scan.decide_each_pixel(features, decider)
    return images


def _fill_anew(factor, features, size, batch, remaining, decider):
    height, width = size

    @backend.sums_in_order()
    def step(index, images):
        row, column = index // width, index % width
        seen = factor.seen(images, remaining and remaining.centers(images))
        params = factor.network(seen, features, training=False)
        bounds = remaining and remaining.at(images, row, column)
        pixels = tf.cast(decider(row)(params[:, row, column], column, bounds), tf.uint8)
        here = tf.reshape(tf.range(height * width) == index, [height, width, 1])
        return index + 1, tf.where(here, pixels[:, tf.newaxis, tf.newaxis], images)

    images = tf.zeros([batch, height, width, factor.likelihood.num_channels], tf.uint8)
    _, images = tf.while_loop(lambda index, _: index < height * width, step, (0, images))
    return images
