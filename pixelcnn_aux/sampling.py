"""Drawing images from a factor, pixel by pixel in raster order.

How a pixel's distribution is computed and who decides the pixel from it are apart: the first is the
loop of this module, the second a function `decide(params, row, column)` that it calls.
"""

import tensorflow as tf

METHODS = ("full",)


def check_method(method):
    """Raises ValueError for a way of evaluating networks that there is not."""
    if method not in METHODS:
        raise ValueError(f"Expected a method of {METHODS}. Received: method={method!r}")


def noise(factor, seeds, position, size):
    """The uniforms that a factor's draws consume, each image's a function of its seed alone.

    Drawn eagerly: inside a compiled function the same seed would give other numbers.

    Args:
      factor: `Factor`.
      seeds: int32 [B, 2].
      position: int, the factor's place in the chain; no two factors share noise.
      size: (H, W).

    Returns:
      float [B, H, W, noise_size] in [0, 1), of the factor's dtype.
    """
    shape = [*size, factor.likelihood.noise_size]
    folded = [tf.random.fold_in(seed, position, alg="philox") for seed in tf.unstack(seeds)]
    return tf.stack(
        [
            tf.random.stateless_uniform(shape, seed, dtype=factor.compute_dtype, alg="philox")
            for seed in folded
        ]
    )


@tf.function(reduce_retracing=True)
def draw_images(factor, auxiliary, uniforms, log_scale_shift, mode):
    """Draws images, evaluating the network anew for every pixel.

    Args:
      factor: `Factor`.
      auxiliary: uint8 [B, h, w, c], or None for an unconditional factor.
      uniforms: float [B, H, W, noise_size], from `noise`.
      log_scale_shift: float32 [B].
      mode: "sample" or "map".

    Returns:
      uint8 [B, H, W, C].
    """
    features = () if auxiliary is None else factor.features(auxiliary)

    def decide(params, row, column):
        return factor.likelihood.draw(params, uniforms[:, row, column], log_scale_shift, mode)

    return _decide_each_pixel(factor, features, uniforms.shape[1:3], tf.shape(uniforms)[0], decide)


def _decide_each_pixel(factor, features, size, batch, decide):
    height, width = size
    images = tf.zeros([batch, height, width, factor.likelihood.num_channels], tf.uint8)

    def step(index, images):
        row, column = index // width, index % width
        params = factor.network(factor.scaled(images), features, training=False)
        pixels = tf.cast(decide(params[:, row, column], row, column), tf.uint8)
        here = tf.reshape(tf.range(height * width) == index, [height, width, 1])
        return index + 1, tf.where(here, pixels[:, tf.newaxis, tf.newaxis], images)

    _, images = tf.while_loop(lambda index, _: index < height * width, step, (0, images))
    return images
