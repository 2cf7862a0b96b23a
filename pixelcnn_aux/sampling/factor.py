"""Drawing images from a factor, pixel by pixel in raster order."""

import tensorflow as tf

from pixelcnn_aux import backend
from pixelcnn_aux.sampling import deciders, incremental
from pixelcnn_aux.sampling.remaining import Remaining


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
        factor = self._factor
        decider = deciders.draws(factor.likelihood, noise, log_scale_shift)
        if completed is not None:
            decider = deciders.completion(*completed, decider)
        if within is not None:
            decider = deciders.narrowed(*within, decider)
        batch = noise.shape[0] or tf.shape(noise)[0]
        if method == "full":
            return _fill_anew(factor, features, size, batch, auxiliary, within, decider)
        [images] = scan(factor, size, batch, auxiliary, within).decide_each_pixel(features, decider)
        return images

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
        forced = scan(factor, size, batch, auxiliary, keep_params=True)
        _, params = forced.decide_each_pixel(features, deciders.given_pixels(images))
        return params


def scan(factor, size, batch, auxiliary=None, within=None, keep_params=False):
    """`incremental.Scan` of a factor's images. Args as there, as for `Remaining`, and for `Factor`."""
    remaining = factor.fixed_sum and Remaining(factor.fixed_sum, auxiliary, within)
    return incremental.Scan(factor.network, factor.seen, size, batch, remaining, keep_params)


def _fill_anew(factor, features, size, batch, auxiliary, within, decider):
    height, width = size
    remaining = factor.fixed_sum and Remaining(factor.fixed_sum, auxiliary, within)

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
