"""Tests of the codec of rounded models: files that decode whatever evaluates the networks."""

import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import batches, layers
from pixelcnn_aux.codec import container, group_coding, whole_mixture
from pixelcnn_aux.codec.codec import Codec
from pixelcnn_aux.sums import Bounds

# Written once, and not again unless the format gets another version.
GOLDEN = pathlib.Path(__file__).parents[1] / "data" / "rounded.pxa"
SIZE = (45, 62)


def model():
    """A tiny parallel pyramid, whose weights are the same on all machines."""
    how = {"halvings": 1, "filters": 6, "blocks": 1, "trunk_blocks": 1, "parts": (1, 2, 1, 1)}
    made = pa.parallel_pyramid(base_filters=4, base_blocks=1, base_parts=3, num_components=3, **how)
    made = pa.rounded(made)
    for seed, factor in enumerate(made.factors.values()):
        rng = np.random.default_rng(seed)
        for layer in layers.normalized_layers(factor):
            shape = layer.v.shape
            kernel = rng.integers(-127, 128, shape) / 512  # whole already
            layer.v.assign(kernel)
            layer.g.assign(np.sqrt(np.sum(kernel**2, axis=tuple(range(kernel.ndim - 1)))))
            layer.b.assign(rng.integers(-64, 65, shape[-1]) / 128)
        factor.settle()
    return made


def image():
    """uint8 [1, *SIZE, 3], the same on all machines: edges, a gradient and noise."""
    rows, columns = np.indices(SIZE)
    smooth = 2 * rows + columns + 40 * (columns > 30)
    noise = np.random.default_rng(0).integers(0, 20, (*SIZE, 3))
    return (smooth[..., np.newaxis] + noise).astype(np.uint8)[np.newaxis]


class GroupCodingTest(tf.test.TestCase):
    def test_images_come_back_in_tiles_of_another_size(self):
        made, images = model(), image()
        codec = Codec(made, "tiny")
        data = codec.compress(images)
        bits = 8 * len(data) / images.size
        expected = np.sum(made.bits_per_dim(images)["total"])
        self.assertBetween(bits, expected, 1.05 * expected + 0.5)  # a header, of a small image
        back, pixel_bits = codec.decompress_with_bits(data)
        self.assertAllEqual(back, images)
        self.assertAllClose(pixel_bits.sum() / images.size, expected, rtol=0.02)
        with mock.patch.object(batches, "MAX_TILE_PIXELS", 48**2):
            self.assertAllEqual(codec.decompress(data), images)
        with mock.patch.object(group_coding, "_FEW", 0):  # by graphs
            self.assertAllEqual(Codec(made).decompress(data), images)
        with mock.patch.object(group_coding, "AT_ONCE", 100):
            small = codec.compress(images)
            self.assertAllEqual(codec.decompress(small), images)

    def test_pictures_of_several_sizes(self):
        codec = Codec(model(), "tiny")
        images = [image()[0], image()[0, :7, :1], image()[0, :1, :20]]
        images.append(np.resize(images[0], (1, 2100, 3)))  # longer than images of training may be
        done = []
        data = codec.compress(images, progress=done.append)
        self.assertEqual(done, sorted(done))
        self.assertEqual(done[-1], sum(x.shape[0] * x.shape[1] for x in images))
        self.assertEqual(container.read(data).pictures[1], ["00001.png", 7, 1])
        found, bits = codec.decompress_with_bits(data, done.append)
        for image_found, pixel_bits, expected in zip(found, bits, images, strict=True):
            self.assertAllEqual(image_found, expected)
            self.assertEqual(pixel_bits.shape, expected.shape[:2])
        with self.assertRaisesRegex(ValueError, "of the sizes of the images"):
            codec.compress(images[:1], pictures=[("a.png", 62, 45)])
        self.assertEqual(codec.decompress(codec.compress([])), [])

    def test_damaged_streams(self):
        """What still decodes is whole, also where the file's own checksum is one of what is damaged."""
        codec, rng = Codec(model(), "tiny"), np.random.default_rng(0)
        contents = container.read(codec.compress([image()[0, :12, :9]]))
        refused = 0
        for _ in range(20):
            words = contents.streams[0].copy()
            words[rng.integers(len(words))] ^= np.uint32(1 << rng.integers(32))
            damaged = container.write(contents._replace(streams=[words]))
            try:
                self.assertAllEqual(codec.decompress(damaged)[0], image()[0, :12, :9])
            except ValueError as error:
                self.assertIn("Expected images as they were written", str(error))
                refused += 1
        self.assertGreater(refused, 15)  # the last word's bits may not all be needed

    def test_a_file_that_another_machine_wrote(self):
        codec = Codec(model(), "tiny")
        self.assertAllEqual(codec.decompress(GOLDEN.read_bytes()), image())
        words = container.read(codec.compress(image())).streams
        self.assertAllEqual(words, container.read(GOLDEN.read_bytes()).streams)

    def test_weights_that_are_not_settled_are_refused(self):
        made = model()
        made.factors["half"].network.firsts[0].g.assign_add([0.01] * 4)
        with self.assertRaisesRegex(ValueError, "other weights of half"):
            Codec(made)

    def test_models_that_are_not_whole_numbers_are_refused(self):
        with self.assertRaisesRegex(ValueError, "or one of rounded factors"):
            Codec(pa.parallel_pyramid(filters=4, blocks=1, base_parts=2))


class WholeMixtureTest(tf.test.TestCase):
    def test_probabilities_are_those_of_the_likelihood(self):
        rng, count = np.random.default_rng(0), 300
        for centered in (False, True):
            likelihood = pa.likelihoods.LogisticMixture(4, centered=centered, unit=8.0)
            params = np.round(256 * rng.normal(0, 1, (count, 40))).astype(np.int64)
            low = rng.integers(0, 200 if centered else 1, (count, 3))
            high = np.minimum(low + rng.integers(0 if centered else 255, 256, (count, 3)), 255)
            center = rng.integers(low, high + 1)
            bounds = [Bounds(*x) for x in zip(low.T, high.T, center.T.astype(np.float64))]
            uniforms = rng.random((count, likelihood.bounded_noise_size))
            noise = likelihood.noise(uniforms, bounded=True)
            values = likelihood.draw(params / 256.0, noise, bounds=lambda c, _, x=bounds: x[c])
            values = values.numpy().astype(np.int64)
            pixels, bits = whole_mixture.WholeMixture(likelihood).pixels(params), 0.0
            for index in range(3):
                told = low[:, index], high[:, index], 4 * center[:, index]
                channel = pixels.channel(*told)
                for size in whole_mixture.counts(*told[:2]):
                    tables = channel.halves(size)
                    self.assertLess(tables.sum(axis=1).max(), 2**24)
                    half = (values[:, index] - told[0]) // size % 2
                    bits -= np.log2(tables[np.arange(count), half] / tables.sum(axis=1))
                    channel.decided(half, size)
                self.assertAllEqual(channel.value, values[:, index])
                pixels.known(channel, told[-1])
            bounds = Bounds(low, high, center.astype(np.float64))
            expected = -likelihood.log_prob(params / 256.0, values, bounds) / np.log(2)
            self.assertAllClose(bits, expected, atol=0.2)
            self.assertAllClose(bits.mean(), np.mean(expected), rtol=1e-3)

    def test_tables_say_nothing_of_what_cannot_be(self):
        likelihood = pa.likelihoods.LogisticMixture(2, centered=True, unit=8.0)
        params = np.random.default_rng(0).integers(-2000, 2000, (50, 20))
        low, high = np.full(50, 17), np.full(50, 30)
        high[0] = 18  # of two values, beside others of fourteen
        self.assertEqual(whole_mixture.counts(low, high), [8, 4, 2, 1])
        self.assertEqual(whole_mixture.counts(low, low), [])
        channel = whole_mixture.WholeMixture(likelihood).pixels(params).channel(low, high, 4 * low)
        tables = channel.halves(8)  # of 17 .. 24, and 25 .. 30
        self.assertAllEqual(tables > 0, [[True, False]] + [[True, True]] * 49)
        channel.decided(np.arange(50) > 0, 8)
        self.assertAllEqual(channel.value, [17] + [25] * 49)
        self.assertAllEqual(channel.halves(4)[:, 1] > 0, np.arange(50) > 0)
