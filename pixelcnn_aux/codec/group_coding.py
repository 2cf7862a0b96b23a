"""The one way through a chain of factors that decide groups of pixels, which encoder and decoder share.

All of it is exact: factors are `RoundedFactor`s, and what their parameters stand for is computed in whole
numbers (`whole_mixture`). So a file is the same whatever evaluates the networks, in tiles of whatever size.
"""

import math
from concurrent import futures

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.codec import entropy, whole_mixture
from pixelcnn_aux.layers import rounding
from pixelcnn_aux.scanning import TileScan

_FEW = 2**20  # pixels, up to which graphs take longer to trace than they save
AT_ONCE = 2**13  # pixels whose values are coded together, in raster order: part of the format


class GroupCoding:
    """Codes the images of a chain of `RoundedFactor`s, of any size.

    Attributes:
      names: list of str, the factors, of which bits are counted.
    """

    def __init__(self, model):
        self._model, self.names = model, [*model.factors]
        self._coded_before = 0  # pixels
        self._mixtures = {
            name: whole_mixture.WholeMixture(factor.likelihood)
            for name, factor in model.factors.items()
        }

    def encode(self, images, condition, batch, report):
        """As `coding.Coding.encode`, of images of any size. Condition and batch do not matter."""
        del condition, batch
        coder, bits = entropy.Encoder(), dict.fromkeys(self.names, 0.0)
        tell = self._teller(report, *images.shape[:3])
        for image in images[:, np.newaxis]:
            given = None
            for name, x in self._model.auxiliaries(image).items():
                x = np.asarray(x)
                _, pixel_bits = self._coded(name, coder, x.shape[1:3], given, tell, x)
                bits[name] += pixel_bits.sum()
                given = x
        return coder.words(), {name: round(x) for name, x in bits.items()}

    def decode(self, words, count, batch, size, report):
        """As `coding.Coding.decode`, likewise."""
        del batch
        coder, images, bits = entropy.Decoder(words), [], []
        tell = self._teller(report, count, *size)
        try:
            for _ in range(count):
                image, image_bits = self._image(coder, size, tell)
                images.append(image)
                bits.append(image_bits)
        except ValueError:
            return None
        return np.concatenate(images), np.concatenate(bits)

    def _teller(self, report, count, *size):
        """A function that is called after each group with its number of pixels, and reports the part done."""
        self._coded_before += count * math.prod(size)
        total = count * sum(map(math.prod, self._model.sizes(size).values()))
        done = 0

        def tell(pixels):
            nonlocal done
            done += pixels
            report(done / total)

        return tell

    def _image(self, coder, size, tell):
        """The next image that a decoder reads, uint8 [1, H, W, C], and float32 [1, H, W], bits of pixels."""
        image, bits = None, np.zeros((1, *size), np.float32)
        for name, (h, w) in self._model.sizes(size).items():
            image, here = self._coded(name, coder, (h, w), image, tell)
            # Each pixel's share of those of the blocks that it is in.
            down, right = (-(-side // small) for side, small in zip(size, (h, w)))
            here = here[..., 0].repeat(down, axis=1).repeat(right, axis=2) / (down * right)
            bits += here[:, : size[0], : size[1]]
        return image, bits

    def _coded(self, name, coder, size, auxiliary, tell, images=None):
        """A factor's image, uint8 [1, H, W, C], and float32 [1, H, W, 1], the bits of each pixel.

        Args:
          name: str, the factor's.
          coder: `entropy.Encoder` or `Decoder`.
          size: (H, W).
          auxiliary: uint8 [1, h, w, c], None for a factor without one.
          tell: function that is called with the number of pixels of each group.
          images: uint8 [1, H, W, C], to be written; None to read.
        """
        factor = self._model.factors[name]
        scan = TileScan(factor, size, 1, auxiliary, once=self._coded_before < _FEW)
        side, bits = factor.network.side, []
        for group in factor.network.groups:
            scan.next_group()
            given = (
                None if images is None else np.asarray(sums.pixels_at(images, group.place, side))
            )
            values, here = _group(scan, factor, self._mixtures[name], coder, given)
            scan.decided(values)
            tell(int(scan.is_decided().sum()))
            if group.part:
                here = here + bits.pop()
            bits.append(here)
        return np.asarray(scan.images()), np.asarray(sums.from_places(bits, side, size))


def _group(scan, factor, mixture, coder, given):
    """The pixels of the group of a scan, [1, h, w, C], and how many bits each took, float32 [1, h, w, 1].

    `given` are the pixels, likewise, if they are to be written.
    """
    values, last = scan.zeros(), scan.tiles[-1]
    _, height, width, channels = values.shape
    bits = np.zeros((1, height, width, 1), np.float32)
    mine = scan.is_decided()
    places, first = np.flatnonzero(mine), 0
    known, found = _bounds(scan, factor, values.shape), values.reshape(-1, channels)
    waiting = np.zeros((0, factor.network.num_params), np.float32)

    def params_of(row):
        params = np.concatenate([np.asarray(scan.params(tile))[0] for tile in row], axis=1)
        return params[mine[row[0].rows.kept()]]

    for row, params in zip(scan.tiles, _one_ahead(params_of, scan.tiles)):
        waiting = np.concatenate([waiting, params]) if len(waiting) else params
        while len(waiting) >= AT_ONCE or (row is last and len(waiting)):
            chunk, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
            chunk = np.round(chunk * rounding.SUMS).astype(np.int64)
            there = places[first : first + len(chunk)]
            told = None if given is None else given.reshape(-1, channels)[there]
            decided = _pixels(mixture, chunk, [x[:, there] for x in known], coder, told)
            found[there], bits.reshape(-1)[there] = decided
            first += len(chunk)
    return values, bits


def _one_ahead(function, items):
    """Yields what a function gives for each item, and computes that of the next one meanwhile."""
    first, *rest = items
    with futures.ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(function, first)
        for item in rest:
            now, ahead = ahead, pool.submit(function, item)
            yield now.result()
        yield ahead.result()


def _bounds(scan, factor, shape):
    """What is known of each channel's pixels: list of int64 [3, h w], the least and the most, and the center.

    Centers are in units of `rounding.CENTERS`.
    """
    bounds = scan.bounds()
    if bounds is None:
        every = np.array([0, factor.likelihood.num_values - 1, 0])[:, np.newaxis]
        return [np.broadcast_to(every, (3, shape[1] * shape[2]))] * shape[-1]
    # Each channel has a sum of its own: those before it say nothing of it.
    return [
        np.stack(
            [np.asarray(x).astype(np.int64).ravel() for x in (low, high, center * rounding.CENTERS)]
        )
        for low, high, center in (bounds(channel, []) for channel in range(shape[-1]))
    ]


def _pixels(mixture, params, known, coder, given):
    """The values of some pixels, int64 [N, C], and their bits, float32 [N]; `given` are those to write."""
    pixels, values, bits = mixture.pixels(params), [], np.zeros(len(params), np.float32)
    for index, (low, high, center) in enumerate(known):
        channel = pixels.channel(low, high, center)
        for count in whole_mixture.counts(low, high):
            half = None if given is None else (given[:, index] - low) // count % 2
            half, taken = coder.decide(channel.halves(count), half)
            channel.decided(half, count)
            bits += taken
        pixels.known(channel, center)
        values.append(channel.value)
    return np.stack(values, axis=-1), bits
