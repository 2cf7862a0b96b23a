"""Drawing images from a chain: each factor in turn given what the one before it drew."""

import math

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend
from pixelcnn_aux.batches import MAX_TILE_PIXELS, in_batches
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.likelihoods.base import MODES
from pixelcnn_aux.networks import METHODS


def sample(
    model,
    seeds,
    log_scale_shift,
    mode,
    method,
    given,
    known,
    mask,
    jit_compile,
    condition,
    image_size,
):
    """`AuxiliaryModel.sample`: checks its arguments, and draws in batches."""
    seeds, shifts = checked_draws(seeds, log_scale_shift, mode, jit_compile)
    arguments.choice("method", method, METHODS)
    given = _given(model, given)
    batch = len(seeds)
    sizes = model.sizes(image_size or _size_of(model, given, known))
    given = {
        name: _checked_given(model, name, images, batch, sizes) for name, images in given.items()
    }
    [*_, size] = sizes.values()
    condition = model.checked_condition(condition, batch)
    model.require(names_from(model, given))
    kept = {} if known is mask is None else kept_pixels(model, known, mask, batch, given, size)

    def draw_rows(rows):
        how = {"mode": mode, "method": method, "jit_compile": jit_compile}
        return draw(model, **rows, sizes=sizes, **how)

    rows = {"seeds": seeds, "log_scale_shift": shifts, "given": given, "kept": kept}
    rows["condition"] = condition
    return in_batches(draw_rows, rows, size, jit_compile)


def _size_of(model, given, known):
    """(H, W) to draw by a model of images of any size, as `given` or `known` have it; None for no size."""
    if model.image_size is not None:
        return None
    if known is not None:
        return np.shape(known)[1:3]
    if not given:
        return None
    [(name, images)] = given.items()
    above = model.transforms[: len(model.transforms) - model.position(name)]
    times = math.prod(transform.ratio for transform in above)
    return [times * side for side in np.shape(images)[1:3]]


def checked_draws(seeds, log_scale_shift, mode, jit_compile):
    """Checks what every draw is told, as `AuxiliaryModel.sample`: int32 [B, 2], float32 [B]; raises as it."""
    arguments.choice("mode", mode, MODES)
    arguments.flag("jit_compile", jit_compile)
    seeds, shifts = (
        ops.convert_to_tensor(arguments.array(name, x))
        for name, x in (("seeds", seeds), ("log_scale_shift", log_scale_shift))
    )
    if backend.is_symbolic(seeds) or backend.is_symbolic(shifts):
        raise ValueError(
            "Expected seeds and log_scale_shift that have values. Received: those of a graph that is traced. "
            "Draw outside of tf.function and of data sets' pipelines."
        )
    dtype = keras.backend.standardize_dtype(seeds.dtype)
    if dtype != "int32" or tuple(seeds.shape[1:]) != (2,):
        raise ValueError(
            f"Expected seeds as int32 [B, 2]. Received: {dtype} {list(seeds.shape)}. Give two numbers for "
            "each image."
        )
    batch, shifts = len(seeds), ops.cast(shifts, "float32")
    if tuple(shifts.shape) not in ((), (batch,)) or not ops.all(ops.isfinite(shifts)):
        raise ValueError(
            f"Expected log_scale_shift as a finite number, or one for each of {batch} images. Received: "
            f"{arguments.short_repr(log_scale_shift)}. Give 0 to draw as trained, less to vary less."
        )
    return seeds, ops.broadcast_to(shifts, (batch,))


def draw(model, seeds, log_scale_shift, given=None, kept=None, condition=None, sizes=None, **how):
    """What `sample` does with arguments that are checked: all at once, and also within a graph.

    Args:
      model: `AuxiliaryModel`.
      seeds: int32 [B, 2].
      log_scale_shift: float32 [B].
      given: as for `AuxiliaryModel.sample`.
      kept: dict, from `kept_pixels`; None or empty where nothing is known.
      condition: as in `Inputs`.
      sizes: dict, from `AuxiliaryModel.sizes`; None for those of the model.
      **how: mode, method and jit_compile, as for `AuxiliaryModel.sample`.

    Returns:
      As `AuxiliaryModel.sample`.
    """
    drawn, kept, sizes = dict(given or {}), kept or {}, sizes or model.sizes()
    image = next(iter(drawn.values()), None)
    for name in names_from(model, drawn):
        factor = model.factors[name]
        known = image, kept.get(name), condition, sizes[name]
        image = drawn[name] = draw_factor(model, factor, seeds, log_scale_shift, *known, **how)
    return drawn


def draw_factor(
    model,
    factor,
    seeds,
    log_scale_shift,
    auxiliary=None,
    kept=None,
    condition=None,
    size=None,
    mode="sample",
    method="incremental",
    jit_compile=False,
):
    """The images of a factor of a chain, or of one like it: uint8 [B, H, W, C].

    Args as for `draw`, but for `auxiliary`, uint8 [B, h, w, c], what the factor is given, None for the first;
    `kept`, a dict, what `kept_pixels` says of this factor; and `size`, (H, W) of its images, None for the
    model's.
    """
    kept, position = kept or {}, model.position(factor.name)
    size = size or model.sizes()[factor.name]
    noises = Noise(factor, seeds, position, size, mode, bounded="within" in kept)
    if _is_in_tiles(model, factor, seeds, size, method, jit_compile):
        return factor.draw_in_tiles(
            noises, log_scale_shift, size, auxiliary, condition=condition, **kept
        )
    return factor.draw(
        () if auxiliary is None else factor.features(auxiliary, condition),
        noises[:, :, :],
        log_scale_shift,
        auxiliary,
        condition=condition,
        method=method,
        jit_compile=jit_compile,
        **kept,
    )


def _is_in_tiles(model, factor, seeds, size, method, jit_compile):
    """Whether images are drawn in tiles: large ones, or of any size, for which no graph is traced then."""
    if factor.radius is None or backend.is_symbolic(seeds) or method == "full" or jit_compile:
        return False
    return model.image_size is None or math.prod(size) > MAX_TILE_PIXELS


def names_from(model, given):
    """The names of a model's factors that are left to draw, in order: those after what is given, a dict."""
    names = list(model.factors)
    return names[max((names.index(name) + 1 for name in given), default=0) :]


def kept_pixels(model, known, mask, batch, given=None, size=None):
    """What the factors keep of full images, for `draw`.

    Args:
      model: `AuxiliaryModel`.
      known, mask: as for `AuxiliaryModel.sample`.
      batch: B, or None where it is not known while a graph is traced.
      given: dict with one auxiliary image, or None, as for `AuxiliaryModel.sample`.
      size: (H, W) of the full images; None for the model's.

    Returns:
      dict, name -> arguments of `Factor.draw`: "completed", or "within" where the draws of a factor
      are within bounds.

    Raises:
      ValueError: as `AuxiliaryModel.sample`.
    """
    _check_can_complete(model, given or {})
    if (known is None) != (mask is None):
        raise ValueError(
            "Expected known images and a mask, or neither. "
            f"Received: known={'None' if known is None else 'images'}, "
            f"mask={'None' if mask is None else 'a mask'}. Give both, or neither."
        )
    shape, channels = [batch, *(size or model.image_size)], model.likelihood.num_channels
    known = _checked("known images", known, [*shape, channels], model.likelihood.num_values)
    mask = _checked("a mask", mask, [*shape, 1], num_values=2)
    images, masks = model.auxiliaries(known), [mask]
    for transform in model.transforms:
        masks.append(transform.known(masks[-1]))
    kept, told = {}, None
    # From the full image down: where a sum is fixed, what is known of an image leaves an interval for each
    # value of its auxiliary image.
    for (name, factor), mask in zip(reversed(model.factors.items()), masks):
        if told is None:
            largest = factor.likelihood.num_values - 1
            low, high = (
                ops.where(mask == 1, images[name], ops.cast(x, images[name].dtype))
                for x in (0, largest)
            )
        else:
            low, high = (ops.cast(told.auxiliary(x), images[name].dtype) for x in (low, high))
            if given and name in given:
                _check_agrees(name, *map(ops.convert_to_numpy, (given[name], low, high)))
        bounded = told is not None or factor.fixed_sum is not None
        kept[name] = {"within": (low, high)} if bounded else {"completed": (images[name], mask)}
        told = factor.fixed_sum if factor.exact else None
    return kept


def can_complete(model):
    """Whether an `AuxiliaryModel` draws images of which pixels are known and nothing else: bool."""
    try:
        _check_can_complete(model, {})
    except ValueError:
        return False
    return True


def _check_can_complete(model, given):
    """Raises ValueError where a factor to draw cannot be held to what known pixels leave for it."""
    above = None  # the factor that is drawn next: from the full image down
    for name in reversed(names_from(model, given)):
        factor = model.factors[name]
        if above and above.exact and factor.likelihood.bounded_noise_size is None:
            raise ValueError(
                f"Expected a likelihood of {name!r} that has bounds, since the exact factor {above.name!r} "
                "has to agree with its images and with the known pixels. "
                f"Received: {type(factor.likelihood).__name__}. Give it bounds "
                f"(likelihoods.Likelihood), give an image of {name!r}, draw without known pixels, or take "
                "model.with_exact(False)."
            )
        if factor.exact and not factor.fixed_sum.dense:
            raise ValueError(
                f"Expected sums of {name!r} with a step of their largest weight or more, so that some values "
                f"agree whatever pixels are known. Received: step={factor.fixed_sum.step}. Draw without "
                "known pixels, or build the model with exact=False."
            )
        above = factor


def _check_agrees(name, images, low, high):
    """Raises ValueError where an auxiliary image lies outside of what the known pixels leave for it."""
    contradicts = (images < low) | (images > high)
    if contradicts.any():
        index = tuple(np.argwhere(contradicts)[0].tolist())
        least, most = low[index], high[index]
        raise ValueError(
            f"Expected given[{name!r}] to agree with the known pixels: in image {index[0]}, row {index[1]}, "
            f"column {index[2]}, {least if least == most else f'{least} to {most}'}. "
            f"Received: {images[index]}. Give the auxiliary image of the known pixels, or mask out what "
            "contradicts it."
        )


_ANY_SIZE = "Resize them, or ask model.complete, which takes pictures of any size"


def _given(model, given):
    """`given` as a dict with the name of an auxiliary image at most."""
    names, given = list(model.factors)[:-1], arguments.instance("given", given, dict, optional=True)
    if given is None:
        return {}
    if len(given) != 1 or not set(given) <= set(names):
        raise ValueError(
            f"Expected one auxiliary image of {names} to start from. Received: {list(given)}. "
            "Give one of them."
        )
    return given


def _checked_given(model, name, images, batch, sizes):
    remedy = "Resize them, or ask model.colorize or model.enlarge, which take larger ones"
    likelihood = model.factors[name].likelihood
    shape = [batch, *sizes[name], likelihood.num_channels]
    return _checked(f"given[{name!r}]", images, shape, likelihood.num_values, remedy)


def _checked(what, images, shape, num_values, remedy=_ANY_SIZE):
    """Images of a shape [B, H, W, C], B being that of the seeds, as a tensor."""
    images = ops.convert_to_tensor(check_images(images, shape[-1], num_values, what))
    (batch, *size, _), (found_batch, *found_size, _) = shape, images.shape
    if found_size != size:
        expected, found = (" x ".join(map(str, x)) for x in (size, found_size))
        raise ValueError(
            f"Expected {what} of {expected}, the size that the model draws. Received: {found}. {remedy}."
        )
    if found_batch != batch:
        raise ValueError(
            f"Expected {what} for each of {batch} seeds. Received: {found_batch}. Give as many."
        )
    return images


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
