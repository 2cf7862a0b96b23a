"""The noise that draws consume."""

from pixelcnn_aux import backend


def noise(factor, seeds, position, size, mode="sample", bounded=False):
    """What a factor's draws consume, of each image a function of its seed alone.

    Never drawn inside a function that XLA compiles for TensorFlow: there, the same seed would give other
    numbers.

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
    uniforms = _uniforms(seeds, position, shape, factor.variable_dtype)
    return likelihood.noise(uniforms, mode, bounded)


_uniforms = backend.traced(backend.uniforms)
