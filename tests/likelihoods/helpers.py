"""What the tests of likelihoods share: random parameters, noise and draws."""

import numpy as np
import tensorflow as tf

NUM_DRAWS = 20_000


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def random_params(*shape, num_components=10, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 10 * num_components))


def random_noise(likelihood, *shape, dtype=np.float64, seed=1, mode="sample"):
    uniforms = np.random.default_rng(seed).random((*shape, likelihood.noise_size), dtype=dtype)
    return likelihood.noise(tf.constant(uniforms), mode)


def draw_many(likelihood, params, dtype=np.float64, mode="sample", **kwargs):
    noise = random_noise(likelihood, NUM_DRAWS, dtype=dtype, seed=0, mode=mode)
    params = np.broadcast_to(params.astype(dtype), (NUM_DRAWS, likelihood.num_params))
    return likelihood.draw(params, noise, **kwargs).numpy()


def extreme_params(count):
    """float32 [2 count, 100]: anything from small to extreme, and whole pixels at one extreme."""
    rng, signed = np.random.default_rng(0), [-1e6, -1.0, 0.0, 1e-6, 1.0, 1e6]
    scales = [-1e6, -7.0, 0.0, 5.0, 30.0, 90.0]
    choices = [signed, *(signed, scales, signed) * 3]
    params = np.concatenate([rng.choice(values, (count, 10)) for values in choices], axis=-1)
    # No ordinary component comes to the rescue of the others.
    same = params[:, ::10].repeat(10, axis=-1)
    return tf.constant(np.concatenate([params, same]), tf.float32)
