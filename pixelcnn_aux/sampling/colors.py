"""Coloring photographs: at low resolution, where the model sees the whole picture, then at full size.

Single draws vary too much from place to place, and low log-scales leave hardly any color. The mean of several
draws has the colors on which they agree, made stronger, since it is pale. Red and blue draws cancel out in
it, but not in the means of clusters. A guided filter (He and Sun, Fast guided filter, 2015) transfers colors
to the full size: around each pixel of the small picture, it fits them as linear functions of the gray, and
applies these to the photograph's gray. So colors change where the gray does.
"""

import operator

import numpy as np

from pixelcnn_aux.auxiliary import LUMA
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import Inputs, check_images
from pixelcnn_aux.batches import by_leaf
from pixelcnn_aux.sampling.chains import checked, sample
from pixelcnn_aux.sampling.pictures import as_seen_whole

# Chosen by eye, on photographs.
_DRAWS = 32  # per coloring
_STRENGTH = 2  # largest factor by which colors of a mean become stronger
_LEAST, _MOST = 3, 64  # clusters, even for fewer colorings; and colorings
_STARTS, _STEPS = 8, 20  # of k-means
_RADIUS = 2  # of the filter's windows, in pixels of the small picture
_NOISE = 1e-3  # variance of grays, from 0 to 1, without information about colors
_ROWS = 256  # of a photograph at a time


def colorize(model, images, request, num):
    """`AuxiliaryModel.colorize`; `request` is the user's `DrawRequest`."""
    num = num if num is None else arguments.whole("num", num, 1, _MOST)
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
    apart, seeds = max(num, _LEAST) if num and is_reduced else num or 1, request.seeds
    draws = apart * _DRAWS if is_reduced else apart
    if is_reduced or num:
        request, grays = by_leaf(lambda x: np.repeat(x, draws, axis=0), (request, grays))
        request = request._replace(seeds=_several(seeds, draws))
    sized = model.with_image_size(small.shape[1:3]) if model.image_size else model
    drawn = sample(sized, request, {names[-2]: grays}, None, None)[names[-1]]
    colored = np.empty((count, num or 1, height, width, 3), drawn.dtype)
    last = model.likelihood.num_values - 1
    for index, pictures in enumerate(colored):
        own = drawn[index * draws :][:draws]
        tints, marks, order = [_STRENGTH * _tints(own.mean(axis=0))], [], [0]
        if num and is_reduced:
            tints, *marks = _clusters(own, apart, seeds[index])
            own = _mixed(small[index].astype(np.int32), tints, last).astype(own.dtype)
        if num:
            rows = operator.itemgetter([index * draws] * len(own))
            inputs = Inputs(own, *by_leaf(rows, (grays, request.condition)))
            marks.append(-np.asarray(model.factors[names[-1]].log_prob(inputs)))
            ranks = (np.argsort(np.argsort(x, kind="stable")) for x in marks)
            order = np.lexsort((marks[0], sum(ranks)))
        for picture, k in zip(pictures, order):
            if is_reduced:
                _color(picture, images[index], small[index], tints[k], last)
            else:
                picture[:] = own[k, :height, :width]
    return colored if num else colored[:, 0]


def _several(seeds, count):
    """`count` seeds derived from each of int32 [B, 2]: int32 [B * count, 2]."""
    mixed = map(np.random.SeedSequence, seeds.view(np.uint32))
    states = [x.generate_state(2 * count) for x in mixed]
    return np.reshape(states, (-1, 2)).astype(np.uint32).view(np.int32)


def _clusters(drawn, num, seed):
    """Tints [K, h, w, 2] of K > `num` clusters of draws [n, h, w, 3], and two marks [K], low is better."""
    tints = _tints(drawn)
    # Of regions of a picture, not of pixels: [n, h * w * 2].
    parts = _in_windows(np.concatenate(tints, axis=-1)).reshape(-1, len(drawn), 2)
    parts = parts.swapaxes(0, 1).reshape(len(drawn), -1)
    products, generator = parts @ parts.T, np.random.default_rng(seed.view(np.uint32))
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    # At least one more, so that the oddest one can come last.
    clusterings = (_k_means(distances, x, generator) for x in range(num + 1, 2 * num + 2))
    _, shares, away = max(clusterings, key=operator.itemgetter(0))
    # Tints of a mean become as strong as the tints of its draws.
    strengths = np.sqrt(squares @ shares / (((products @ shares) * shares).sum(axis=0) + 1e-6))
    tints = np.tensordot((np.minimum(strengths, _STRENGTH) * shares).T, tints, axes=1)
    # Orange and blue are natural, green and purple rare: in CIFAR-10, red and blue tints correlate by -0.66.
    hues = tints.prod(axis=-1).mean(axis=(1, 2)) / ((tints**2).mean(axis=(1, 2, 3)) + 1e-6)
    return tints, away.mean(axis=0), hues


def _k_means(distances, count, generator):
    """k-means by squared distances, [n, n]: separation, shares of points in means, distances to means."""
    results = []
    for _ in range(_STARTS):
        centers = generator.choice(len(distances), count, replace=False)
        away, shares = distances[:, centers], np.eye(len(distances))[:, centers]
        for _ in range(_STEPS):
            members = np.eye(count)[away.argmin(axis=1)]
            sizes = members.sum(axis=0)
            shares = np.where(sizes > 0, members / np.maximum(sizes, 1), shares)
            away = distances @ shares
            away = np.maximum(away - (shares * away).sum(axis=0) / 2, 0)
        nearest, second = np.partition(away, 1)[:, :2].T
        # The silhouette, in which clusters of one point count 0.
        apart = (1 - np.sqrt(nearest / (second + 1e-6))) * (1 - 1 / (members @ sizes))
        results.append((nearest.sum(), apart.mean(), shares, away))
    return min(results, key=operator.itemgetter(0))[1:]


def _tints(drawn):
    """Red and blue of [..., 3] minus the luma: [..., 2]."""
    return (drawn - (drawn @ np.array(LUMA) / 1000)[..., None])[..., ::2]


def _color(picture, gray, small, tints, last):
    """Fills a picture, [H, W, 3], by its grays, [H, W, 1], and the grays and `_tints` of a small picture."""
    height, width, _ = gray.shape
    guide = small / last
    windows = _in_windows(np.concatenate([guide, guide**2, tints, guide * tints], axis=-1))
    guide, square, tints, products = np.split(windows, [1, 2, 4], axis=-1)
    slopes = (products - guide * tints) / (square - guide**2 + _NOISE)
    lines = _in_windows(np.concatenate([slopes, tints - slopes * guide], axis=-1))
    lines = _enlarged(lines.astype(np.float32), height).swapaxes(0, 1)
    for first in range(0, height, _ROWS):
        rows = slice(first, first + _ROWS)
        slopes, tints = np.split(_enlarged(lines[:, rows], width).swapaxes(0, 1), 2, axis=-1)
        luma = gray[rows].astype(np.int32)
        picture[rows] = _mixed(luma, slopes * (luma / np.float32(last)) + tints, last)


def _mixed(luma, tints, last):
    """Pictures, int32 [..., H, W, 3], of a luma, [H, W, 1], by `_tints`, [..., H, W, 2], weakened to fit."""
    red, green, blue = LUMA
    all_three = np.insert(tints, 1, tints @ np.float32([red, blue]) / np.float32(-green), axis=-1)
    room = np.where(all_three > 0, np.maximum(last - 1 - luma, 0), luma)  # 1 for rounding green
    share = np.min(room / np.maximum(np.abs(all_three), np.float32(1e-6)), axis=-1, keepdims=True)
    red_blue = np.rint(luma + np.minimum(share, 1) * tints).astype(np.int32)
    # The smallest green with this luma.
    least = -((red_blue @ np.int32([red, blue]) - 1000 * luma[..., 0]) // green)
    return np.insert(red_blue, 1, least, axis=-1)


def _in_windows(planes):
    """The mean of [h, w, C] over the window around each pixel, cropped to the picture."""
    for _ in range(2):
        count = len(planes)
        low, high = (np.clip(np.arange(count) + x, 0, count) for x in (-_RADIUS, _RADIUS + 1))
        sums = np.concatenate([np.zeros_like(planes[:1]), np.cumsum(planes, axis=0)])
        planes = ((sums[high] - sums[low]) / (high - low)[:, None, None]).swapaxes(0, 1)
    return planes


def _enlarged(planes, length):
    """[h, w, C] -> [length, w, C], by linear interpolation between the centers of pixels."""
    at = np.clip((np.arange(length) + 0.5) * len(planes) / length - 0.5, 0, len(planes) - 1)
    low = at.astype(int)
    share = (at - low).astype(planes.dtype)[:, None, None]
    return planes[low] * (1 - share) + planes[np.minimum(low + 1, len(planes) - 1)] * share
