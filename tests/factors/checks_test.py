"""Tests of chains of one's own transforms: what they are checked for, and that they work."""

import functools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from tests import custom, helpers

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


class BitPlanes(pa.auxiliary.Transform):
    """The eight bits of the green of each pixel: eight channels of two values."""

    channels = 8
    num_values = 2

    def __call__(self, images):
        bits = tf.constant([[128, 64, 32, 16, 8, 4, 2, 1]])
        return tf.cast(tf.cast(images, tf.int32)[..., 1:2] // bits % 2, tf.uint8)


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
    model = pa.chain(
        [altered(ratio=ratio)], (4, 4), FLAT, embedding=ups(ratio // 2), num_components=1
    )
    return list(model.factors.values())


def raising(self, images):
    raise RuntimeError("no such color.")


MASKS = "Altered .*masks of 0 if no pixel is known, and of 1"


class TransformsOfAChainTest(helpers.TestCase):
    """Errors name a transform when the chain is built, not in the middle of training."""

    def assertRefused(self, message, transform, ratio=1, size=(4, 4)):
        with self.assertRaisesRegex(ValueError, message):
            pa.AuxiliaryModel(factors_for(ratio), [transform], size)

    @parameterized.parameters(
        (lambda self, x: tf.cast(x[..., :1], tf.int32), r"to give uint8 images .*: int32"),
        (lambda self, x: x // 64, r"\[3, 4, 4, 1\]. Received: uint8 \[3, 4, 4, 3\]"),
        (lambda self, x: x[..., :1] // 51, "Altered to give values below 4. Received: 5"),
        (lambda self, x: x[:, ::2, ::2, :1] // 64, r"Received: uint8 \[3, 2, 2, 1\]"),
        (lambda self, x: [1, 2], r"Altered .*\[3, 4, 4, 1\]. Received: int64 \[2\]"),
        (raising, r"Altered to take .* of \[4, 4, 3\].*RuntimeError: no such color\. Write it"),
        (lambda self, x: np.asarray(x)[..., :1] // 64, "also in a graph. .*(numpy|NumPy)"),
        (
            lambda self, x: tf.concat([x[i : i + 1, ..., :1] for i in range(len(x))], 0) // 64,
            "Altered .* any number of them",
        ),
        (
            lambda self, x: tf.numpy_function(lambda y: y[..., :1] // 64, [x], tf.uint8),
            r"Altered to give .* known in a graph, \[None, 4, 4, 1\]. Received: an unknown one",
        ),
    )
    def test_what_it_gives(self, call, message):
        self.assertRefused(message, altered(__call__=call))

    def test_another_ratio_than_declared(self):
        half = altered(ratio=2, __call__=lambda self, x: x[..., :1] // 64)
        self.assertRefused(r"Altered .*\[3, 2, 2, 1\]. Received: uint8 \[3, 4, 4, 1\]", half, 2)
        # Both agree with each other, and not with what is declared.
        half = altered(
            size=lambda self, size: (2, 2), __call__=lambda self, x: x[:, ::2, ::2, :1] // 64
        )
        self.assertRefused("give a height and width .*its ratio, 1. Received: 2 x 2", half)

    def test_what_it_declares(self):
        power = "a ratio that is a power of two, .*Received: "
        for declared, message in (
            *(({"ratio": ratio}, f"{power}{ratio}") for ratio in (3, 0, -2, 2.0, None)),
            ({"num_values": 2**16 + 1}, "num_values from 2 to 65,536.*: 65537"),
            ({"num_values": 1}, "num_values from 2 .*: 1"),
            ({"channels": 0}, "channels from 1 .*: 0"),
        ):
            self.assertRefused(f"Altered with {message}", altered(**declared))
        with self.assertRaisesRegex(ValueError, power):
            pa.chain([altered(ratio=3)], (6, 6), FLAT, embedding=FLAT)
        summed = altered(fixed_sum=lambda self, num_values: {"step": 4})
        with self.assertRaisesRegex(ValueError, "Altered.fixed_sum of class FixedSum, or None"):
            pa.chain([summed], (4, 4), FLAT, embedding=FLAT, exact=True)
        message = "objects of class auxiliary.Transform. Received: <class"
        with self.assertRaisesRegex(ValueError, message):
            pa.chain([pa.auxiliary.Grayscale], (4, 4), FLAT, embedding=FLAT)

    @parameterized.parameters(
        (lambda self, mask: mask[:, :2], r"masks of shape \[2, 4, 4, 1\].*uint8 \[2, 2, 4, 1"),
        (lambda self, mask: tf.cast(mask, tf.float32), "uint8 masks .*float32"),
        (lambda self, mask: tf.ones_like(mask), MASKS),
        (lambda self, mask: 255 * mask, MASKS),
        (lambda self, mask: np.copy(mask), "to take uint8 images .*also in a graph. .*NumPy"),
    )
    def test_masks_that_do_not_fit(self, known, message):
        self.assertRefused(message, altered(known=known))

    def test_one_that_looks_beyond_its_blocks(self):
        """Completions would depend on masked pixels unless it defines `known`."""

        def call(self, images):
            right = tf.roll(images, -self.ratio, axis=2)  # of the next block
            return Fours.__call__(self, images // 2 + right // 2)

        def known(self, mask):
            mask = pa.auxiliary.Transform.known(self, mask)
            return mask * tf.roll(mask, -1, axis=2)

        for ratio in (1, 2):
            beyond = {"ratio": ratio, "__call__": call}
            message = f"Altered.known .* only .*Define `known`, as docs/extending.md .* {ratio} x {ratio} pix"
            self.assertRefused(message, altered(**beyond), ratio, (8, 8))
            pa.AuxiliaryModel(factors_for(ratio), [altered(**beyond, known=known)], (8, 8))

    def test_one_that_takes_blocks_for_known_that_are_known_in_part(self):
        def known(self, mask):
            return pa.auxiliary.Transform.known(self, mask) | mask[:, 1::2, 1::2]

        message = "known to give 1 only if all pixels"
        self.assertRefused(message, altered(ratio=2, known=known), 2, (8, 8))

    def test_an_embedding_that_does_not_fit(self):
        self.assertRefused("'image' to embed images of Altered, .* over 2. Rec", altered(ratio=2))
        self.assertRefused("'image' to embed images of Fours, .* over 1. Received: 2", Fours(), 2)
        two = {**FLAT, "topology": pa.networks.topology.pixelcnn_pp(1, 2)}
        halves = pa.auxiliary.HalfResolution()
        for transform, networks, embedding, message in (
            (halves, FLAT, FLAT, "'image' to make an image of 2 times .* at 1 times"),
            (Fours(), [FLAT, two], FLAT, "at its network's 2 resolutions.*at 1"),
            (Fours(), FLAT, two, "at its network's 1 resolutions.*at 2"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pa.chain([transform], (4, 4), networks, embedding=embedding)
        embeddings = [None, {**ups(1), "differences": True}, FLAT]
        with self.assertRaisesRegex(ValueError, "LogisticMixture, whose .* Received: Categorical"):
            pa.chain([pa.auxiliary.Grayscale(), halves], (4, 4), FLAT, embedding=embeddings)

    def test_factors_of_other_images_than_the_transform_gives(self):
        gray, image = helpers.shared_model().factors.values()
        _, embedding = factors_for(1)
        for factors, transform, message in (
            ([gray, embedding], [Fours()], "'grayscale' models, 1 channels of 16 .* of 4"),
            # All of them are values that the factor models, which is of more.
            ([gray, image], [pa.auxiliary.Grayscale(2)], "Grayscale gives, 1 .* of 4 .* 16 val"),
            ([embedding], [], "unconditional.*'image', which has an embedding"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pa.AuxiliaryModel(factors, transform, helpers.SIZE)

    def test_image_sizes(self):
        for size in ((4,), (4, 0), (4.0, 4.0)):
            with self.assertRaisesRegex(ValueError, r"image_size as \(H, W\)"):
                pa.AuxiliaryModel([factors_for(1)[0]], [], size)
        factor = helpers.tiny_model(topology=pa.networks.topology.pixelcnn_pp(1, 2)).factors
        with self.assertRaisesRegex(ValueError, "multiples of 2.*4 x 5"):
            pa.AuxiliaryModel([factor["grayscale"]], [], (4, 5))
        self.assertRefused("multiples of 2, .* Received: 4 x 5", altered(ratio=2), 2, (4, 5))


class ArgumentsOfAChainTest(helpers.TestCase):
    def assertRefused(self, message, transforms=None, network=FLAT, embedding=FLAT, **kwargs):
        transforms = [Fours()] if transforms is None else transforms
        with self.assertRaisesRegex(ValueError, message):
            pa.chain(transforms, (4, 4), network, embedding=embedding, **kwargs)

    def test_lists_of_another_length(self):
        for given, received in (
            ({"network": [FLAT]}, "Received: 1"),
            ({"network": [None, FLAT]}, "None"),
            ({"embedding": [FLAT] * 3}, ": 3"),
            ({"embedding": None}, ""),
        ):
            [name] = given
            self.assertRefused(f"{name} as a dict, or a list of 2.*{received}", **given)

    def test_names(self):
        self.assertRefused("Expected 2 names of factors", names=["image"])
        self.assertRefused(r"a name of its own. Received: \['a', 'a'\]", names=["a", "a"])
        twice = [pa.auxiliary.HalfResolution()] * 2
        self.assertRefused("'half_resolution', 'half_resolution', 'image'", twice)
        for name in ("total", "..", "a/b", "", 3, "_a", "größe", "a\n"):
            self.assertRefused("names of letters, digits", names=[name, "image"])

    def test_likelihoods_that_do_not_fit(self):
        coin = custom.Coin()
        coin.noise_size = None
        for base, likelihood, message in (
            (Fours, pa.likelihoods.Categorical(8), "1 channels of 4 values, .*of 8"),
            (Fours, pa.likelihoods.LogisticMixture(), "Mixture of 3 channels of 256 values"),
            (custom.Bright, coin, "Coin.noise_size from 1 .*None"),
        ):
            self.assertRefused(message, [altered(base, likelihood=lambda self, x=likelihood: x)])

    @parameterized.parameters(
        ("_draw", lambda x: x + 1, "from 0 to 3. Received: 4. Correct _draw"),
        ("_draw", lambda x: x / 2, "whole numbers from 0 to 3. Received: [01].5"),
        ("_draw", lambda x: tf.cast(x, tf.uint8), "0 to 3. Received: uint8. Correct _draw"),
        ("_bounded_draw", lambda x: 3 - x, "to 3, within bounds. .*Correct _bounded_draw"),
    )
    def test_likelihoods_that_draw_what_there_is_not(self, method, change, message):
        """In an image they would become other values."""
        base = pa.likelihoods.Categorical

        def draw(own, *args):
            return change(getattr(base, method)(own, *args))

        own = type("Own", (base,), {method: draw})(4)
        transform = altered(likelihood=lambda self: own)
        self.assertRefused(f"Expected Own to draw .*{message}", [transform])

    @parameterized.parameters(
        ("_log_prob", "sum to 1. "), ("_bounded_log_prob", "sum to 1, within")
    )
    def test_likelihoods_whose_probabilities_do_not_sum_to_one(self, method, message):
        base = pa.likelihoods.Categorical

        def log_prob(own, params, *args):
            return 0.9 * getattr(base, method)(own, params, *args)

        own = type("Own", (base,), {method: log_prob})(4)
        transform = altered(likelihood=lambda self: own)
        self.assertRefused(
            f"Own to have probabilities that {message}.*Correct {method}", [transform]
        )


class DerivedLikelihoodsTest(helpers.TestCase):
    def test_those_of_factors_and_of_what_they_are_given(self):
        half, gray = pa.auxiliary.HalfResolution(), pa.auxiliary.Grayscale()
        mixture, grays = pa.likelihoods.LogisticMixture, pa.likelihoods.Categorical(16)
        on_halves, on_grays, fine, five = (
            *(mixture(2, True, unit) for unit in (8.0, 16.0, 3.0)),
            mixture(5),
        )
        # One that a transform names keeps its unit, and its number of components.
        fines, fives = (altered(type(half), likelihood=lambda self, x=x: x) for x in (fine, five))
        for transforms, expected in (  # from the full image down
            ([half, gray, half], [on_halves, on_grays, grays, grays]),
            ([fines, gray], [on_halves, fine, grays]),
            ([fives, custom.Bright()], [on_halves, five, custom.Coin()]),
        ):
            names = [f"x{i}" for i in range(len(expected))]
            how = {
                "embedding": [None, *(FLAT if x.ratio == 1 else ups(1) for x in transforms[::-1])]
            }
            model = pa.chain(transforms, (8, 8), FLAT, names=names, num_components=2, **how)
            factors = [*reversed(model.factors.values())]
            given = [factor.auxiliary_likelihood for factor in factors[:-1]]
            for found in ([x.likelihood for x in factors], [factors[0].likelihood, *given]):
                for one, other in zip(found, expected, strict=True):
                    self.assertIs(type(one), type(other))
                    self.assertEqual(one.get_config(), other.get_config())


class OwnTransformsTest(helpers.TestCase):
    """With any transform a chain is a distribution that draws and completes."""

    def build(self, transforms, size, embedding=FLAT):
        """A model with random weights, whose draws and completions are checked."""
        model = helpers.randomized(
            pa.chain(transforms, size, FLAT, embedding=embedding, num_components=1, dtype="float64")
        )
        images, seeds = helpers.pictures(2, size=size), [[0, 1], [0, 2]]
        self.assertAllEqual(np.isfinite(model.log_prob(images)), [True, True])
        drawn = model.sample(seeds)
        with helpers.eagerly():
            for name, full in model.sample(seeds, method="full").items():
                self.assertAllEqual(drawn[name], full, name)
        mask = np.zeros([2, *size, 1], np.uint8)
        mask[:, : size[0] // 2] = 1
        completed = model.sample(seeds, known=images, mask=mask)
        for name, expected in model.auxiliaries(images).items():
            rows = expected.shape[1] // 2
            self.assertAllEqual(completed[name][:, :rows], expected[:, :rows], name)
            self.assertLess(np.max(completed[name]), model.factors[name].likelihood.num_values)
        self.assertNotAllEqual(completed["image"][:, size[0] // 2 :], images[:, size[0] // 2 :])
        return model

    def assertSumsToOne(self, factor, size, *auxiliary):
        likelihood = factor.likelihood
        images = helpers.all_images(likelihood.num_values, *size, likelihood.num_channels)
        auxiliary = [np.repeat(x, len(images), axis=0) for x in auxiliary]
        nats = factor.log_prob(images, *auxiliary)
        self.assertAllClose(np.sum(np.exp(nats)), 1.0, rtol=1e-9)
        self.assertGreater(np.std(nats), 0.1)  # not all alike

    def test_a_quarter_of_the_sides(self):
        model = self.build([Quarter()], (8, 4), ups(2))
        self.assertEqual(model.sizes(), {"quarter": (2, 1), "image": (8, 4)})

    def test_bit_planes(self):
        model = self.build([BitPlanes()], (2, 2))
        self.assertSumsToOne(model.factors["bit_planes"], (1, 1))

    def test_a_likelihood_of_its_own_and_half_of_it(self):
        transforms = [custom.Bright(), pa.auxiliary.HalfResolution()]
        model = self.build(transforms, (4, 2), [None, ups(1), FLAT])
        for coarse in helpers.all_images(2, 2, 1, 1):
            self.assertSumsToOne(model.factors["bright"], (4, 2), coarse[np.newaxis])
