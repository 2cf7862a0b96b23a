"""Helpers of tests of likelihoods: random parameters, bounds, noise and draws."""

import numpy as np
import tensorflow as tf

from pixelcnn_aux.sums import Bounds

NUM_DRAWS = 20_000
# For a mixture of ten components over RGB.
IS_LOG_SCALE = np.repeat([0, 0, 1, 0, 0, 1, 0, 0, 1, 0], 10)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def random_params(*shape, num_components=10, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 10 * num_components))


def random_noise(likelihood, *shape, dtype=np.float64, seed=1, mode="sample", bounded=False):
    size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
    uniforms = np.random.default_rng(seed).random((*shape, size), dtype=dtype)
    return likelihood.noise(uniforms, mode, bounded)


def draw_many(likelihood, params, dtype=np.float64, mode="sample", **kwargs):
    bounded = "bounds" in kwargs
    noise = random_noise(likelihood, NUM_DRAWS, dtype=dtype, seed=0, mode=mode, bounded=bounded)
    params = np.broadcast_to(params.astype(dtype), (NUM_DRAWS, likelihood.num_params))
    return likelihood.draw(params, noise, **kwargs)


def fixed_bounds(low, high, center):
    """Bounds of [..., C] that ignore the pixel's earlier channels."""
    bounds = Bounds(low, high, center)
    return lambda channel, earlier: Bounds(*(x[..., channel] for x in bounds))


def every_value(pixels, center=None):
    """`Bounds` that allow all values."""
    return Bounds(0 * pixels, 0 * pixels + 255, center)


def random_bounds(*shape, num_values=256, channels=3, seed=2):
    """low, high, center [*shape, channels], and pixels within them."""
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.integers(0, num_values, (2, *shape, channels)), axis=0)
    ends[1] = np.where(rng.random(ends[1].shape) < 0.2, ends[0], ends[1])
    low, high = ends
    center = rng.uniform(0, num_values - 1, low.shape)
    return low, high, center, rng.integers(low, high + 1)


def extreme_params(count):
    """float32 [2 count, 100]: small to extreme values, then pixels with ten equal components."""
    rng, signed = np.random.default_rng(0), [-1e6, -1.0, 0.0, 1e-6, 1.0, 1e6]
    scales = [-1e6, -7.0, 0.0, 5.0, 30.0, 90.0]
    choices = [signed, *(signed, scales, signed) * 3]
    params = np.concatenate([rng.choice(values, (count, 10)) for values in choices], axis=-1)
    # No ordinary component compensates for the others.
    same = params[:, ::10].repeat(10, axis=-1)
    return tf.constant(np.concatenate([params, same]), tf.float32)
