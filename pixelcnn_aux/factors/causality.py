"""Causality test of networks, run when a factor is built from a class outside the package."""

import math
from typing import Any

import numpy as np

from pixelcnn_aux.base.errors import expect, restated

_SIZE = 6, 9  # smallest height and width of images
_CHANGES = 24  # changed pixels, one per image
_TOLERANCE = 1e-4  # of parameters of order one


def check(factor: Any) -> None:
    """Raises ValueError if a pixel's parameters depend on a pixel that is not decided before it.

    If the network declares a `radius`, parameters must not depend on any pixel or feature beyond it either.

    Args:
      factor: `Factor`. Its weights are perturbed, since zeros would hide dependencies.
    """
    random, smallest = np.random.default_rng(0), factor.smallest_inputs()
    factor = factor.with_weights({x: _perturbed(y, random) for x, y in factor.weights.items()})
    network = factor.network
    unit, _, channels = smallest.images.shape[1:]
    size = [-(-side // unit) * unit for side in _SIZE]
    pixels = np.argwhere(np.ones(size))
    changed = random.permutation(pixels)[:_CHANGES]
    count, sides = 1 + len(changed), [(*size, channels)]  # image 0 is unchanged
    if factor.is_conditional:
        times = np.array(size) // unit
        auxiliary = np.tile(smallest.auxiliary, (1, *times, 1))
        sides += [tuple(x.shape[1:]) for x in factor.embed(auxiliary)]
    images = (random.normal(size=(1, *x)).astype(factor.dtype) for x in sides)
    inputs = [np.repeat(x, count, axis=0) for x in images]

    # For each changed pixel, the pixels whose parameters must not depend on it: [N, H, W].
    blocks = changed[:, None] // network.side - pixels // network.side
    radius = math.inf if network.radius is None else network.radius
    far = (np.abs(blocks).max(axis=-1) > radius).reshape(-1, *size)
    turns = network.turns(size)
    early, name = turns <= turns[tuple(changed.T)][:, None, None], type(network).__name__

    def params(inputs):
        x, *features = (x.copy() for x in inputs)
        expected = f"{name} to take x {x.shape} and features {[f.shape for f in features]}"
        with restated(expected, "an error", "Correct its `forward`", Exception):
            params = network(x, features)
        expected = count, *size, network.num_params
        fits, received = params.shape == expected, params.shape
        expect(fits, f"{name} to give {expected}", received, "Correct its `forward`")
        return params

    def check_dependencies(features):
        changed_inputs = [x.copy() for x in inputs]
        for x in changed_inputs if features else changed_inputs[:1]:
            places = changed * x.shape[1:3] // size
            x[range(1, count), *places.T] += random.normal(2, 1, x.shape[-1])
        before, after = params(inputs), params(changed_inputs)
        wrong = (np.abs(after - before) > _TOLERANCE * np.maximum(1, np.abs(before))).any(axis=-1)
        wrong[1:] &= far if features else far | early
        image, *pixel = (np.argwhere(wrong)[0] if wrong.any() else changed[0]).tolist()
        seen = f"{changed[image - 1].tolist()}" if image else "other images"
        expect(
            not wrong.any(),
            f"{name} to compute parameters of a pixel from pixels that are decided before it"
            f"{'' if network.radius is None else f', at most {network.radius} blocks away'}",
            f"parameters of pixel {pixel} that depend on {seen}",
            "Mask or shift its layers, and normalize over channels alone (docs/extending.md)",
        )

    check_dependencies(features=False)
    if network.radius is not None:
        check_dependencies(features=True)


def _perturbed(x, random):
    scale = 1 / math.sqrt(math.prod(x.shape[:-1]))
    return x + random.uniform(0, scale, x.shape).astype(x.dtype)
