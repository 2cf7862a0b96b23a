"""A model and a picture for the suites of the codec, the same on all machines."""

import functools

import numpy as np

import pixelcnn_aux as pa

SIZE = (45, 62)


def model(image_size=None, **changes):
    """A tiny rounded parallel pyramid, whose weights are the same on all machines."""
    how = {"halvings": 1, "filters": 6, "blocks": 1, "trunk_blocks": 1, "parts": (1, 2, 1, 1)}
    how |= {"base_filters": 4, "base_blocks": 1, "base_parts": 3, "num_components": 3}
    return with_weights(
        pa.rounded(pa.parallel_pyramid(image_size=image_size, **{**how, **changes}))
    )


def with_weights(made):
    """A rounded model with weights that are the same on all machines."""
    for seed, factor in enumerate(made.factors.values()):
        rng, weights = np.random.default_rng(seed), {}
        for path, weight in factor.shapes.items():
            if path.endswith("/v"):
                kernel = rng.integers(-127, 128, weight.shape) / 512  # whole already
                weights[path] = kernel
            elif path.endswith("/g"):
                weights[path] = np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1))))
            else:
                weights[path] = rng.integers(-64, 65, weight.shape) / 128
        made = made.with_factor(factor.with_weights(weights).with_rounded_weights())
    return made


@functools.cache
def shared_model():
    """A `model` of images of any size: none may change it."""
    return model()


def image():
    """uint8 [*SIZE, 3]: edges, a gradient and noise."""
    rows, columns = np.indices(SIZE)
    smooth = 2 * rows + columns + 40 * (columns > 30)
    noise = np.random.default_rng(0).integers(0, 20, (*SIZE, 3))
    return (smooth[..., np.newaxis] + noise).astype(np.uint8)
