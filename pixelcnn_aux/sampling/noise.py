"""The noise that draws consume."""

import numpy as np

from pixelcnn_aux import backend


class Noise:
    """What a factor's draws consume, of each image a function of its seed alone.

    noise[:, rows, columns], two slices, is that of a part of the images, float [B, h, w, noise_size] of the
    factor's dtype, or [B, h, w, bounded_noise_size]: `likelihood.noise` of uniforms. It is drawn when it is
    asked for: never ask inside a function that XLA compiles for TensorFlow, where the same seed would give
    other numbers.

    Args:
      factor: `Factor`.
      seeds: int32 [B, 2].
      position: int, the factor's place in the chain; no two factors share noise.
      size: (H, W).
      mode: "sample" or "map".
      bounded: bool, whether for draws within bounds; those of a factor with a fixed sum always are.
    """

    def __init__(self, factor, seeds, position, size, mode="sample", bounded=False):
        likelihood, self._seeds, self._stream = factor.likelihood, seeds, position
        bounded = bounded or factor.fixed_sum is not None
        self._size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        self._shape, self._dtype = (*size, self._size), factor.variable_dtype
        self._of = lambda uniforms: likelihood.noise(uniforms, mode, bounded)

    def __getitem__(self, index):
        _, rows, columns = index
        some = None
        if rows != slice(None):
            some = np.array(rows.indices(self._shape[0])[:2], np.int64)
        uniforms = _uniforms(self._seeds, self._stream, self._shape, self._dtype, some)
        return self._of(uniforms[:, :, columns])


def noise(*args, **kwargs):
    """`Noise` of whole images. Args as for it."""
    return Noise(*args, **kwargs)[:, :, :]


_uniforms = backend.traced(backend.uniforms)
