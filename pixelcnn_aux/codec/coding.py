"""Traversal of a chain of factors, shared by encoder and decoder.

All of it is exact: factors are rounded, and the probabilities of values are computed from their
parameters in whole numbers (`integer_mixture`). So a file is the same whatever evaluates the networks, in
tiles of whatever size.

A network decides groups of pixels, or pixels in waves along diagonals. An encoder knows them all, and
evaluates a network of waves whole.
"""

import itertools
import math
from concurrent import futures

import numpy as np

from pixelcnn_aux import batches, sums
from pixelcnn_aux.base import rounding
from pixelcnn_aux.base.inputs import DrawRequest, Inputs
from pixelcnn_aux.codec import entropy
from pixelcnn_aux.codec.integer_mixture import IntegerMixture, Pixels, counts
from pixelcnn_aux.networks import ParallelPixelCNN

# Parts of the format: pixels of a group whose values are coded together, in raster order; rows, about, that
# diagonals go through; and how many bits of a value are coded at once, in groups and in waves.
AT_ONCE, ROWS, GROUP_BITS, WAVE_BITS = 2**13, 512, 1, 2


class Coding:
    """Codes the images of a chain of rounded factors; `add` is called with numbers of pixels done."""

    def __init__(self, model):
        self._model = model
        self._mixtures = {name: IntegerMixture(x.likelihood) for name, x in model.factors.items()}

    def encode(self, images, add):
        """Codes images, uint8 [N, H, W, C]: (uint32 [n], dict, factor name -> int, its bits)."""
        coder, bits = entropy.Encoder(), dict.fromkeys(self._model.factors, 0.0)
        for image in images[:, np.newaxis]:
            given = {name: np.asarray(x) for name, x in self._model.auxiliaries(image).items()}
            for name, _, here in self._coded(coder, images.shape[1:3], add, given):
                bits[name] += here.sum()
        return coder.words(), {name: round(x) for name, x in bits.items()}

    def decode(self, words, count, size, add):
        """Yields images, uint8 [H, W, C], and bits, float32 [H, W], of words; fewer where none wrote them."""
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
            code = self._code_waves
            if isinstance(self._model.factors[name].network, ParallelPixelCNN):
                code = self._code_groups
            image, bits = code(name, factor_size, image, coder, given and given[name], add)
            yield name, image, bits

    def _code_waves(self, name, size, auxiliary, coder, given, add):
        """The image, `given` to write or None to read, and its bits, in bands of rows of whole blocks."""
        factor, mixture = self._model.factors[name], self._mixtures[name]
        height, width = size
        side, delay = factor.network.side, factor.network.delay
        image, bits = np.zeros((1, *size, factor.likelihood.num_channels), np.uint8), np.zeros(size)
        if given is not None:
            image[:] = given
        blocks, _ = sums.num_blocks(size, side)
        for span in batches.spans(blocks, factor.radius, 1, ROWS // side):
            first, last, low, high = (min(row * side, height) for row in span)
            seen = None if auxiliary is None else auxiliary[:, span.evaluated()]
            if given is None:
                request = DrawRequest(size=(high - first, width), auxiliary=seen)
                band = image[0, first:high], bits[first:high]
                decider = _decoder(mixture, coder, *band, low - first, add)
                factor.plain().decide_pixels(request, decider, 1)
                continue
            params = factor.batch_params(Inputs(image[:, first:last], seen))
            params = np.asarray(params)[0, low - first : high - first]
            here, bounds = image[:, low:high], None
            if factor.fixed_sum is not None:
                bounds = factor.fixed_sum.channel_bounds(here, auxiliary[:, span.kept()])
            waves = np.add.outer(delay * np.arange(low - first, high - first), np.arange(width))
            limits = _limits(bounds, mixture, here.shape)
            _encode_waves(mixture, coder, waves, params, limits, here[0], bits[low:high], add)
        return image, bits

    def _code_groups(self, name, size, auxiliary, coder, given, add):
        factor, bits = self._model.factors[name], []
        side = factor.network.side
        request = DrawRequest(size=size, auxiliary=auxiliary)
        scan = factor.plain().group_scan(request, 1)
        for group in factor.network.groups:
            scan.next_group()
            values = None if given is None else np.asarray(sums.pixels_at(given, group.place, side))
            values, here = self._code_group(scan, name, coder, values)
            scan.decided(values)
            add(int(scan.is_decided().sum()))
            if group.part:
                here = here + bits.pop()
            bits.append(here)
        bits = np.asarray(sums.from_places(bits, side, size))[0, ..., 0]
        return np.asarray(scan.images()), bits

    def _code_group(self, scan, name, coder, given):
        """The pixels of a scan's group, `given` to write or None to read, and their bits: [1, h, w, ...]."""
        factor, values, last = self._model.factors[name], scan.zeros(), scan.tiles[-1]
        mixture = self._mixtures[name]
        _, height, width, channels = values.shape
        bits = np.zeros((1, height, width, 1), np.float32)
        decided = scan.is_decided()
        places, first = np.flatnonzero(decided), 0
        known = scan.remainders()
        limits = _limits(known and known.bounds(), mixture, values.shape)
        found = values.reshape(-1, channels)
        waiting = np.zeros((0, factor.network.num_params), np.float32)

        def params_of(row):
            params = np.concatenate([np.asarray(scan.params(tile))[0] for tile in row], axis=1)
            return params[decided[row[0].rows.kept()]]

        with futures.ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(params_of, scan.tiles[0])
            for row, following in itertools.zip_longest(scan.tiles, scan.tiles[1:]):
                params, ahead = ahead.result(), following and pool.submit(params_of, following)
                waiting = np.concatenate([waiting, params]) if len(waiting) else params
                while len(waiting) >= AT_ONCE or (row is last and len(waiting)):
                    chunk, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
                    here = places[first : first + len(chunk)]
                    to_write = None if given is None else given.reshape(-1, channels)[here]
                    coded = _code_pixels(
                        mixture, chunk, limits[:, :, here], coder, to_write, GROUP_BITS
                    )
                    found[here], bits.reshape(-1)[here] = coded
                    first += len(chunk)
        return values, bits


def _limits(bounds, mixture, shape):
    """Least and most values, and centers in `CENTERS`, of n pixels of C channels: int64 [3, C, n].

    `bounds` is a function as for `Likelihood.draw`, of pixels of such a shape (..., C).
    """
    *shape, channels = shape
    if bounds is None:
        every = np.array([0, mixture.num_values - 1, 0])[:, np.newaxis, np.newaxis]
        return np.broadcast_to(every, (3, channels, math.prod(shape)))
    # Each channel has a sum of its own, on which those before it have no bearing.
    found = [bounds(channel, []) for channel in range(channels)]
    low, high, center = (np.stack([np.asarray(x).ravel() for x in each]) for each in zip(*found))
    return np.stack([x.astype(np.int64) for x in (low, high, center * rounding.CENTERS)])


def _code_pixels(mixture, params, limits, coder, given, bits):
    """The values of pixels, int64 [N, C], and their bits, float32 [N]; `given` are those to write.

    `limits` are as of `_limits`; so many `bits` of a value are coded at once.
    """
    pixels = Pixels(mixture, np.round(params * rounding.SUMS).astype(np.int64))
    values, taken = [], np.zeros(len(params), np.float32)
    for index in range(limits.shape[1]):
        low, high, center = limits[:, index]
        channel = pixels.channel(low, high, center)
        # Of a group, as far as any of these intervals reaches; in waves, whatever is decided at once.
        longest = np.max(high - low, initial=0) if bits == GROUP_BITS else mixture.num_values - 1
        for count in counts(int(longest), bits):
            part = None if given is None else (given[:, index] - low) // count % (1 << bits)
            part, here = coder.code(channel.parts(count, 1 << bits), part)
            channel.choose(part, count)
            taken += here
        pixels.finish(channel, center)
        values.append(channel.value)
    return np.stack(values, axis=-1), taken


class _Recorder(entropy.Encoder):
    """Notes what is to be written of pixels, to write it wave by wave."""

    def __init__(self):
        self._turns = []

    def write(self, tables, values):
        self._turns.append((tables, values))

    def by_wave(self, waves):
        """All tables and values, in the order in which waves are coded; those of pixels are int [N]."""
        tables, values = map(np.stack, zip(*self._turns))
        turns = waves * len(values) + np.arange(len(values))[:, np.newaxis]
        order = np.argsort(turns, axis=None, kind="stable")
        return tables.reshape(len(order), -1)[order], values.ravel()[order]


def _encode_waves(mixture, coder, waves, params, limits, pixels, bits, add):
    """Writes a band of pixels, [h, w, C], of which the waves and the parameters are known; notes bits."""
    order = np.argsort(waves, axis=None, kind="stable")
    waves, params = waves.ravel()[order], params.reshape(len(order), -1)
    pixels, bits = pixels.reshape(len(order), -1).astype(np.int64), bits.reshape(-1)
    # Parts of whole waves, which fit in a cache.
    first = np.flatnonzero(np.diff(waves, prepend=-1))
    first = first[np.unique(first // AT_ONCE, return_index=True)[1]]
    parts = [*map(slice, first, [*first[1:], len(order)])]

    def recorded(part):
        here, recorder = order[part], _Recorder()
        found = _code_pixels(
            mixture, params[here], limits[..., here], recorder, pixels[here], WAVE_BITS
        )
        bits[here] = found[1]
        return recorder.by_wave(waves[part])

    with futures.ThreadPoolExecutor() as pool:
        for part, found in zip(parts, pool.map(recorded, parts)):
            coder.write(*found)
            add(part.stop - part.start)


def _decoder(mixture, coder, image, bits, known, add):
    """The decider that reads a band of an image, [h, w, C], and notes bits, [h, w], below `known` rows."""
    height, width, channels = image.shape
    indices, first = np.arange(height * width).reshape(1, height, width), known * width
    image, bits = image.reshape(-1, channels), bits.reshape(-1)

    def decide(params, pick, bounds):
        [here] = pick(indices)
        limits = _limits(bounds, mixture, (len(here), channels))
        new = here >= first
        here, limits = here[new], limits[..., new]
        found = _code_pixels(mixture, params[0, new], limits, coder, None, WAVE_BITS)
        image[here], bits[here] = found
        add(len(here))
        return image[pick(indices)]

    return decide
