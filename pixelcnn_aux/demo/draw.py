"""Draws images scale by scale."""

import sys
import time

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import arguments
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.demo.shown import Figure, Shown
from pixelcnn_aux.image_grid import shown

IMAGES = 4  # that are drawn at once
SIDE = 64  # of images that a model of any size draws
SHIFTS = (-2.0, 0.5)  # of log-scales: below, draws hardly vary; above, they are noise
MAX_SEED = 2**31 - 1


def draw(models, name, seed, shift, is_map, label=None):
    """Draws images, each factor given what the one before it drew: those of `AuxiliaryModel.sample`.

    Args:
      models: `Models`.
      name: str, of one of them.
      seed: int.
      shift: float, added to log-scales.
      is_map: bool, whether by MAP sampling.
      label: int, the class, of a model of classes; -1 or None for none.

    Yields `Shown`, factor after factor.
    """
    seeds, shift = checked(seed, shift, IMAGES)
    mode = "map" if arguments.flag("MAP sampling", is_map) else "sample"
    yield Shown(f"Loading {name}", 0)
    model, start = models.load(name), time.monotonic()
    condition = None
    if isinstance(model.condition, Classes) and label is not None:
        condition = np.full(IMAGES, arguments.whole("the class", label, -1, sys.maxsize))
    sizes = model.sizes(model.image_size or (SIDE, SIDE))
    figures, given = (), None
    for done, (factor, size) in enumerate(sizes.items()):
        yield Shown(f"Drawing {factor}", done / len(sizes), figures)
        first = first_factors(model, factor)
        drawn = first.sample(seeds, shift, mode, given=given, condition=condition, image_size=size)[
            factor
        ]
        given = {factor: drawn}
        images = shown(drawn, first.likelihood.num_values)
        figures += (Figure(factor, [*images]),)
    yield Shown(f"Drew {IMAGES} images by {name} in {since(start)}", None, figures)


def first_factors(model, name):
    """The chain of a model's factors up to one of a name, which draws what the model draws that far."""
    count = model.position(name) + 1
    transforms = model.transforms[len(model.factors) - count :]
    size = model.image_size and model.sizes()[name]
    first = pa.AuxiliaryModel(list(model.factors.values())[:count], transforms, size)
    first.untrained = model.untrained
    return first


def checked(seed, shift, count):
    """What draws are told: seeds, [count, 2], and the shift. Raises ValueError for others."""
    seed = arguments.whole("the seed", seed, 0, MAX_SEED)
    low, high = SHIFTS
    if not isinstance(shift, (int, float)) or not low <= shift <= high:  # nor NaN
        raise ValueError(
            f"Expected a shift of log-scales from {low} to {high}. Received: {arguments.short_repr(shift)}. "
            "Choose another one."
        )
    return [[seed, number] for number in range(count)], float(shift)


def since(start):
    """The time since a `time.monotonic`, in words."""
    return f"{time.monotonic() - start:.1f} s"
