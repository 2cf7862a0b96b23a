"""Tests of the codec: images come back to the last bit, of as many bits as the model says, or not at all."""

import concurrent.futures
import math
import multiprocessing
import pathlib
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.codec import coding, container, digits, entropy, tiles
from pixelcnn_aux.codec.codec import Codec
from pixelcnn_aux.conditions import Classes, Vector
from pixelcnn_aux.sums import Bounds
from tests import helpers

NUM = 7
TILED = pathlib.Path(__file__).parents[1] / "data" / "tiled.pxa"


def model(seed=0, **kinds):
    """A tiny chain with random weights."""
    made = helpers.tiny_model(**kinds)
    for factor in made.factors.values():
        helpers.randomize(factor, seed)
    return made


def check_device():
    """Where another device is the default one, as a GPU is: that of all images that are decided."""
    helpers.trace_quickly()
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    devices = set()

    def recording(function):
        def recorded(*args):
            result = function(*args)
            devices.update((function.__name__, x.device[-5:]) for x in tf.nest.flatten(result))
            return result

        return recorded

    with (
        mock.patch.object(coding.Coding, "run", recording(coding.Coding.run)),
        mock.patch.object(pa.Factor, "features", recording(pa.Factor.features)),
        tf.device("CPU:1"),
    ):
        Codec(model()).compress(helpers.pictures(1))
    assert devices == {("run", "CPU:0"), ("features", "CPU:0")}, devices


class RoundTripTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = model(exact=True, centered=True)
        # Of other images many values are less likely than any that a table holds, and take fewer bits.
        cls.images = cls.model.sample([[0, i] for i in range(NUM)])["image"].numpy()
        cls.codec = Codec(cls.model, "tiny", batch=3)
        cls.data = cls.codec.compress(cls.images)

    def test_images_come_back_in_batches_with_a_ragged_last_one(self):
        self.assertEqual([len(self.images) % 3, len(container.read(self.data).streams)], [1, 3])
        for codec in (self.codec, Codec(self.model.with_exact(False), batch=5)):
            self.assertAllEqual(codec.decompress(self.data), self.images)

    def test_a_file_of_version_1(self):
        """Its six tiles were written before there was another version."""
        made = helpers.tiny_model(exact=True, centered=True, dtype="float64")
        for seed, factor in enumerate(made.factors.values()):
            helpers.randomize(factor, seed)
        rows, columns = np.indices((9, 7))
        picture = 7 * rows[..., None] + 5 * columns[..., None] + [0, 20, 40]
        found = Codec(made).decompress(TILED.read_bytes())
        self.assertAllEqual(tiles.join(found, 9, 7), picture)

    def test_threads_take_turns(self):
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            written = threads.map(self.codec.compress, [self.images, self.images[::-1]] * 2)
            for data, images in zip(written, [self.images, self.images[::-1]] * 2):
                self.assertAllEqual(self.codec.decompress(data), images)

    def test_it_computes_on_the_processor(self):
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=check_device, daemon=True)
        process.start()
        self.addCleanup(process.kill)
        process.join(300)
        self.assertEqual(process.exitcode, 0)

    def test_other_models_and_batches_are_refused(self):
        # Weights that are not trained are drawn in each load: nobody could read what they write.
        untrained = helpers.tiny_model()
        untrained.untrained = ("image",)
        for made, batch, message in (
            (model(dtype="mixed_bfloat16"), 1, "float32 or float64.*Received: mixed_bfloat16"),
            (untrained, 1, "'image' not trained yet"),
            (None, 1, "model of class AuxiliaryModel"),
            (self.model, 0, "batch from 1 to 1,024"),
            (self.model, container.MAX_BATCH + 1, "batch from 1 to 1,024"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                Codec(made, batch=batch)

    def test_as_many_bits_as_the_likelihood_says(self):
        bits = -self.model.log_prob(self.images).numpy().sum() / math.log(2.0)
        contents = container.read(self.data)
        written = 32 * sum(map(len, contents.streams))
        # Each stream ends at a word, and tells the decoder where it is to one more.
        self.assertBetween(written, bits * 0.999, bits * 1.001 + 64 * len(contents.streams))
        self.assertAllClose(sum(contents.bits.values()), written, atol=96)

    def test_no_images_and_images_that_do_not_fit(self):
        data = self.codec.compress(self.images[:0])
        self.assertEqual(self.codec.decompress(data).shape, (0, *helpers.SIZE, 3))
        with self.assertRaisesRegex(ValueError, "model's size, .4, 6.*Cut them into tiles"):
            self.codec.compress(self.images[:, :2])
        with self.assertRaisesRegex(ValueError, "uint8"):
            self.codec.compress(self.images.astype(np.float32))

    def test_what_no_file_can_hold_is_refused_before_anything_is_coded(self):
        height, width = helpers.SIZE
        size = (NUM * height, width)
        self.assertLen(
            container.read(self.codec.compress(self.images, pictures=[("a", *size)])).pictures, 1
        )
        with mock.patch.object(coding.Coding, "run", side_effect=AssertionError):
            for name, pictures, received in (
                ("tiny", [("dir/a.png", *size)], "name 'dir/a.png'"),
                ("tiny", [("a.png", height, width)], "7 images for pictures of 1 tiles"),
                (3, [], "3 as name"),
            ):
                with self.assertRaisesRegex(ValueError, received):
                    Codec(self.model, name).compress(self.images, pictures=pictures)

    def test_files_of_other_models_are_refused(self):
        another = r"this model, .* one of another, tiny, .*Give the model that wrote it"
        for other, message in (
            (model(1, exact=True, centered=True), another),
            (model(exact=True, centered=False), another),
            (
                model(exact=True, centered=True, dtype="float64"),
                r'a model in float64. Received: one in float32.*load\(\.\.\., dtype="float32"\)',
            ),
        ):
            with self.assertRaisesRegex(ValueError, message):
                Codec(other).decompress(self.data)
        with self.assertRaisesRegex(ValueError, "data of class bytes"):
            self.codec.decompress("images.pxa")

    def test_a_machine_that_computes_otherwise(self):
        """No image that differs is returned, and the machine that can decode it is described."""
        message = "decode otherwise on this machine .*or write it in float64.\nWritten by: .*numpy"
        with mock.patch.object(coding, "GRID", coding.GRID * 1.01):
            with self.assertRaisesRegex(ValueError, message):
                Codec(self.model).decompress(self.data)


class KindsTest(tf.test.TestCase):
    """Chains of other kinds."""

    def test_a_pyramid(self):
        """The bits of an auxiliary pixel go to all that it stands for, so that each is there once."""
        small = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        made = pa.pyramid((8, 8), (4, 4), **small, exact=True, centered=True)
        images = helpers.pictures(2, size=(8, 8))
        codec = Codec(made)
        _, bits = codec.decompress_with_bits(codec.compress(images))
        expected = np.zeros([2, 8, 8])
        for name, inputs in made.inputs(images).items():
            nats = made.factors[name].pixel_log_prob(inputs).numpy()
            times = 8 // nats.shape[1]
            share = times**2 * math.log(2.0)
            expected -= nats.repeat(times, axis=1).repeat(times, axis=2) / share
        self.assertAllClose(bits, expected, rtol=1e-2, atol=0.05)
        # Values that the network finds unlikely.
        for factor in made.factors.values():
            helpers.randomize(factor)
        images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
        images[2], images[3] = 0, 255
        self.assertAllEqual(codec.decompress(codec.compress(images)), images)

    def test_parameters_that_differ_in_their_last_digits(self):
        """As between processors, whatever is less than the grid: none of these is where that rounds."""
        codec, images = Codec(model(1, dtype="float64")), helpers.pictures(2)
        data = codec.compress(images)
        self.assertEqual(container.read(data).dtype, "float64")
        bias = codec.model.factors["image"].network.last.b
        bias.assign(bias + 1e-8)
        self.assertAllEqual(codec.decompress(data), images)
        bias.assign(bias + 1e-3)
        with self.assertRaisesRegex(ValueError, "2 that decode otherwise") as caught:
            codec.decompress(data)
        self.assertNotIn("or write it in float64", str(caught.exception))

    def test_conditions(self):
        """They come back beside the images, of which they tell the model: also where there is one factor."""
        flat, images = {"topology": pa.networks.topology.flat(1), "filters": 4}, helpers.pictures(5)
        vectors = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
        for made, condition, bits_each in (
            (helpers.tiny_model(condition=Classes(3)), np.int32([0, -1, 2, 1, 1]), 2),
            (pa.chain([], helpers.SIZE, flat, flat, condition=Vector(2)), vectors, 64),
        ):
            helpers.randomize_conditions(made)
            codec = Codec(made, batch=3)
            data = codec.compress(images, condition)
            found, bits = codec.decompress_with_bits(data)
            self.assertAllEqual(found, images)
            self.assertAllEqual(codec.condition(data), condition)
            nats = codec.model.log_prob(images, condition).numpy()  # exact
            self.assertAllClose(bits.sum((1, 2)), -nats / math.log(2.0), rtol=1e-2)
            written = container.read(data).bits[digits.NAME]
            self.assertBetween(written, 5 * bits_each, 5 * bits_each + 128)
            nothing = codec.compress(images[:2])
            self.assertAllEqual(codec.condition(nothing), made.condition.unknown(2))
            self.assertAllEqual(codec.decompress(nothing), images[:2])
        self.assertIsNone(Codec(model()).condition(Codec(model()).compress(images[:0])))


class TablesTest(tf.test.TestCase):
    """What the likelihoods tell of a channel's values."""

    def check(self, likelihood, values, low, high, centers):
        random = np.random.default_rng(0)
        params = tf.constant(random.normal(0, 2, (len(values), likelihood.num_params)), tf.float64)
        total = 0.0
        for channel in range(likelihood.num_channels):
            earlier = [tf.constant(values[:, i], tf.int32) for i in range(channel)]
            bounds = [
                Bounds(*(tf.constant(x[:, i], tf.int32) for x in (low, high)), centers[:, i])
                for i in range(channel + 1)
            ]
            found = likelihood.value_log_probs(params, channel, earlier, bounds).numpy()
            self.assertAllClose(np.exp(found).sum(axis=-1), np.ones(len(values)))
            every = np.arange(likelihood.num_values)
            outside = (every < low[:, channel, None]) | (every > high[:, channel, None])
            self.assertAllEqual(np.isneginf(found), outside)
            total += found[np.arange(len(values)), values[:, channel]]
        expected = likelihood.log_prob(params, values, Bounds(low, high, centers))
        self.assertAllClose(total, expected, rtol=1e-9)

    def test_channels_add_up_to_the_likelihood_of_a_pixel(self):
        values = np.array([[3, 7, 250], [0, 255, 128], [100, 101, 99]])
        low, high = np.maximum(values - [9, 3, 0], 0), np.minimum(values + [2, 0, 90], 255)
        for likelihood in (
            pa.likelihoods.LogisticMixture(3, centered=True, unit=8.0),
            pa.likelihoods.LogisticMixture(3),
        ):
            self.check(likelihood, values, low, high, np.full(values.shape, 90.0))
        values = np.array([[3, 7], [0, 15]])
        low, high = np.maximum(values - 2, 0), np.minimum(values + 1, 15)
        self.check(pa.likelihoods.Categorical(16, num_channels=2), values, low, high, values * 1.0)


class CodersTest(tf.test.TestCase):
    def test_a_decoder_notices_what_no_encoder_wrote(self):
        tables = np.zeros([1, 4], np.float32)
        tables[0, 1] = 1
        encoder = entropy.Encoder()
        encoder.decide(tables, np.array([3]))
        decoder = entropy.Decoder(encoder.words())
        with self.assertRaisesRegex(ValueError, "rules out"):
            decoder.decide(tables)
