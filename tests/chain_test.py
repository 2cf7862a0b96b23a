"""Tests of the chain: what its factors see, how their probabilities add up, and what is loaded."""

import functools
import json
import math
import shutil

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import evaluation, serialization, workdir
from tests import custom, helpers

IMAGES = helpers.pictures(3)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()


def nats(model):
    """Of each factor, by hand: dict, name -> [B]."""
    grayscale, image = model.factors.values()
    return {"grayscale": grayscale.log_prob(GRAYS), "image": image.log_prob(IMAGES, GRAYS)}


class AuxiliaryModelTest(tf.test.TestCase):
    def test_auxiliaries_in_the_order_of_sampling(self):
        chain = helpers.shared_model().auxiliaries(IMAGES)
        self.assertEqual(list(chain), ["grayscale", "image"])
        self.assertEqual(list(chain), list(helpers.shared_model().factors))
        self.assertAllEqual(chain["grayscale"], GRAYS)
        self.assertAllEqual(chain["image"], IMAGES)

    def test_pair_is_what_a_factor_sees(self):
        model = helpers.shared_model()
        image, given = model.pair("image", IMAGES)
        self.assertAllEqual(image, IMAGES)
        self.assertAllEqual(given, GRAYS)
        image, given = model.pair("grayscale", IMAGES)
        self.assertAllEqual(image, GRAYS)
        self.assertIsNone(given)

    def test_log_prob_is_the_sum_of_the_factors(self):
        model = helpers.shared_model()
        expected = sum(value.numpy() for value in nats(model).values())
        self.assertAllClose(model.log_prob(IMAGES), expected, rtol=1e-6)
        self.assertEqual(model.log_prob(IMAGES).dtype, tf.float32)

    def test_bits_per_dim_are_of_the_full_image_and_add_up(self):
        model = helpers.shared_model()
        bits = model.bits_per_dim(IMAGES)
        self.assertEqual(list(bits), ["grayscale", "image", "total"])
        dimensions = math.prod(helpers.SIZE) * 3  # also where a factor models one channel
        for name, value in nats(model).items():
            self.assertAllClose(bits[name], -value / (dimensions * math.log(2)), rtol=1e-5)
        self.assertAllClose(bits["total"], bits["grayscale"] + bits["image"], rtol=1e-6)
        total = -model.log_prob(IMAGES) / (dimensions * math.log(2))
        self.assertAllClose(bits["total"], total, rtol=1e-5)

    def test_images_of_another_size_than_that_of_samples(self):
        images = helpers.pictures(2, size=(3, 5))
        self.assertEqual(helpers.shared_model().log_prob(images).shape, [2])

    def test_wrong_images_are_refused(self):
        model = helpers.shared_model()
        for method in (model.auxiliaries, model.log_prob, model.bits_per_dim):
            with self.assertRaisesRegex(ValueError, "uint8.*Received: int64"):
                method(IMAGES.astype(np.int64))
            with self.assertRaisesRegex(ValueError, r"3 channels.*\[3, 4, 6, 1\]"):
                method(GRAYS)

    def test_sizes_of_what_is_sampled(self):
        self.assertEqual(
            helpers.shared_model().sizes(), {"grayscale": helpers.SIZE, "image": helpers.SIZE}
        )

    def test_a_new_factor_has_the_same_layers_and_weights_of_its_own(self):
        model = helpers.shared_model()
        for name, factor in model.factors.items():
            new = model.new_factor(name)
            self.assertEqual(new.name, name)
            self.assertEqual(
                [weight.shape for weight in new.weights],
                [weight.shape for weight in factor.weights],
            )
            # Two new ones: each test starts from the same random seed as that which drew `factor`.
            other = model.new_factor(name)
            self.assertNotAllClose(new.get_weights()[0], other.get_weights()[0])
        new = helpers.shared_model("float64").new_factor("image")
        self.assertEqual({weight.dtype for weight in new.weights}, {"float64"})
        with self.assertRaisesRegex(ValueError, r"\['grayscale', 'image'\]. Received: '8x8'"):
            model.new_factor("8x8")

    def test_description_builds_the_same_architecture(self):
        model = helpers.shared_model()
        description = json.loads(json.dumps(model.description()))
        copy = serialization.deserialize(description, pa.AuxiliaryModel)
        self.assertEqual(json.loads(json.dumps(copy.description())), description)
        self.assertEqual(copy.image_size, model.image_size)
        for name, factor in model.factors.items():
            copy.factors[name].set_weights(factor.get_weights())
        self.assertAllEqual(copy.log_prob(IMAGES), model.log_prob(IMAGES))


@functools.cache
def tiny_pyramid(dtype="float64"):
    """Three scales of images that are not square."""
    return pa.pyramid(
        (8, 16),
        (2, 4),
        filters=3,
        blocks=1,
        embedding_blocks=1,
        num_components=2,
        dropout=0.0,
        dtype=dtype,
    )


class PyramidTest(tf.test.TestCase):
    images = helpers.pictures(3, size=(8, 16))

    def test_factors_are_scales_the_base_first(self):
        sizes = {"2x4": (2, 4), "4x8": (4, 8), "8x16": (8, 16)}
        self.assertEqual(tiny_pyramid().sizes(), sizes)
        chain = tiny_pyramid().auxiliaries(self.images)
        self.assertEqual(
            {name: x.shape[1:3].as_list() for name, x in chain.items()},
            {name: [*size] for name, size in sizes.items()},
        )
        halved = pa.auxiliary.HalfResolution()(self.images)
        self.assertAllEqual(chain["4x8"], halved)
        # Each is computed from the one just above it, with that one's rounding.
        self.assertAllEqual(chain["2x4"], pa.auxiliary.HalfResolution()(halved))

    def test_bound_adds_up_over_batches_with_a_ragged_last_one(self):
        model = tiny_pyramid("float32")
        chain = [None, *model.auxiliaries(self.images).values()]
        nats = sum(
            np.sum(factor.log_prob(image, given), dtype=np.float64)
            for factor, image, given in zip(model.factors.values(), chain[1:], chain)
        )
        expected = -nats / (3 * 8 * 16 * 3 * math.log(2))
        bits = evaluation.bits_per_dim(model, [self.images[:2], self.images[2:]])
        self.assertAllClose(evaluation.summarize(bits)["total"], expected, rtol=1e-5, atol=0.0)

    def test_incremental_draws_are_those_of_the_full_evaluation(self):
        seeds = [[0, 1], [0, 2]]
        incremental = tiny_pyramid().sample(seeds)
        for name, images in tiny_pyramid().sample(seeds, method="full").items():
            self.assertAllEqual(incremental[name], images)
        self.assertEqual(list(incremental), ["2x4", "4x8", "8x16"])
        # From a scale on, as if it had been drawn.
        given = tiny_pyramid().sample(seeds, given={"4x8": incremental["4x8"]})
        self.assertEqual(list(given), ["4x8", "8x16"])
        self.assertAllEqual(given["8x16"], incremental["8x16"])

    def test_completion_knows_the_blocks_that_are_known_whole(self):
        mask = np.zeros([3, 8, 16, 1], np.uint8)
        mask[:, :3] = 1  # of the third row, no half-resolution pixel is known
        drawn = tiny_pyramid().sample([[0, 1], [0, 2], [0, 3]], known=self.images, mask=mask)
        chain = tiny_pyramid().auxiliaries(self.images)
        self.assertAllEqual(drawn["8x16"][:, :3], self.images[:, :3])
        self.assertAllEqual(drawn["4x8"][:, :1], chain["4x8"][:, :1])
        self.assertNotAllEqual(drawn["4x8"][:, 1], chain["4x8"][:, 1])
        self.assertNotAllEqual(drawn["2x4"][:, 0], chain["2x4"][:, 0])

    def test_sizes_that_halvings_do_not_reach_are_refused(self):
        for image_size, base_size in (((12, 12), (8, 8)), ((8, 8), (16, 16)), ((8, 16), (4, 4))):
            with self.assertRaisesRegex(ValueError, r"halvings.*image_size=\(.*base_size=\("):
                pa.pyramid(image_size, base_size, filters=2)

    def test_grays_may_be_a_pyramid_too(self):
        model = pa.grayscale_pyramid(
            (8, 8),
            (2, 2),
            filters=2,
            blocks=1,
            embedding_blocks=1,
            image_filters=2,
            image_blocks=1,
            image_embedding_blocks=1,
            resolutions=1,
            num_components=2,
        )
        names = ["grayscale_2x2", "grayscale_4x4", "grayscale", "image"]
        self.assertEqual(list(model.factors), names)
        images = helpers.pictures(2, size=(8, 8))
        chain = model.auxiliaries(images)
        self.assertAllEqual(chain["grayscale"], pa.auxiliary.Grayscale()(images))
        self.assertAllEqual(
            chain["grayscale_4x4"], pa.auxiliary.HalfResolution()(chain["grayscale"])
        )
        self.assertEqual(list(model.bits_per_dim(images)), [*names, "total"])
        drawn = model.sample([[0, 1]])
        self.assertEqual(list(drawn), names)
        self.assertLess(np.max(drawn["grayscale_2x2"]), 16)


class ConstructorsTest(tf.test.TestCase):
    def test_grayscale_is_a_chain_of_two_factors(self):
        model = pa.grayscale(
            (4, 6),
            filters=4,
            gray_blocks=3,
            image_blocks=1,
            embedding_blocks=2,
            resolutions=1,
            num_components=2,
            dropout=0.25,
        )
        self.assertEqual(list(model.factors), ["grayscale", "image"])
        self.assertEqual(model.image_size, (4, 6))
        grayscale, image = model.factors.values()
        # One resolution goes `blocks` down and up; the turning point is shared by both.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [6, 2, 4])
        self.assertEqual(grayscale.likelihood.get_config(), {"num_values": 16, "num_channels": 1})
        self.assertEqual(image.likelihood.get_config(), {"num_components": 2})
        self.assertEqual(image.embedding.stream.steps[0].rate, 0.25)
        self.assertIsNone(grayscale.embedding)

    def test_pixelcnn_pp_is_a_chain_of_one_factor(self):
        model = pa.pixelcnn_pp((4, 6), filters=4, blocks=1, resolutions=1, num_components=2)
        self.assertEqual(list(model.factors), ["image"])
        self.assertIsNone(model.factors["image"].embedding)
        images = helpers.pictures(2)
        self.assertEqual(list(model.auxiliaries(images)), ["image"])
        self.assertAllEqual(model.log_prob(images), model.factors["image"].log_prob(images))
        self.assertEqual(list(model.sample([[0, 0]])), ["image"])


FLAT = {"topology": pa.networks.topology.flat(1), "filters": 3}


def ups(count):
    """The arguments of an embedding that doubles its input's sides so many times."""
    steps = [pa.networks.topology.Step(kind) for kind in ("block", "up") * count + ("block",)]
    shape = pa.networks.topology.Topology(tuple(steps), (len(steps),))
    return {"topology": shape, "filters": 3}


class Fours(pa.auxiliary.Transform):
    """The red of every `ratio`-th pixel in four values, declared right."""

    channels = 1
    num_values = 4

    def __call__(self, images):
        return tf.convert_to_tensor(images)[:, :: self.ratio, :: self.ratio, :1] // 64


class Palette(pa.auxiliary.Transform):
    """The nearest of five shades of a pixel: one channel of five values."""

    channels = 1
    num_values = 5

    def __call__(self, images):
        brightest = tf.reduce_max(tf.cast(images, tf.int32), axis=-1, keepdims=True)
        return tf.cast(brightest // 52, tf.uint8)


class BitPlanes(pa.auxiliary.Transform):
    """The eight bits of the green of each pixel: eight channels of two values."""

    channels = 8
    num_values = 2

    def __call__(self, images):
        bits = tf.constant([[128, 64, 32, 16, 8, 4, 2, 1]])
        return tf.cast(tf.cast(images, tf.int32)[..., 1:2] // bits % 2, tf.uint8)


class Posterized(pa.auxiliary.Transform):
    """Three bits of each color."""

    num_values = 8

    def __call__(self, images):
        return tf.convert_to_tensor(images) // 32


class Quarter(pa.auxiliary.Transform):
    """Every fourth pixel, of any images."""

    ratio = 4

    def __call__(self, images):
        return images[:, ::4, ::4]


def altered(base=Fours, **attributes):
    """A transform like `base` but for some attributes; functions become methods."""
    return type("Altered", (base,), attributes)()


@functools.cache
def factors_for(ratio):
    """Two factors of which the second one embeds what `Fours` gives at a ratio."""
    model = pa.chain([altered(ratio=ratio)], (4, 4), FLAT, ups(ratio // 2), num_components=1)
    return list(model.factors.values())


class TransformsOfAChainTest(tf.test.TestCase):
    """A transform is named as soon as the chain is built, not by a failure in the middle of training."""

    def assertRefused(self, message, transform, ratio=1, size=(4, 4)):
        with self.assertRaisesRegex(ValueError, message):
            pa.AuxiliaryModel(factors_for(ratio), [transform], size)

    def test_what_fits_is_taken(self):
        for ratio in (1, 2):
            model = pa.AuxiliaryModel(factors_for(ratio), [altered(ratio=ratio)], (4, 4))
            self.assertEqual(model.sizes()["altered"], (4 // ratio, 4 // ratio))

    def test_another_dtype(self):
        transform = altered(__call__=lambda self, x: tf.cast(x[..., :1] // 64, tf.int32))
        expected = r"transform Altered to give uint8 images of shape \[3, 4, 4, 1\]"
        self.assertRefused(expected + r". Received: int32 \[3, 4, 4, 1\]", transform)

    def test_other_channels(self):
        transform = altered(__call__=lambda self, x: x // 64)
        expected = r"Altered to give uint8 images of shape \[3, 4, 4, 1\]"
        self.assertRefused(expected + r". Received: uint8 \[3, 4, 4, 3\]", transform)

    def test_values_too_large(self):
        transform = altered(__call__=lambda self, x: x[..., :1] // 51)  # 255 // 51 is 5
        self.assertRefused("Altered to give values below 4. Received: 5", transform)

    def test_another_size(self):
        transform = altered(__call__=lambda self, x: x[:, :2, :, :1] // 64)
        self.assertRefused(r"Altered .*\[3, 4, 4, 1\]. Received: uint8 \[3, 2, 4, 1\]", transform)

    def test_another_ratio_than_declared(self):
        half = altered(__call__=lambda self, x: x[:, ::2, ::2, :1] // 64)
        self.assertRefused(r"Altered .*\[3, 4, 4, 1\]. Received: uint8 \[3, 2, 2, 1\]", half)
        half = altered(ratio=2, __call__=lambda self, x: x[..., :1] // 64)
        self.assertRefused(r"Altered .*\[3, 2, 2, 1\]. Received: uint8 \[3, 4, 4, 1\]", half, 2)
        # Both agree with each other, and not with what is declared.
        half = altered(
            size=lambda self, size: (2, 2), __call__=lambda self, x: x[:, ::2, ::2, :1] // 64
        )
        self.assertRefused("Altered to give sides divided by its ratio, 1. Received: 2 x 2", half)

    def test_a_ratio_that_is_no_power_of_two(self):
        for ratio in (3, 0, -2, 2.0, None):
            message = f"Altered with a ratio that is a power of two. Received: {ratio}"
            self.assertRefused(message, altered(ratio=ratio))
            with self.assertRaisesRegex(ValueError, message):
                pa.chain([altered(ratio=ratio)], (6, 6), FLAT, FLAT)

    def test_sizes_that_there_are_not(self):
        self.assertRefused("Altered with num_values from 2 to 256.*: 257", altered(num_values=257))
        self.assertRefused("Altered with num_values from 2 .*: 1", altered(num_values=1))
        self.assertRefused("Altered with channels from 1 .*: 0", altered(channels=0))

    def test_one_that_raises(self):
        def call(self, images):
            raise RuntimeError("no such color")

        message = r"Altered to take uint8 images of \[4, 4, 3\].*RuntimeError: no such color"
        self.assertRefused(message, altered(__call__=call))

    def test_one_that_works_eagerly_alone(self):
        def call(self, images):
            return tf.constant(tf.convert_to_tensor(images).numpy()[..., :1] // 64)

        self.assertRefused("Altered .* also in a graph. .*numpy", altered(__call__=call))

    def test_one_that_takes_a_fixed_number_of_images(self):
        def call(self, images):
            return tf.concat([images[i : i + 1, ..., :1] for i in range(len(images))], 0) // 64

        self.assertRefused("Altered .* any number of them", altered(__call__=call))

    def test_one_whose_shape_no_graph_knows(self):
        def call(self, images):
            return tf.numpy_function(lambda x: x[..., :1] // 64, [images], tf.uint8)

        message = r"Altered to give images of a shape known in a graph, \[None, 4, 4, 1\]"
        self.assertRefused(message + ". Received: an unknown one", altered(__call__=call))

    def test_one_that_gives_no_images(self):
        message = r"Altered .*\[3, 4, 4, 1\]. Received: int32 \[2\]"
        self.assertRefused(message, altered(__call__=lambda self, x: [1, 2]))
        self.assertRefused("Altered to take", altered(__call__=lambda self, x: None))

    def test_masks_that_do_not_fit(self):
        for known, message in (
            (lambda self, mask: mask[:, :2], r"masks of shape \[2, 4, 4, 1\].*uint8 \[2, 2, 4, 1"),
            (lambda self, mask: tf.cast(mask, tf.float32), "uint8 masks .*float32"),
            (lambda self, mask: tf.zeros_like(mask), "masks of 0 where nothing is known, and of 1"),
            (lambda self, mask: tf.ones_like(mask), "masks of 0 where nothing is known, and of 1"),
            (lambda self, mask: 255 * mask, "masks of 0 where nothing is known, and of 1"),
            (lambda self, mask: None, "to take uint8 images"),
        ):
            self.assertRefused(f"Altered .*{message}", altered(known=known))

    def test_odd_sides(self):
        self.assertRefused("multiples of 2, .* Received: 4 x 5", altered(ratio=2), 2, (4, 5))

    def test_what_is_no_transform(self):
        message = "objects of class auxiliary.Transform. Received: <class"
        self.assertRefused(message, pa.auxiliary.Grayscale)
        with self.assertRaisesRegex(ValueError, message):
            pa.chain([pa.auxiliary.Grayscale], (4, 4), FLAT, FLAT)

    def test_an_embedding_that_does_not_fit_the_ratio(self):
        message = "factor 'image' to embed images of Altered, .*divided by 2. .* 1 times"
        self.assertRefused(message, altered(ratio=2))
        message = "factor 'image' to embed images of Fours, .*divided by 1. .* 2 times"
        self.assertRefused(message, Fours(), 2)

    def test_an_embedding_of_other_resolutions_than_the_network(self):
        two = {**FLAT, "topology": pa.networks.topology.pixelcnn_pp(1, 2)}
        with self.assertRaisesRegex(ValueError, r"at the 2 resolutions.*divided by \[1\]"):
            pa.chain([Fours()], (4, 4), [FLAT, two], FLAT)
        with self.assertRaisesRegex(ValueError, r"at the 1 resolutions.*divided by \[1, 2\]"):
            pa.chain([Fours()], (4, 4), FLAT, two)

    def test_factors_of_other_images_than_the_transform_gives(self):
        gray = helpers.shared_model().factors["grayscale"]
        with self.assertRaisesRegex(ValueError, "'image' .* 'grayscale' models, 16 num_values.*4"):
            pa.AuxiliaryModel([gray, factors_for(1)[1]], [Fours()], (4, 4))

    def test_a_first_factor_that_is_given_something(self):
        with self.assertRaisesRegex(ValueError, "unconditional.*'image', which has an embedding"):
            pa.AuxiliaryModel([factors_for(1)[1]], [], (4, 4))

    def test_image_sizes(self):
        for size in ((4,), (4, 0), (4, 4, 3), ("a", "b"), (4.0, 4.0)):
            with self.assertRaisesRegex(ValueError, r"image_size as \(H, W\)"):
                pa.AuxiliaryModel([factors_for(1)[0]], [], size)
        factor = helpers.tiny_model(topology=pa.networks.topology.pixelcnn_pp(1, 2)).factors
        with self.assertRaisesRegex(ValueError, "sides that are multiples of 2.*4 x 5"):
            pa.AuxiliaryModel([factor["grayscale"]], [], (4, 5))


class ArgumentsOfAChainTest(tf.test.TestCase):
    def assertRefused(self, message, transforms=None, network=FLAT, embedding=FLAT, **kwargs):
        transforms = [Fours()] if transforms is None else transforms
        with self.assertRaisesRegex(ValueError, message):
            pa.chain(transforms, (4, 4), network, embedding, **kwargs)

    def test_lists_of_another_length(self):
        self.assertRefused("network as a dict, or a list of 2.*Received: 1", network=[FLAT])
        self.assertRefused("embedding as a dict, or a list of 2.*: 3", embedding=[FLAT] * 3)

    def test_no_embedding_where_one_is_needed(self):
        for embedding in (None, [FLAT, None]):
            self.assertRefused("embedding for the factor 'image'", embedding=embedding)

    def test_names(self):
        for names in (["image"], ["a", "b", "b"], []):
            self.assertRefused("Expected 2 names of factors", names=names)
        self.assertRefused(r"a name of its own. Received: \['a', 'a'\]", names=["a", "a"])
        twice = [pa.auxiliary.HalfResolution()] * 2
        self.assertRefused("'half_resolution', 'half_resolution', 'image'", twice)
        self.assertRefused("'image', 'image'", [altered(name="image")])
        for name in ("total", "..", ".", "a/b", "", 3):
            self.assertRefused("names of letters, digits", names=[name, "image"])

    def test_likelihoods_that_do_not_fit(self):
        eight = altered(likelihood=lambda self: pa.likelihoods.Categorical(8))
        message = "Altered.likelihood.* 1 channels of 4 values, .*1 channels of 8 values"
        self.assertRefused(message, [eight])
        rgb = altered(likelihood=lambda self: pa.likelihoods.LogisticMixture())
        self.assertRefused("Received: LogisticMixture of 3 channels of 256 values", [rgb])
        self.assertRefused("Received: int", [altered(likelihood=lambda self: 3)])


class DerivedLikelihoodsTest(tf.test.TestCase):
    def assertLikelihoods(self, expected, transforms, embedding):
        model = pa.chain(
            transforms,
            (8, 8),
            FLAT,
            embedding,
            names=[f"x{i}" for i in range(len(transforms) + 1)],
            num_components=2,
        )
        likelihoods = [factor.likelihood for factor in reversed(model.factors.values())]
        given = [factor.auxiliary_likelihood for factor in reversed(model.factors.values())]
        mixture = pa.likelihoods.LogisticMixture(2)
        for found in (likelihoods, [likelihoods[0], *given[:-1]]):
            for one, other in zip(found, [mixture, *expected], strict=True):
                self.assertIs(type(one), type(other))
                self.assertEqual(one.get_config(), other.get_config())

    def test_of_colors_and_grays(self):
        half, gray = pa.auxiliary.HalfResolution(), pa.auxiliary.Grayscale()
        mixture, grays = pa.likelihoods.LogisticMixture(2), pa.likelihoods.Categorical(16)
        self.assertLikelihoods(
            [mixture, grays, grays], [half, gray, half], [None, ups(1), FLAT, ups(1)]
        )

    def test_of_small_colors(self):
        colors = pa.likelihoods.Categorical(8, 3)
        transforms = [Posterized(), pa.auxiliary.HalfResolution()]
        self.assertLikelihoods([colors, colors], transforms, [None, ups(1), FLAT])

    def test_one_that_a_transform_names(self):
        five = pa.likelihoods.LogisticMixture(5)
        half = altered(pa.auxiliary.HalfResolution, likelihood=lambda self: five)
        transforms = [half, custom.Bright()]
        self.assertLikelihoods([five, custom.Coin()], transforms, [None, FLAT, ups(1)])


class OwnTransformsTest(tf.test.TestCase):
    """Whatever the transform, a chain is a distribution, and can be drawn from and completed."""

    def check_draws(self, model, size):
        images = helpers.pictures(2, size=size)
        self.assertAllEqual(np.isfinite(model.log_prob(images)), [True, True])
        seeds = [[0, 1], [0, 2]]
        drawn = model.sample(seeds)
        for name, full in model.sample(seeds, method="full").items():
            self.assertAllEqual(drawn[name], full, name)
        mask = np.zeros([2, *size, 1], np.uint8)
        mask[:, : size[0] // 2] = 1
        completed = model.sample(seeds, known=images, mask=mask)
        expected = model.auxiliaries(images)
        for name, x in completed.items():
            rows = x.shape[1] // 2
            self.assertAllEqual(x[:, :rows], expected[name][:, :rows], name)
            self.assertLess(np.max(x), model.factors[name].likelihood.num_values)
        self.assertNotAllEqual(completed["image"][:, size[0] // 2 :], images[:, size[0] // 2 :])
        self.assertEqual(drawn["image"].shape, [2, *size, 3])

    def build(self, transforms, size, embedding=FLAT):
        model = pa.chain(transforms, size, FLAT, embedding, num_components=1, dtype="float64")
        for seed, factor in enumerate(model.factors.values()):
            helpers.randomize(factor, seed)
        return model

    def all_images(self, likelihood, height, width):
        """uint8 [N, H, W, C], every image there is."""
        shape = (height, width, likelihood.num_channels)
        choices = np.indices([likelihood.num_values] * math.prod(shape))
        return choices.reshape(math.prod(shape), -1).T.reshape(-1, *shape).astype(np.uint8)

    def assertSumsToOne(self, factor, size, *auxiliary):
        images = self.all_images(factor.likelihood, *size)
        auxiliary = [np.repeat(x, len(images), axis=0) for x in auxiliary]
        nats = factor.log_prob(images, *auxiliary)
        self.assertAllClose(np.sum(np.exp(nats)), 1.0, rtol=1e-9)
        self.assertGreater(np.std(nats), 0.1)  # not all alike

    def test_a_quarter_of_the_sides(self):
        model = self.build([Quarter()], (8, 4), ups(2))
        self.assertEqual(model.sizes(), {"quarter": (2, 1), "image": (8, 4)})
        self.check_draws(model, (8, 4))

    def test_a_palette(self):
        model = self.build([Palette()], (2, 3))
        self.check_draws(model, (2, 3))
        self.assertSumsToOne(model.factors["palette"], (2, 2))

    def test_bit_planes(self):
        model = self.build([BitPlanes()], (2, 2))
        self.check_draws(model, (2, 2))
        self.assertSumsToOne(model.factors["bit_planes"], (1, 1))

    def test_a_likelihood_of_its_own_and_half_of_it(self):
        transforms = [custom.Bright(), pa.auxiliary.HalfResolution()]
        model = self.build(transforms, (4, 2), [None, ups(1), FLAT])
        self.assertLess(np.max(model.sample([[0, 1]])["half_resolution"]), 2)
        for coarse in self.all_images(model.factors["half_resolution"].likelihood, 2, 1):
            self.assertSumsToOne(model.factors["bright"], (4, 2), coarse[np.newaxis])


class LoadTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "run"

    def make_run(self, *trained):
        helpers.make_run(self.folder, helpers.shared_model(), trained)

    def assertRefused(self, *fragments):
        """`load` says what is wrong, naming all of these, and changes nothing."""
        before = helpers.contents(self.folder)
        with self.assertRaises(ValueError) as caught:
            pa.load(self.folder)
        for fragment in fragments:
            self.assertIn(str(fragment), str(caught.exception))
        self.assertEqual(helpers.contents(self.folder), before)

    def test_weights_come_back(self):
        self.make_run("grayscale", "image")
        model = pa.load(self.folder)
        self.assertEqual(model.untrained, ())
        self.assertEqual(model.description(), helpers.shared_model().description())
        self.assertAllEqual(model.log_prob(IMAGES), helpers.shared_model().log_prob(IMAGES))

    def test_float64_throughout(self):
        self.make_run("grayscale", "image")
        model = pa.load(self.folder, dtype="float64")
        self.assertEqual(model.log_prob(IMAGES).dtype, tf.float64)
        self.assertEqual(model.bits_per_dim(IMAGES)["total"].dtype, tf.float64)
        single = helpers.shared_model().log_prob(IMAGES)
        self.assertAllClose(model.log_prob(IMAGES), single, rtol=1e-5)

    def test_a_factor_not_trained_yet_is_named_by_what_needs_it(self):
        self.make_run("image")
        model = pa.load(self.folder)
        self.assertEqual(model.untrained, ("grayscale",))
        for needs_all in (model.log_prob, model.bits_per_dim):
            with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet.*--factor gray"):
                needs_all(IMAGES)
        seeds = np.zeros([3, 2], np.int32)
        with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet"):
            model.sample(seeds)
        # What does not need it works.
        self.assertAllEqual(
            model.sample(seeds, given={"grayscale": GRAYS})["image"],
            helpers.shared_model().sample(seeds, given={"grayscale": GRAYS})["image"],
        )

    def test_given_grays_still_need_the_image_factor(self):
        self.make_run("grayscale")
        model = pa.load(self.folder)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet.*--factor image"):
            model.sample(np.zeros([3, 2], np.int32), given={"grayscale": GRAYS})

    def test_a_truncated_weights_file(self):
        self.make_run("grayscale")
        file = workdir.weights_file(self.folder, "grayscale")
        whole = file.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 100, 0):
            file.write_bytes(whole[:size])
            self.assertRefused(file, "'grayscale'", "damaged")

    def test_the_weights_of_another_network(self):
        self.make_run("grayscale", "image")
        file = workdir.weights_file(self.folder, "image")
        shutil.copy(workdir.weights_file(self.folder, "grayscale"), file)
        self.assertRefused(file, "'image'", "another network")

    def test_the_weights_of_a_deeper_network(self):
        """All that the shallower one asks for is in its file, and more."""
        self.make_run()
        deeper = helpers.tiny_model(blocks=2).factors["grayscale"]
        workdir.save_weights(self.folder, "grayscale", deeper)
        file = workdir.weights_file(self.folder, "grayscale")
        self.assertRefused(file, "'grayscale'", "another network")

    def test_descriptions_that_are_no_model(self):
        self.make_run()
        file = self.folder / "config.json"
        config = json.loads(file.read_text())
        whole = config["model"]
        gray, image = whole["config"]["factors"]

        def with_factor(**changes):
            factor = {**gray, "config": {**gray["config"], **changes}}
            return {**whole, "config": {**whole["config"], "factors": [factor, image]}}

        for model in (
            3,
            {},
            {**whole, "config": {}},
            {**whole, "config": {**whole["config"], "factors": []}},
            {**whole, "config": {**whole["config"], "transforms": []}},
            {**whole, "config": {**whole["config"], "transforms": [gray]}},
            {**whole, "config": {**whole["config"], "image_size": [4]}},
            gray,
            with_factor(likelihood=None),
            with_factor(network=gray["config"]["likelihood"]),
            with_factor(filters=3),
        ):
            file.write_text(json.dumps({**config, "model": model}))
            self.assertRefused(self.folder, "description of a model")

    def test_no_workdir(self):
        with self.assertRaisesRegex(FileNotFoundError, "config.json.*run"):
            pa.load(self.folder)
        self.assertFalse(self.folder.exists())


if __name__ == "__main__":
    tf.test.main()
