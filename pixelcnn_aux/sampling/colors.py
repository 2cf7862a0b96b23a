"""Colorization of photographs: first at the size of the model's images, which the model sees whole.

Single draws vary too much from place to place, and low log-scales leave hardly any color. The mean of several
draws keeps the colors that they agree on, but is pale, so its colors are made stronger. Red and blue draws
cancel in a mean of all, but not in means of clusters. A guided filter (He and Sun, Fast guided filter, 2015)
upsamples colors: around each pixel of the small picture, it fits them as linear functions of the gray, and
evaluates these at the photograph's grays. So colors change where the gray does.
"""

import operator

import numpy as np

from pixelcnn_aux.auxiliary import LUMA
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.batches import by_leaf
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.sampling.any_size import as_seen_whole
from pixelcnn_aux.sampling.chains import checked, sample

# Chosen by eye, on photographs.
_DRAWS = 32  # per coloring
_STRENGTH = 2  # maximum factor by which colors of a mean become stronger
_LEAST, _MOST = 3, 64  # clusters to rank, even if fewer colorings are requested; and colorings
_STARTS, _STEPS = 8, 20  # of k-means
_RADIUS = 2  # of the filter's windows, in pixels of the small picture
_NOISE = 1e-3  # variance of grays, from 0 to 1, that carries no information about colors
_ROWS = 256  # of a photograph processed at once


def colorize(model, images, request, num):
    """`AuxiliaryModel.colorize`; `request` is the user's `DrawRequest`."""
    num = num if num is None else arguments.whole("num", num, 1, _MOST)
    _check_model(model)
    lumas = _lumas(images, model.likelihood.num_values)
    count, height, width, _ = lumas.shape
    request = checked(model, request, count)
    small = as_seen_whole(model, lumas)
    grays = model.transforms[0](np.repeat(small, 3, axis=-1))
    is_reduced = small.shape[1] < height or small.shape[2] < width
    num_colorings = max(num, _LEAST) if num and is_reduced else num or 1
    seeds = request.seeds[:, np.newaxis]
    if is_reduced or num:
        seeds = _several(request.seeds, num_colorings * (_DRAWS if is_reduced else 1))
    drawn = _draw(model, request, grays, seeds)
    colored = np.empty((count, num or 1, height, width, 3), drawn.dtype)
    last = model.likelihood.num_values - 1
    for k, (pictures, own) in enumerate(zip(colored, drawn)):
        conditions = by_leaf(lambda x, k=k: x[k : k + 1], (grays, request.condition))
        if not is_reduced:
            order = _order(model, own, conditions) if num else [0]
            pictures[:] = own[order, :height, :width]
            continue
        if num:
            tints, *marks = _clusters(own, num_colorings, request.seeds[k])
            candidates = _mixed(small[k].astype(np.int32), tints, last).astype(own.dtype)
            tints = tints[_order(model, candidates, conditions, *marks)]
        else:
            tints = [_STRENGTH * _tints(own.mean(axis=0))]
        for picture, tint in zip(pictures, tints):
            _color(picture, lumas[k], small[k], tint, last)
    return colored if num else colored[:, 0]


def _check_model(model):
    """Raises ValueError unless the last factors are grays, and colors given these."""
    names = list(model.factors)
    channels = [model.factors[name].likelihood.num_channels for name in names[-2:]]
    expected = "a model of three channels given an auxiliary image of one, its grays"
    received = f"factors {names}, the last ones of {channels} channels"
    expect(channels == [1, 3], expected, received, "Use another model, such as cifar10-grayscale")


def _lumas(images, num_values):
    """The luma of checked photographs, or grays as they are: [B, H, W, 1]."""
    images = np.asarray(check_images(images, num_values=num_values))
    channels = images.shape[-1]
    received, remedy = f"shape {list(images.shape)}", "Give photographs, or grays from 0 to 255"
    expect(channels in (1, 3), "images as uint8 [B, H, W, 1 or 3]", received, remedy)
    if channels == 1:
        return images
    weighted = (weight * images[..., k].astype(np.int32) for k, weight in enumerate(LUMA))
    return (sum(weighted) // 1000).astype(images.dtype)[..., np.newaxis]


def _several(seeds, count):
    """Derives `count` seeds from each of int32 [B, 2]: int32 [B, count, 2]."""
    sequences = map(np.random.SeedSequence, seeds.view(np.uint32))
    states = [x.generate_state(2 * count) for x in sequences]
    return np.reshape(states, (-1, count, 2)).astype(np.uint32).view(np.int32)


def _draw(model, request, grays, seeds):
    """Draws images given grays [B, h, w, 1] with seeds [B, n, 2]: [B, n, h, w, 3]."""
    *_, gray_name, image_name = model.factors
    batch, count, _ = seeds.shape
    request, repeated = by_leaf(lambda x: np.repeat(x, count, axis=0), (request, grays))
    request = request._replace(seeds=seeds.reshape(-1, 2))
    if model.image_size:
        model = model.with_image_size(grays.shape[1:3])
    drawn = sample(model, request, {gray_name: repeated}, None, None)[image_name]
    return drawn.reshape(batch, count, *drawn.shape[1:])


def _order(model, images, conditions, *marks):
    """Orders images [n, h, w, 3] by the sum of their ranks in likelihood and marks: int [n].

    `conditions` are the grays and the model's condition, one row each.
    """
    *_, factor = model.factors.values()
    conditions = by_leaf(lambda x: np.repeat(x, len(images), axis=0), conditions)
    marks = *marks, -np.asarray(factor.log_prob(Inputs(images, *conditions)))
    ranks = (np.argsort(np.argsort(x, kind="stable")) for x in marks)
    return np.lexsort((marks[0], sum(ranks)))


def _clusters(drawn, num, seed):
    """Clusters draws [n, h, w, 3] to K > `num` tints [K, h, w, 2], each as strong as those of its draws.

    Also returns two marks, [K] each: a cluster with lower marks is preferred.
    """
    tints = _tints(drawn)
    # Compare smoothed tints rather than single pixels: [n, h * w * 2].
    smooth = _in_windows(np.concatenate(tints, axis=-1)).reshape(-1, len(drawn), 2)
    smooth = smooth.swapaxes(0, 1).reshape(len(drawn), -1)
    products = smooth @ smooth.T
    generator = np.random.default_rng(seed.view(np.uint32))
    squares = np.diag(products)
    distances = squares[:, None] + squares - 2 * products
    # At least one more than requested, so that the oddest cluster can come last.
    results = (_k_means(distances, x, generator) for x in range(num + 1, 2 * num + 2))
    _, shares, away = max(results, key=operator.itemgetter(0))
    strengths = np.sqrt(squares @ shares / (((products @ shares) * shares).sum(axis=0) + 1e-6))
    tints = np.tensordot((np.minimum(strengths, _STRENGTH) * shares).T, tints, axes=1)
    # Orange and blue are common, green and purple rare: in CIFAR-10, red and blue tints correlate by -0.66.
    hues = tints.prod(axis=-1).mean(axis=(1, 2)) / ((tints**2).mean(axis=(1, 2, 3)) + 1e-6)
    return tints, away.mean(axis=0), hues


def _k_means(distances, count, generator):
    """k-means of n points with squared distances [n, n]: the best of several starts.

    Returns the mean silhouette, the points' shares in the clusters' means, and squared distances to these.
    """
    results = []
    for _ in range(_STARTS):
        chosen = generator.choice(len(distances), count, replace=False)
        away, shares = distances[:, chosen], np.eye(len(distances))[:, chosen]
        for _ in range(_STEPS):
            members = np.eye(count)[away.argmin(axis=1)]
            sizes = members.sum(axis=0)
            shares = np.where(sizes > 0, members / np.maximum(sizes, 1), shares)
            away = distances @ shares
            away = np.maximum(away - (shares * away).sum(axis=0) / 2, 0)
        nearest, second = np.partition(away, 1)[:, :2].T
        # The silhouette, where a point that is its own cluster counts 0.
        apart = (1 - np.sqrt(nearest / (second + 1e-6))) * (1 - 1 / (members @ sizes))
        results.append((nearest.sum(), apart.mean(), shares, away))
    return min(results, key=operator.itemgetter(0))[1:]


def _tints(drawn):
    """Red and blue minus luma, of [..., 3]: [..., 2]."""
    return (drawn - (drawn @ np.array(LUMA) / 1000)[..., None])[..., ::2]


def _color(picture, gray, small, tints, last):
    """Fills a picture, [H, W, 3], with grays [H, W, 1] and upsampled tints [h, w, 2].

    `small` are the grays at the tints' size, and `last` is the highest pixel value.
    """
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
    """Pictures, int32 [..., H, W, 3], with a luma, [H, W, 1], and tints, [..., H, W, 2].

    Tints that are too strong for the luma become paler.
    """
    red, green, blue = LUMA
    all_three = np.insert(tints, 1, tints @ np.float32([red, blue]) / np.float32(-green), axis=-1)
    room = np.where(all_three > 0, np.maximum(last - 1 - luma, 0), luma)  # 1 for rounding green
    share = np.min(room / np.maximum(np.abs(all_three), np.float32(1e-6)), axis=-1, keepdims=True)
    red_blue = np.rint(luma + np.minimum(share, 1) * tints).astype(np.int32)
    # The lowest green with this luma.
    lowest = -((red_blue @ np.int32([red, blue]) - 1000 * luma[..., 0]) // green)
    return np.insert(red_blue, 1, lowest, axis=-1)


def _in_windows(planes):
    """The mean of [h, w, C] over the window around each pixel, clipped at the edges."""
    for _ in range(2):
        count = len(planes)
        low, high = (np.clip(np.arange(count) + x, 0, count) for x in (-_RADIUS, _RADIUS + 1))
        sums = np.concatenate([np.zeros_like(planes[:1]), np.cumsum(planes, axis=0)])
        planes = ((sums[high] - sums[low]) / (high - low)[:, None, None]).swapaxes(0, 1)
    return planes


def _enlarged(planes, length):
    """Linear interpolation between pixel centers: [h, w, C] -> [length, w, C]."""
    at = np.clip((np.arange(length) + 0.5) * len(planes) / length - 0.5, 0, len(planes) - 1)
    low = at.astype(int)
    share = (at - low).astype(planes.dtype)[:, None, None]
    return planes[low] * (1 - share) + planes[np.minimum(low + 1, len(planes) - 1)] * share
