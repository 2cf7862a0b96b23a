"""Whether a network is causal: tried when a factor is built from a class that is not the package's."""

import math
from typing import Any

import numpy as np
from keras import ops

from pixelcnn_aux.errors import expect, restated

_SIZE = 6, 9  # of images, at least
_CHANGES = 24  # pixels that change, each in an image of its own
_TOLERANCE = 1e-4  # of parameters of order one


def check(factor: Any) -> None:
    """Raises ValueError if parameters of a pixel depend on a pixel that is not decided before it.

    The network is evaluated as in inference and as in training, with weights moved away from their initial
    values: zeros would hide dependencies that training creates. All its variables are restored. Where it
    declares a `radius`, parameters may depend on no pixel and no feature beyond it.
    """
    network, smallest = factor.network, factor.smallest_inputs()
    unit, _, channels = smallest.images.shape[1:]
    size = [-(-side // unit) * unit for side in _SIZE]
    pixels, random = np.argwhere(np.ones(size)), np.random.default_rng(0)
    changed = random.permutation(pixels)[:_CHANGES]
    count, sides = 1 + len(changed), [(*size, channels)]  # image 0 does not change
    if factor.embedding is not None:
        times = np.array(size) // unit
        auxiliary = np.tile(smallest.auxiliary, (1, *times, 1))
        sides += [tuple(x.shape[1:]) for x in factor.features(auxiliary)]
    inputs = [np.repeat(random.normal(size=(1, *x)), count, axis=0) for x in sides]

    # Of each changed pixel, the pixels whose parameters may not depend on it: [N, H, W].
    blocks = changed[:, None] // network.side - pixels // network.side
    radius = math.inf if network.radius is None else network.radius
    far = (np.abs(blocks).max(axis=-1) > radius).reshape(-1, *size)
    turns = network.turns(size)
    early = turns <= turns[tuple(changed.T)][:, None, None]

    name, initial = type(network).__name__, [*map(ops.convert_to_numpy, network.variables)]
    moved = [_moved(variable, random) for variable in network.variables]
    condition = factor.condition and factor.condition.unknown(count)

    def params(inputs, training):
        for variable, value in zip(network.variables, moved):
            variable.assign(value)
        x, *features = (ops.convert_to_tensor(x, factor.variable_dtype) for x in inputs)
        expected = f"{name} to take x {x.shape} and features {[f.shape for f in features]}"
        with restated(expected, "an error", "Correct its `call`", Exception):
            found = np.asarray(ops.cast(network(x, features, training=training), "float32"))
        shape = count, *size, network.num_params
        expect(found.shape == shape, f"{name} to give {shape}", found.shape, "Correct its `call`")
        return found

    def check_dependencies(training, features):
        others = [x.copy() for x in inputs]
        for x in others if features else others[:1]:
            places = changed * x.shape[1:3] // size
            x[range(1, count), *places.T] += random.normal(2, 1, x.shape[-1])
        before, after = params(inputs, training), params(others, training)
        if training and not np.array_equal(before, params(inputs, training), equal_nan=True):
            return  # dropout of random numbers whose state is not the network's
        wrong = (np.abs(after - before) > _TOLERANCE * np.maximum(1, np.abs(before))).any(axis=-1)
        wrong[1:] &= far if features else far | early
        image, *pixel = (np.argwhere(wrong)[0] if wrong.any() else changed[0]).tolist()
        seen = f"{changed[image - 1].tolist()}" if image else "other images"
        expect(
            not wrong.any(),
            f"{name} to compute parameters of a pixel from pixels that are decided before it"
            f"{'' if network.radius is None else f', at most {network.radius} blocks away'}",
            f"parameters of pixel {pixel} that depend on {seen}{' in training' * training}",
            "Mask or shift its layers, and normalize over channels alone (docs/extending.md)",
        )

    try:
        with factor.given(condition):
            for training in (False, True):
                check_dependencies(training, features=False)
                if network.radius is not None:
                    check_dependencies(training, features=True)
    finally:
        for variable, value in zip(network.variables, initial):
            variable.assign(value)


def _moved(variable, random):
    """A value for a variable: trainable ones, and variances, are positive where they were."""
    value = ops.convert_to_numpy(variable)
    if not variable.trainable:
        return value
    scale = 1 / math.sqrt(math.prod(value.shape[:-1]))
    value = value + random.uniform(0, scale, value.shape).astype(value.dtype)
    return value if variable.constraint is None else variable.constraint(value)
