"""Traversal of a chain of factors, shared by encoder and decoder.

All computations are exact: factors are rounded, and `integer_mixture` computes probabilities from their
parameters in integers. So files don't depend on the device or the tiles that evaluate the networks.

A network decides pixels in groups, or in waves along diagonals. The encoder knows all pixels, and evaluates a
network of waves in one pass.
"""

import math
from concurrent import futures

import numpy as np

from pixelcnn_aux import batches, sums
from pixelcnn_aux.base import arguments, rounding
from pixelcnn_aux.codec import entropy
from pixelcnn_aux.codec.integer_mixture import counts, integers
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import ParallelPixelCNN
from pixelcnn_aux.scanning.requests import DrawRequest

# These constants are part of the format.
AT_ONCE = 2**13  # pixels of a group coded together, in raster order
ROWS = 512  # approximate height of a band, whose diagonals are coded one after another
GROUP_BITS, WAVE_BITS = 1, 2  # bits of a value coded at once


class Coding:
    """Codes images with a chain of rounded factors; `add` is called with numbers of coded pixels."""

    def __init__(self, model):
        self._model = model
        self._mixtures = {name: integers(x.likelihood) for name, x in model.factors.items()}

    def encode(self, images, add):
        """Encodes images [N, H, W, C]: (words, uint32 [n]; dict, factor name -> bits, int)."""
        coder = entropy.Encoder()
        bits = dict.fromkeys(self._model.factors, 0.0)
        for image in images[:, np.newaxis]:
            views = {name: np.asarray(x) for name, x in self._model.auxiliaries(image).items()}
            for name, _, pixel_bits in self._coded(coder, images.shape[1:3], add, views):
                bits[name] += pixel_bits.sum()
        return coder.words(), {name: round(x) for name, x in bits.items()}

    def decode(self, words, count, size, add):
        """Yields `count` images [H, W, C], and bits, float32 [H, W]; fewer if words are invalid."""
        coder = entropy.Decoder(words)
        for _ in range(count):
            try:
                factors = list(self._coded(coder, size, add))
            except ValueError:
                return
            bits = np.zeros(size, np.float32)
            for _, _, factor_bits in factors:
                # Spread the bits of a pixel of a small image evenly over the pixels that it covers.
                down, right = (-(-x // y) for x, y in zip(size, factor_bits.shape))
                spread = factor_bits.repeat(down, axis=0).repeat(right, axis=1) / (down * right)
                bits += spread[: size[0], : size[1]]
            _, image, _ = factors[-1]
            yield image[0], bits

    def _coded(self, coder, size, add, views=None):
        """Yields (name, image [1, h, w, c], bits [h, w]) per factor; writes `views` by name, or reads."""
        image = None
        for name, factor_size in self._model.sizes(size).items():
            is_parallel = isinstance(self._model.factors[name].network, ParallelPixelCNN)
            code = self._code_groups if is_parallel else self._code_waves
            image, bits = code(name, factor_size, image, coder, views and views[name], add)
            yield name, image, bits

    def _code_waves(self, name, size, auxiliary, coder, target, add):
        """Codes the image `target`, or reads it if None, in bands of block rows: (image, bits)."""
        factor, mixture = self._model.factors[name], self._mixtures[name]
        height, width = size
        side, delay = factor.network.side, factor.network.delay
        dtype = arguments.pixel_dtype(mixture.num_values)
        image = np.zeros((1, *size, factor.likelihood.num_channels), dtype)
        bits = np.zeros(size)
        if target is not None:
            image[:] = target
        blocks, _ = sums.num_blocks(size, side)
        for span in batches.spans(blocks, factor.radius, 1, ROWS // side):
            first, last, low, high = (min(row * side, height) for row in span)
            context = None if auxiliary is None else auxiliary[:, span.evaluated()]
            if target is None:
                request = DrawRequest(size=(high - first, width), auxiliary=context)
                band = image[0, first:high], bits[first:high]
                decider = _decoder(mixture, coder, *band, low - first, add)
                factor.decide_pixels(request, decider, 1)
                continue
            inputs = Inputs(image[:, first:last], context)
            params = batches.map_tiles(batches.NUMPY, Factor.batch_params, factor, inputs)
            params = params[0, low - first : high - first]
            band, bounds = image[:, low:high], None
            if factor.fixed_sum is not None:
                bounds = factor.fixed_sum.channel_bounds(band, auxiliary[:, span.kept()])
            waves = np.add.outer(delay * np.arange(low - first, high - first), np.arange(width))
            limits = _limits(bounds, mixture, band.shape)
            _encode_waves(mixture, coder, waves, params, limits, band[0], bits[low:high], add)
        return image, bits

    def _code_groups(self, name, size, auxiliary, coder, target, add):
        """Codes the image `target`, or reads it if None, group by group: (image, bits)."""
        factor = self._model.factors[name]
        side = factor.network.side
        request = DrawRequest(size=size, auxiliary=auxiliary)
        scan = factor.group_scan(request, 1)
        bits = []
        for group in factor.network.groups:
            scan.next_group()
            values = (
                None if target is None else np.asarray(sums.pixels_at(target, group.place, side))
            )
            values, group_bits = self._code_group(scan, name, coder, values)
            scan.decided(values)
            add(int(scan.is_decided().sum()))
            if group.part:
                group_bits = group_bits + bits.pop()
            bits.append(group_bits)
        bits = np.asarray(sums.from_places(bits, side, size))[0, ..., 0]
        return np.asarray(scan.images()), bits

    def _code_group(self, scan, name, coder, target):
        """Codes a group's pixels `target`, or reads them if None: (pixels, bits), [1, h, w, ...]."""
        factor, mixture = self._model.factors[name], self._mixtures[name]
        values = scan.zeros()
        _, height, width, channels = values.shape
        flat_values = values.reshape(-1, channels)
        bits = np.zeros((1, height, width, 1), np.float32)
        decided = scan.is_decided()
        places, first = np.flatnonzero(decided), 0
        known = scan.remainders()
        limits = _limits(known and known.bounds(), mixture, values.shape)
        waiting = np.zeros((0, factor.network.num_params), np.float32)

        def params_of(row):
            params = np.concatenate([np.asarray(scan.params(tile))[0] for tile in row], axis=1)
            return params[decided[row[0].rows.kept()]]

        with futures.ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(params_of, scan.tiles[0])
            for following in [*scan.tiles[1:], None]:
                params, ahead = ahead.result(), following and pool.submit(params_of, following)
                waiting = np.concatenate([waiting, params]) if len(waiting) else params
                while len(waiting) >= AT_ONCE or (following is None and len(waiting)):
                    chunk, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
                    index = places[first : first + len(chunk)]
                    pixels = None if target is None else target.reshape(-1, channels)[index]
                    flat_values[index], bits.reshape(-1)[index] = _code_pixels(
                        mixture, chunk, limits[:, :, index], coder, pixels, GROUP_BITS
                    )
                    first += len(chunk)
        return values, bits


def _limits(bounds, mixture, shape):
    """Lowest and highest values, and centers in `CENTERS`, of pixels of `shape` (..., C): int64 [3, C, n]."""
    *shape, channels = shape
    if bounds is None:
        unbounded = np.array([0, mixture.num_values - 1, 0])[:, np.newaxis, np.newaxis]
        return np.broadcast_to(unbounded, (3, channels, math.prod(shape)))
    # Each channel has its own sum, independent of previous channels.
    triples = [bounds(channel, []) for channel in range(channels)]
    low, high, center = (np.stack([np.asarray(x).ravel() for x in xs]) for xs in zip(*triples))
    return np.stack([x.astype(np.int64) for x in (low, high, center * rounding.CENTERS)])


def _code_pixels(mixture, params, limits, coder, target, bits):
    """Codes the pixels `target`, or reads them if None: (int64 [N, C], their bits, float32 [N]).

    `limits` come from `_limits`; `bits` is the number of bits of a value coded at once.
    """
    pixels = mixture.pixels(np.round(params * rounding.SUMS).astype(np.int64))
    values = []
    total_bits = np.zeros(len(params), np.float32)
    for index in range(limits.shape[1]):
        low, high, center = limits[:, index]
        channel = pixels.channel(low, high, center)
        # Groups use the longest interval; waves a constant, independent of the pixels decided together.
        longest = np.max(high - low, initial=0) if bits == GROUP_BITS else mixture.num_values - 1
        for count in counts(int(longest), bits):
            part = None if target is None else (target[:, index] - low) // count % (1 << bits)
            part, part_bits = coder.code(channel.parts(count, 1 << bits), part)
            channel.choose(part, count)
            total_bits += part_bits
        pixels.finish(channel, center)
        values.append(channel.value)
    return np.stack(values, axis=-1), total_bits


class _Recorder(entropy.Encoder):
    """Records tables and values of pixels, to write them wave by wave."""

    def __init__(self):
        self._records = []

    def write(self, tables, values):
        self._records.append((tables, values))

    def by_wave(self, waves):
        """All tables and values, sorted by the pixels' waves, int [N]."""
        tables, values = map(np.stack, zip(*self._records))
        turns = waves * len(values) + np.arange(len(values))[:, np.newaxis]
        order = np.argsort(turns, axis=None, kind="stable")
        return tables.reshape(len(order), -1)[order], values.ravel()[order]


def _encode_waves(mixture, coder, waves, params, limits, pixels, bits, add):
    """Writes a band of pixels, [h, w, C], wave by wave, and fills in their `bits`, [h, w]."""
    order = np.argsort(waves, axis=None, kind="stable")
    waves = waves.ravel()[order]
    params = params.reshape(len(order), -1)
    pixels = pixels.reshape(len(order), -1).astype(np.int64)
    bits = bits.reshape(-1)
    # Parts are whole waves that fit in a cache.
    first = np.flatnonzero(np.diff(waves, prepend=-1))
    first = first[np.unique(first // AT_ONCE, return_index=True)[1]]
    parts = [*map(slice, first, [*first[1:], len(order)])]

    def recorded(part):
        index, recorder = order[part], _Recorder()
        _, bits[index] = _code_pixels(
            mixture, params[index], limits[..., index], recorder, pixels[index], WAVE_BITS
        )
        return recorder.by_wave(waves[part])

    with futures.ThreadPoolExecutor() as pool:
        for part, records in zip(parts, pool.map(recorded, parts)):
            coder.write(*records)
            add(part.stop - part.start)


def _decoder(mixture, coder, image, bits, known_rows, add):
    """A decider that reads a band of an image, [h, w, C], and its bits, [h, w], below `known_rows`."""
    height, width, channels = image.shape
    indices = np.arange(height * width).reshape(1, height, width)
    image, bits = image.reshape(-1, channels), bits.reshape(-1)

    def decide(params, pick, bounds):
        [index] = pick(indices)
        limits = _limits(bounds, mixture, (len(index), channels))
        new = index >= known_rows * width
        index = index[new]
        image[index], bits[index] = _code_pixels(
            mixture, params[0, new], limits[..., new], coder, None, WAVE_BITS
        )
        add(len(index))
        return image[pick(indices)]

    return decide
