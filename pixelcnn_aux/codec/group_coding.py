"""Traversal of a chain of factors that decide groups of pixels, shared by encoder and decoder.

All of it is exact: factors are `RoundedFactor`s, and the probabilities of values are computed from their
parameters in whole numbers (`integer_mixture`). So a file is the same whatever evaluates the networks, in
tiles of whatever size.
"""

import math
from concurrent import futures

import numpy as np

from pixelcnn_aux import rounding, sums
from pixelcnn_aux.codec import entropy
from pixelcnn_aux.codec.integer_mixture import IntegerMixture, Pixels, halvings
from pixelcnn_aux.engine.groups import TileScan
from pixelcnn_aux.inputs import DrawRequest

AT_ONCE = 2**13  # pixels whose values are coded together, in raster order: part of the format


class GroupCoding:
    """Codes the images of a chain of `RoundedFactor`s; `add` is called with each group's number of pixels."""

    def __init__(self, model):
        self._model = model
        self._num_pixels = 0  # coded so far, or about to be
        kinds = {name: factor.likelihood for name, factor in model.factors.items()}
        self._mixtures = {name: IntegerMixture(x, rounding.CENTERS) for name, x in kinds.items()}

    def encode(self, images, add):
        """Codes images, uint8 [N, H, W, C]: (uint32 [n], dict, factor name -> int, its bits)."""
        self._num_pixels += math.prod(images.shape[:3])
        coder, bits = entropy.Encoder(), dict.fromkeys(self._model.factors, 0.0)
        for image in images[:, np.newaxis]:
            given = {name: np.asarray(x) for name, x in self._model.auxiliaries(image).items()}
            for name, _, here in self._coded(coder, images.shape[1:3], add, given):
                bits[name] += here.sum()
        return coder.words(), {name: round(x) for name, x in bits.items()}

    def decode(self, words, count, size, add):
        """Yields images, uint8 [H, W, C], and bits, float32 [H, W], of words; fewer where none wrote them."""
        self._num_pixels += count * math.prod(size)
        coder = entropy.Decoder(words)
        for _ in range(count):
            try:
                coded = list(self._coded(coder, size, add))
            except ValueError:
                return
            bits = np.zeros(size, np.float32)
            for _, _, here in coded:
                # The bits of a pixel of a small image are spread over the pixels that it stands for.
                down, right = (-(-x // y) for x, y in zip(size, here.shape))
                here = here.repeat(down, axis=0).repeat(right, axis=1) / (down * right)
                bits += here[: size[0], : size[1]]
            yield coded[-1][1][0], bits

    def _coded(self, coder, size, add, given=None):
        """Yields the name, the image, uint8 [1, h, w, c], and the bits, float32 [h, w], of each factor."""
        image = None
        for name, factor_size in self._model.sizes(size).items():
            factor, bits = self._model.factors[name], []
            side = factor.network.side
            request = DrawRequest(size=factor_size, auxiliary=image)
            scan = TileScan(factor.plain(), request, 1, self._num_pixels)
            for group in factor.network.groups:
                scan.next_group()
                values = given and np.asarray(sums.pixels_at(given[name], group.place, side))
                values, here = self._code_group(scan, name, coder, values)
                scan.decided(values)
                add(int(scan.is_decided().sum()))
                if group.part:
                    here = here + bits.pop()
                bits.append(here)
            image = np.asarray(scan.images())
            yield name, image, np.asarray(sums.from_places(bits, side, factor_size))[0, ..., 0]

    def _code_group(self, scan, name, coder, given):
        """The pixels of a scan's group, `given` to write or None to read, and their bits: [1, h, w, ...]."""
        factor, values, last = self._model.factors[name], scan.zeros(), scan.tiles[-1]
        _, height, width, channels = values.shape
        bits = np.zeros((1, height, width, 1), np.float32)
        decided = scan.is_decided()
        places, first = np.flatnonzero(decided), 0
        bounds, found = _bounds(scan, factor, values.shape), values.reshape(-1, channels)
        waiting = np.zeros((0, factor.network.num_params), np.float32)

        def params_of(row):
            params = np.concatenate([np.asarray(scan.params(tile))[0] for tile in row], axis=1)
            return params[decided[row[0].rows.kept()]]

        for row, params in zip(scan.tiles, _one_ahead(params_of, scan.tiles)):
            waiting = np.concatenate([waiting, params]) if len(waiting) else params
            while len(waiting) >= AT_ONCE or (row is last and len(waiting)):
                chunk, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
                whole = np.round(chunk * rounding.SUMS).astype(np.int64)
                pixels = Pixels(self._mixtures[name], whole)
                here = places[first : first + len(chunk)]
                to_write = None if given is None else given.reshape(-1, channels)[here]
                coded = _code_pixels(pixels, [x[:, here] for x in bounds], coder, to_write)
                found[here], bits.reshape(-1)[here] = coded
                first += len(chunk)
        return values, bits


def _one_ahead(function, items):
    """Yields a function of each item, and computes that of the next one meanwhile."""
    first, *rest = items
    with futures.ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(function, first)
        for item in rest:
            now, ahead = ahead, pool.submit(function, item)
            yield now.result()
        yield ahead.result()


def _bounds(scan, factor, shape):
    """Least and most values, and centers in `CENTERS`, of each channel's pixels: list of int64 [3, h w]."""
    bounds = scan.bounds()
    if bounds is None:
        every = np.array([0, factor.likelihood.num_values - 1, 0])[:, np.newaxis]
        return [np.broadcast_to(every, (3, shape[1] * shape[2]))] * shape[-1]
    # Each channel has a sum of its own, on which those before it have no bearing.
    return [
        np.stack(
            [np.asarray(x).astype(np.int64).ravel() for x in (low, high, center * rounding.CENTERS)]
        )
        for low, high, center in (bounds(channel, []) for channel in range(shape[-1]))
    ]


def _code_pixels(pixels, bounds, coder, given):
    """The values of `Pixels`, int64 [N, C], and their bits, float32 [N]; `given` are those to write."""
    values, bits = [], np.zeros(bounds[0].shape[1], np.float32)
    for index, (low, high, center) in enumerate(bounds):
        channel = pixels.channel(low, high, center)
        for count in halvings(low, high):
            half = None if given is None else (given[:, index] - low) // count % 2
            half, taken = coder.code(channel.halves(count), half)
            channel.choose(half, count)
            bits += taken
        pixels.finish(channel, center)
        values.append(channel.value)
    return np.stack(values, axis=-1), bits
