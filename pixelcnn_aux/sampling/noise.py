"""The noise that draws consume."""

import tensorflow as tf

from pixelcnn_aux import backend


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


@backend.traced
def _uniforms(seeds, position, shape, dtype):
    # What a seed is folded to is of the position's dtype: in 32 bits, many seeds would share one.
    position = tf.cast(position, tf.int64)

    def image_uniforms(seed):
        seed = tf.random.fold_in(seed, position, alg="philox")
        return tf.random.stateless_uniform(shape, seed, dtype=dtype, alg="philox")

    return tf.map_fn(image_uniforms, seeds, fn_output_signature=dtype)
