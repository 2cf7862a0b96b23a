"""Tests of the codec of images of 1 to 16 bits and several channels."""

import functools
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import batches
from pixelcnn_aux.base import rounding, threads
from pixelcnn_aux.codec.codec import Codec
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import architectures
from tests.codec import helpers

SIZES = ((1, 1), (1, 2), (3, 1), (7, 5), (40, 40), (1, 3000))
SMALL = SIZES[:4]


def images(bits, channels, sizes=SIZES):
    """Noise of the full range, a gradient with little noise, zeros and the largest value, by turns."""
    random, last = np.random.default_rng(bits), 2**bits - 1
    made = []
    for number, size in enumerate(sizes):
        shape = (*size, channels)
        smooth = np.indices(size).sum(axis=0)[..., np.newaxis] * 2 + random.integers(0, 9, shape)
        kinds = random.integers(0, last + 1, shape), smooth % (last + 1), 0, last
        made.append(np.broadcast_to(kinds[number % 4], shape))
    made.append(made[0][::-1])
    made += [np.zeros((6, 6, channels)), np.full((6, 5, channels), last)]
    return [x.astype(np.uint8 if bits <= 8 else np.uint16) for x in made]


@functools.cache
def model(bits, channels=1):
    """A tiny pyramid, whose last factor is masked or decides groups of pixels: none may change it."""
    masked = bits % 2 if channels == 1 else 1
    return helpers.model(bits=bits, channels=channels, masked=masked, masked_blocks=1)


@functools.cache
def high_bits(bits, kept, channels):
    """A tiny rounded chain: half resolutions of the high bits, then all bits."""
    how = {"filters": 4, "dropout": 0.0}
    chain = pa.chain(
        [pa.auxiliary.HighBits(kept, bits), pa.auxiliary.HalfResolution()],
        None,
        [
            architectures.parallel(1, [3], **how),
            architectures.masked(1, **how),
            functools.partial(architectures.masked(1, **how), side=1),
        ],
        embedding=[None, architectures.trunk(1, **how), architectures.trunk(1, **how)],
        num_components=3,
        channels=channels,
        bits=bits,
    )
    return helpers.with_weights(pa.rounded(chain))


class InGraphs(batches.GraphEvaluator):
    """Evaluates parameters in graphs, to arrays."""

    def at_any_size(self, *args):
        return np.asarray(super().at_any_size(*args))

    def __call__(self, *args, **how):
        return np.asarray(super().__call__(*args, **how))


class ScansTest(tf.test.TestCase):
    def check(self, made, pictures):
        codec = Codec(made)
        data = codec.compress(pictures)
        for found, expected in zip(codec.decompress(data), pictures, strict=True):
            self.assertEqual(found.dtype, expected.dtype)
            self.assertAllEqual(found, expected)

    def test_all_bits(self):
        for bits in range(1, 17):
            self.check(model(bits), images(bits, 1, SIZES if bits in (12, 13) else SMALL))

    def test_channels(self):
        for bits, channels in ((1, 2), (2, 3), (5, 4), (12, 2), (12, 3), (16, 3), (16, 4), (9, 16)):
            self.check(model(bits, channels), images(bits, channels, SMALL))

    def test_high_bits(self):
        for bits, kept, channels in ((16, 8, 1), (16, 4, 1), (12, 8, 3), (9, 1, 2)):
            self.check(
                high_bits(bits, kept, channels),
                images(bits, channels, SIZES if bits == 9 else SMALL),
            )

    def test_differences_of_so_many_channels_that_sums_are_not_exact(self):
        made = pa.chain(
            [pa.auxiliary.HalfResolution()],
            None,
            architectures.masked(1, filters=4, dropout=0.0),
            embedding=architectures.trunk(1, filters=4, dropout=0.0, differences=True),
            channels=16,
            bits=9,
        )
        with self.assertRaisesRegex(ValueError, r"less than 2 \*\* 24 units in embedding/first"):
            pa.rounded(made)

    def test_as_many_bits_as_the_likelihood(self):
        """Also of centered mixtures of few values, and of categoricals."""
        for bits in (1, 4, 13, 16):
            made = model(bits)
            picture = images(bits, 1, [(40, 40), (40, 40)])[1]
            expected = np.sum(made.bits_per_dim(picture[np.newaxis])["total"]) * picture.size
            codec = Codec(made)
            [pixel_bits] = codec.decompress_with_bits(codec.compress([picture]))[1]
            self.assertAllClose(pixel_bits.sum(), expected, rtol=0.02)

    def test_the_same_files_by_tensorflow_and_by_numpy_of_one_thread_and_two(self):
        for made in (model(13), high_bits(16, 8, 1)):
            picture = images(13, 1, [(1, 1), (33, 21)])[1]
            files = []
            codec = Codec(made)
            for evaluate in (batches.NUMPY, InGraphs()):
                for count in (1, 2):
                    with (
                        threads.limited(count),
                        mock.patch.object(batches, "NUMPY", evaluate),
                    ):
                        files.append(codec.compress([picture]))
                        self.assertAllEqual(codec.decompress(files[0])[0], picture)
            self.assertLen(set(files), 1)

    def test_parameters_of_wide_values_are_exact(self):
        """The largest deviations and values, added up in float32 by graphs and in float64."""
        for made in (model(16), high_bits(16, 8, 1)):
            picture = images(16, 1, [(40, 40)])[0][np.newaxis]
            views = made.auxiliaries(picture)
            below = None
            for name, factor in made.factors.items():
                inputs = Inputs(np.asarray(views[name]), below)
                below, found = inputs.images, np.asarray(factor.keras_model()(inputs))
                self.assertAllEqual(found * rounding.SUMS, np.round(found * rounding.SUMS))
                self.assertAllEqual(found, factor.batch_params(inputs))

    def test_values_above_the_bits(self):
        codec = Codec(model(12))
        with self.assertRaisesRegex(ValueError, "values from 0 to 4095. Received: a value of 4096"):
            codec.compress([np.full((3, 4, 1), 4096, np.uint16)])
