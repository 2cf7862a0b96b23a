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
