"""Coloring photographs: small first, in the size of the model's images, which it sees whole.

Single draws differ too much from place to place, and low log-scales leave hardly any color. The mean of
several draws has the colors that they agree on; it is pale, and so they are made stronger. A guided filter
(He and Sun, Fast guided filter, 2015) carries them to the full size: around each pixel of the small picture,
colors are fitted as linear functions of the gray, and these are given the photograph's gray. So colors
change where the gray does.
"""

import operator

import numpy as np

from pixelcnn_aux.auxiliary import LUMA
from pixelcnn_aux.data.image_folder import resize
from pixelcnn_aux.errors import expect
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.sampling.chains import checked, sample
from pixelcnn_aux.sampling.pictures import multiple, padded

# Chosen by eye, on photographs.
_DRAWS, _STRENGTH = 32, 2  # whose mean is taken, and how much stronger its colors become
_RADIUS = 2  # of the filter's windows, in pixels of the small picture
_NOISE = 1e-3  # a variance of grays, from 0 to 1, that says nothing about colors
_ROWS = 256  # of a photograph at once


def colorize(model, images, request):
    """`AuxiliaryModel.colorize`; `request` is the user's `DrawRequest`."""
    names = list(model.factors)
    channels = [model.factors[name].likelihood.num_channels for name in names[-2:]]
    expected = "a model of three channels given an auxiliary image of one, its grays"
    received = f"factors {names}, the last ones of {channels} channels"
    expect(channels == [1, 3], expected, received, "Take another model, such as cifar10-grayscale")
    images = np.asarray(check_images(images, num_values=model.likelihood.num_values))
    fits, received = images.shape[-1] in (1, 3), f"shape {list(images.shape)}"
    remedy = "Give photographs, or grays from 0 to 255"
    expect(fits, "images as uint8 [B, H, W, 1 or 3]", received, remedy)
    if images.shape[-1] == 3:
        parts = (weight * images[..., k].astype(np.int32) for k, weight in enumerate(LUMA))
        images = (sum(parts) // 1000).astype(images.dtype)[..., np.newaxis]
    count, height, width, _ = images.shape
    request, small = checked(model, request, count), as_seen_whole(model, images)
    grays = model.transforms[0](np.repeat(small, 3, axis=-1))
    is_reduced = small.shape[1] < height or small.shape[2] < width
    if is_reduced:
        rows = {"log_scale_shift": request.log_scale_shift, "condition": request.condition}
        rows = {x: y if y is None else np.repeat(y, _DRAWS, axis=0) for x, y in rows.items()}
        request = request._replace(seeds=_several(request.seeds), **rows)
        grays = np.repeat(grays, _DRAWS, axis=0)
    sized = model.with_image_size(small.shape[1:3]) if model.image_size else model
    drawn = sample(sized, request, {names[-2]: grays}, None, None)[names[-1]]
    if not is_reduced:
        return drawn[:, :height, :width]
    means = drawn.reshape(count, _DRAWS, *drawn.shape[1:]).mean(axis=1)
    last, found = model.likelihood.num_values - 1, np.empty((count, height, width, 3), drawn.dtype)
    for picture in zip(found, images, small, means):
        _color(*picture, last)
    return found


def as_seen_whole(model, images):
    """Pictures [B, H, W, C], reduced until they just cover the model's images; smaller ones padded.

    For a model of images of any size they are as they were.
    """
    scale = max(map(operator.truediv, model.image_size or (), images.shape[1:3]), default=1)
    if scale >= 1:
        return padded(model, images)
    of = multiple(model)
    sides = (of * round(scale * side / of) for side in images.shape[1:3])
    size = [*map(max, model.image_size, sides)]
    small = [resize(image, size) for image in images]
    return np.reshape(small, (-1, *size, images.shape[-1])).astype(images.dtype)


def _several(seeds):
    """Seeds of `_DRAWS` draws for each of int32 [B, 2]: int32 [B * _DRAWS, 2]."""
    mixed = map(np.random.SeedSequence, seeds.view(np.uint32))
    states = [x.generate_state(2 * _DRAWS) for x in mixed]
    return np.reshape(states, (-1, 2)).astype(np.uint32).view(np.int32)


def _color(picture, gray, small, mean, last):
    """Fills a picture, [H, W, 3], with the colors of a mean of draws, [h, w, 3], for grays [H, W, 1].

    `small` are the grays of that size, and `last` is the highest value.
    """
    height, width, _ = gray.shape
    guide, tints = small / last, mean - (mean @ np.array(LUMA) / 1000)[..., None]
    tints = _STRENGTH * tints[..., ::2]  # of red and blue
    windows = _in_windows(np.concatenate([guide, guide**2, tints, guide * tints], axis=-1))
    guide, square, tints, products = np.split(windows, [1, 2, 4], axis=-1)
    slopes = (products - guide * tints) / (square - guide**2 + _NOISE)
    lines = _in_windows(np.concatenate([slopes, tints - slopes * guide], axis=-1))
    lines = _enlarged(lines.astype(np.float32), height).swapaxes(0, 1)
    for first in range(0, height, _ROWS):
        rows = slice(first, first + _ROWS)
        slopes, tints = np.split(_enlarged(lines[:, rows], width).swapaxes(0, 1), 2, axis=-1)
        luma = gray[rows].astype(np.int32)
        _mix(picture[rows], luma, slopes * (luma / np.float32(last)) + tints, last)


def _mix(picture, luma, tints, last):
    """Fills a picture, [H, W, 3], of a luma, [H, W, 1], by what red and blue have more, [H, W, 2].

    Tints that are too strong for the luma become paler.
    """
    red, green, blue = LUMA
    all_three = np.insert(tints, 1, tints @ np.float32([red, blue]) / np.float32(-green), axis=-1)
    room = np.where(all_three > 0, np.maximum(last - 1 - luma, 0), luma)  # 1 for rounding green
    share = np.min(room / np.maximum(np.abs(all_three), np.float32(1e-6)), axis=-1, keepdims=True)
    picture[..., ::2] = others = np.rint(luma + np.minimum(share, 1) * tints).astype(np.int32)
    # The least green of this luma.
    picture[..., 1] = -((others @ np.int32([red, blue]) - 1000 * luma[..., 0]) // green)


def _in_windows(planes):
    """The mean of [h, w, C] in the window around each pixel, as far as that lies in the picture."""
    for _ in range(2):
        count = len(planes)
        low, high = (np.clip(np.arange(count) + x, 0, count) for x in (-_RADIUS, _RADIUS + 1))
        sums = np.concatenate([np.zeros_like(planes[:1]), np.cumsum(planes, axis=0)])
        planes = ((sums[high] - sums[low]) / (high - low)[:, None, None]).swapaxes(0, 1)
    return planes


def _enlarged(planes, length):
    """[h, w, C] -> [length, w, C], linear between the centers of pixels."""
    at = np.clip((np.arange(length) + 0.5) * len(planes) / length - 0.5, 0, len(planes) - 1)
    low = at.astype(int)
    share = (at - low).astype(planes.dtype)[:, None, None]
    return planes[low] * (1 - share) + planes[np.minimum(low + 1, len(planes) - 1)] * share
