"""Pictures of any size: colored, enlarged, completed."""

import numpy as np
from keras import ops

from pixelcnn_aux import arguments
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.sampling import windows
from pixelcnn_aux.sampling.chains import checked_draws, draw, kept_pixels, names_from


def colorize(model, images, *how):
    """`AuxiliaryModel.colorize`."""
    names = list(model.factors)
    channels = [model.factors[name].likelihood.num_channels for name in names[-2:]]
    if channels != [1, 3]:
        raise ValueError(
            "Expected a model whose last factor has three channels and is given an auxiliary image of one, "
            f"its grays. Received: factors {names}, the last ones of {channels} channels. Take another "
            "model, such as cifar10-grayscale."
        )
    images = np.asarray(check_images(images, num_values=model.likelihood.num_values))
    if images.shape[-1] not in (1, 3):
        raise ValueError(
            f"Expected images as uint8 [B, H, W, 1 or 3]. Received: shape {list(images.shape)}. Give "
            "photographs, or grays from 0 to 255."
        )
    photographs = images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)
    photographs = _padded(model, names[-1], photographs)
    given = {names[-2]: model.transforms[0](photographs)}
    drawn = _draw(model, *_nothing_known(model, photographs.shape[:3]), given, *how)
    return _cut(drawn, *images.shape[1:3])


def enlarge(model, images, times, *how):
    """`AuxiliaryModel.enlarge`."""
    names, likelihood = _enlargements(model), model.likelihood
    if times not in names:
        can = (
            f"{list(names)} times"
            if names
            else "none: it has no auxiliary images of lower resolution"
        )
        raise ValueError(
            f"Expected times as an enlargement of the model, of factors {list(model.factors)}: {can}. "
            f"Received: {times}. Choose another, or take another model, such as photographs."
        )
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    given = _padded(model, names[times], images)
    count, *size, _ = given.shape
    nothing = _nothing_known(model, (count, *(times * side for side in size)))
    drawn = _draw(model, *nothing, {names[times]: ops.convert_to_tensor(given)}, *how)
    return _cut(drawn, *(times * side for side in images.shape[1:3]))


def complete(model, images, mask, *how):
    """`AuxiliaryModel.complete`."""
    likelihood = model.likelihood
    images = np.asarray(check_images(images, likelihood.num_channels, likelihood.num_values))
    mask = np.asarray(check_images(mask, 1, 2, "a mask"))
    if mask.shape[:3] != images.shape[:3]:
        raise ValueError(
            f"Expected a mask of shape {[*images.shape[:3], 1]}. Received: {list(mask.shape)}. Give one for "
            "each image, of its size."
        )
    name = list(model.factors)[-1]
    drawn = _draw(model, *(_padded(model, name, x) for x in (images, mask)), {}, *how)
    return _cut(drawn, *images.shape[1:3])


def _enlargements(model):
    """dict, times -> name of the factor whose images a model enlarges so many times, the least first."""
    names, times = {}, 1
    for transform, name in zip(model.transforms, reversed(list(model.factors)[:-1])):
        times *= transform.ratio
        kinds = {
            (x.num_channels, x.num_values)
            for x in (model.factors[name].likelihood, model.likelihood)
        }
        if times > 1 and len(kinds) == 1:
            names.setdefault(times, name)
    return names


def _padded(model, name, pictures):
    """Pictures of a factor's images as they are drawn: whole, or in windows of the model's size."""
    return pictures if model.image_size is None else windows.Grid.of(model, name).pad(pictures)


def _nothing_known(model, shape):
    """Full images of which nothing is known, and their mask. `shape` is [B, H, W]."""
    dtype = arguments.pixel_dtype(model.likelihood.num_values)
    images = np.zeros((*shape, model.likelihood.num_channels), dtype)
    return images, np.zeros((*shape, 1), np.uint8)


def _draw(model, known, mask, given, seeds, log_scale_shift, mode, jit_compile, condition):
    """The full images, NumPy's. `given` is as for `chains.draw`, and all pictures as `Grid.pad` has them."""
    count = len(known)
    if seeds is None:
        seeds = np.stack([np.zeros(count, np.int32), np.arange(count, dtype=np.int32)], axis=1)
    seeds, shifts = checked_draws(seeds, log_scale_shift, mode, jit_compile)
    if len(seeds) != count:
        raise ValueError(
            f"Expected seeds as int32 [{count}, 2], two numbers for each image. Received: "
            f"{list(seeds.shape)}. Give them, or none."
        )
    condition = model.checked_condition(condition, count)
    names = names_from(model, given)
    model.require(names)
    if not count:
        return known
    kept = kept_pixels(model, known, mask, count, given, known.shape[1:3])
    if model.image_size is None:
        sizes = model.sizes(known.shape[1:3])
        how = {"mode": mode, "jit_compile": jit_compile}
        [*_, drawn] = draw(model, seeds, shifts, given, kept, condition, sizes, **how).values()
        return ops.convert_to_numpy(drawn)
    image = next(map(ops.convert_to_numpy, given.values()), None)
    for name in names:
        image = windows.draw_factor(
            model,
            name,
            seeds,
            ops.convert_to_numpy(shifts),
            image,
            kept[name],
            condition,
            mode,
            jit_compile,
        )
    return image


def _cut(images, height, width):
    return ops.convert_to_tensor(images[:, :height, :width])
