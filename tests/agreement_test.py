"""One matrix of models and ways: whatever way a draw, parameters or a likelihood are computed, they agree.

Models are in float64 with random weights, so that what is equal but for rounding gives equal pixels.
"""

import functools
import itertools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import likelihoods, sampling
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution, HighBits
from pixelcnn_aux.base import arguments
from pixelcnn_aux.scanning.requests import METHODS, DrawRequest
from tests import custom, helpers

BOUND = {"exact": False, "centered": False}
FLAT = {"topology": pa.networks.topology.flat(1), "filters": 4}
HALVED = {"topology": pa.networks.topology.pixelcnn_pp(1, 2), "filters": 4}
TO_HALVED = {"topology": pa.networks.topology.super_resolution(1, 1, 2), "filters": 4}
TWO = {"topology": pa.networks.topology.flat(2), "filters": 4}
TALL = {"vertical_kernel": (3, 5), "horizontal_kernel": (3, 3)}
LOW = {"vertical_kernel": (1, 3), "horizontal_kernel": (1, 2)}  # which see no rows above
# Transforms from the full image down, the size of the image, and arguments.
CHAINS = {
    "bound": ([Grayscale()], (4, 6), BOUND),
    "colors": ([Grayscale(2)], (4, 6), {}),
    "halves": ([HalfResolution()], (4, 6), {}),
    "centered": ([HalfResolution()], (4, 6), {"exact": False}),
    "resolutions": (
        [HalfResolution()],
        (4, 8),
        {"network": HALVED, "embedding": [None, TO_HALVED]},
    ),
    "deep_chain": ([HalfResolution(), Grayscale(8), HalfResolution()], (8, 4), {}),
    "scans": ([HighBits(9, of=10), HalfResolution()], (4, 4), {"channels": 1, "bits": 10}),
    "halved_scans": ([HalfResolution(), HighBits(4, of=10)], (4, 4), {"channels": 2, "bits": 10}),
    "low": ([Grayscale()], (4, 6), {"network": {**FLAT, **LOW}, "embedding": [None, FLAT]}),
    "classes": ([Grayscale()], (4, 6), {"condition": pa.conditions.Classes(3)}),
    "vectors": ([Grayscale(2)], (4, 6), {"condition": pa.conditions.Vector(2)}),
    # Several rows at once, and wider than the steps that are kept.
    "waves": ([HalfResolution()], (6, 24), {"network": TWO}),
    "tall_kernels": (
        [Grayscale()],
        (8, 6),
        {"network": {**FLAT, **TALL}, "embedding": [None, FLAT]},
    ),
}
SEEDS = np.random.default_rng(0).integers(-(2**31), 2**31, (3, 2)).astype(np.int32)


@functools.cache
def build(name):
    if name == "parallel":
        return helpers.tiny_parallel((5, 6), parts=(2, 1, 3, 1), dtype="float64")
    if name == "masked":
        return helpers.tiny_parallel((7, 23), masked=1, dtype="float64")
    transforms, size, how = CHAINS[name]
    return helpers.random_chain(transforms, size, **how)


def labels(name):
    values = {"classes": [0, -1, 2], "vectors": [[0.5, -1], [0, 0], [-2, 1]]}
    kind = build(name).condition
    return {} if kind is None else {"condition": np.array(values[name], kind.dtype)}


def draw(name, rows=slice(None), **how):
    """dict, factor -> array, of `SEEDS` and labels of these rows."""
    how = {key: x[rows] for key, x in labels(name).items()} | how
    return {k: np.array(x) for k, x in build(name).sample(SEEDS[rows], **how).items()}


@functools.cache
def drawn(name):
    return draw(name)


def random_images(name):
    """Images with many of the smallest and the largest values, which leave least room for others."""
    model, random = build(name), np.random.default_rng(0)
    kind = model.likelihood
    shape = (len(SEEDS), *model.image_size)
    images = random.integers(0, kind.num_values, (*shape, kind.num_channels))
    ends = random.choice([0, kind.num_values - 1], (len(SEEDS), 1, 1, 1))
    images = np.where(random.random((*shape, 1)) < 0.5, ends, images)
    return images.astype(arguments.pixel_dtype(kind.num_values))


def random_masks(name):
    """From next to nothing known to next to all."""
    random = np.random.default_rng(1)
    shares = np.linspace(0.05, 0.95, len(SEEDS)).reshape(-1, 1, 1, 1)
    shape = (len(SEEDS), *build(name).image_size, 1)
    return (random.random(shape) < shares).astype(np.uint8)


def redrawn(name, images):
    """The draw of each pixel given those before it, by networks that see whole images."""
    return helpers.redrawn(build(name), images, SEEDS, **labels(name))


def in_batches_of_two(name, **how):
    """A batch of two, and one of one: of images, shifts, auxiliary images, and labels."""
    most = 2 * np.prod(build(name).image_size)
    with mock.patch("pixelcnn_aux.batches.MAX_PIXELS", most):
        return draw(name, **how)


def given_the_first(name):
    first, *_ = drawn(name)
    return draw(name, given={first: drawn(name)[first]})


def one_by_one(name):
    rows = [draw(name, slice(b, b + 1)) for b in range(len(SEEDS))]
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def by_the_method_full(name, **how):
    """Eagerly: once, which takes less time than to trace a graph."""
    with helpers.eagerly():
        return draw(name, method="full", **how)


def in_a_graph(name, known=None, mask=None):
    """As exported samplers draw."""
    model = build(name)

    @functools.partial(tf.function, autograph=False)
    def graph(seeds, shifts, condition, *kept):
        kept = sampling.kept_pixels(model, *kept, len(SEEDS)) if kept else None
        return sampling.draw(model, DrawRequest(seeds, shifts, condition), kept=kept)

    kept = () if known is None else map(tf.constant, (known, mask))
    condition = labels(name).get("condition")
    found = graph(tf.constant(SEEDS), tf.zeros(len(SEEDS)), condition, *kept)
    return {key: x.numpy() for key, x in found.items()}


WAYS = {
    "graph": in_a_graph,
    "full": by_the_method_full,
    "xla": lambda name: draw(name, jit_compile=True),
    "in_batches": in_batches_of_two,
    "one_by_one": one_by_one,
    "given_the_first": given_the_first,
    "by_whole_networks": lambda name: redrawn(name, drawn(name)),
}
NAMES = [*CHAINS, "parallel", "masked"]
# Graphs take long to trace: of these, completions; of bounds and classes, the tests of exports.
GRAPHS = ("halves", "parallel")
PAIRS = [
    *itertools.product(NAMES, ["by_whole_networks"]),
    *itertools.product(("bound", "scans"), ["full"]),
    *(("masked", way) for way in ("graph", "xla")),
    *itertools.product(
        ("bound", "classes", "parallel"), ("in_batches", "one_by_one", "given_the_first")
    ),
]


class AgreementTest(helpers.ImagesTestCase):
    def assertExact(self, name, images):
        if build(name).exact:
            self.assertAgree(build(name), images)

    @parameterized.parameters(*GRAPHS)
    def test_a_shift_for_each_pixel(self, name):
        model, shifts = build(name), np.linspace(-1, 0, len(SEEDS), dtype=np.float32)

        def draw(shifts, by_pixel):
            request = DrawRequest(SEEDS, shifts, size=model.image_size)
            kept = {[*model.factors][-1]: {"log_scale_shift": by_pixel}}
            return sampling.draw(model, request, kept=kept)

        shape, alike = (len(SEEDS), *model.image_size), draw(shifts, shifts)
        same = np.broadcast_to(shifts[:, None, None], shape)
        self.assertSameImages(draw(shifts, same), alike)
        different = np.random.default_rng(0).uniform(-3, 1, shape).astype(np.float32)
        expected = draw(shifts, different)
        self.assertNotAllEqual([*expected.values()][-1], [*alike.values()][-1])
        if name == "halves":
            by_graph = tf.function(draw, autograph=False)
            self.assertSameImages(by_graph(tf.constant(shifts), tf.constant(different)), expected)

    @parameterized.parameters(*PAIRS)
    def test_draws(self, name, way):
        expected = drawn(name)
        self.assertExact(name, expected)
        for key, factor in build(name).factors.items():
            dtype = arguments.pixel_dtype(factor.likelihood.num_values)
            self.assertEqual(expected[key].dtype, dtype)
            self.assertGreater(
                len(np.unique(expected[key])), 3
            )  # not of the ends of the range alone
        self.assertSameImages(WAYS[way](name), expected)

    @parameterized.parameters(*NAMES)
    def test_completions(self, name):
        known, mask, model = random_images(name), random_masks(name), build(name)
        for mode in likelihoods.MODES[::-1]:
            images = draw(name, known=known, mask=mask, mode=mode)
            *_, full = images.values()
            self.assertAllEqual(np.where(mask, known, full), full)
            self.assertNotAllEqual(full, known)
            self.assertExact(name, images)
        first, *_ = images
        ways = [(draw, {"given": {first: images[first]}}), (in_batches_of_two, {})]
        if name == "halves":  # XLA compiles the last factor alone
            ways.append((draw, {"given": {first: images[first]}, "jit_compile": True}))
        ways += [(by_the_method_full, {})] * (name == "halves")
        ways += [(in_a_graph, {})] * (name in GRAPHS)
        for ask, how in ways:
            self.assertSameImages(ask(name, known=known, mask=mask, **how), images)
        if not model.exact and not model.centered:
            chain = model.auxiliaries(known)
            for key, pixels in redrawn(name, images).items():
                self.assertAllEqual(np.where(mask, chain[key], pixels), images[key])

    @parameterized.parameters(*GRAPHS, "classes", "masked")
    def test_parameters(self, name):
        """Pixel by pixel, or group by group, given the pixels instead of drawing them."""
        images = random_images(name)
        for key, inputs in build(name).inputs(images, **labels(name)).items():
            factor = build(name).factors[key]
            full = factor.keras_model()(inputs, training=False)  # the others in NumPy
            for method in METHODS:
                found = factor.params(inputs, method=method)
                self.assertAllClose(found, full, rtol=1e-9, atol=1e-9)
            self.assertGreater(np.std(full, axis=(1, 2)).mean(), 0.1)

    @parameterized.parameters(*NAMES)
    def test_likelihoods(self, name):
        """The chain's, its factors' and their pixels'; in batches, and as a bound."""
        model, images, of = build(name), random_images(name), labels(name).values()
        nats, inputs = model.log_probs(images, *of), model.inputs(images, *of)
        bound, exact = model.bound_and_exact(images, *of)
        bits = model.bits_per_dim(images, *of)
        dims = np.log(2.0) * images[0].size  # also if a factor models fewer
        pixels = model.pixel_nats(images, *of)
        for key, factor in model.factors.items():
            self.assertEqual(nats[key].dtype, tf.float64)
            by_pixel = factor.pixel_log_prob(inputs[key])
            bounds = factor.fixed_sum and factor.fixed_sum.bounds(*inputs[key][:2])
            expected = factor.likelihood.log_prob(
                factor.params(inputs[key]), inputs[key].images, bounds
            )
            self.assertAllClose(by_pixel, expected, rtol=1e-12)
            self.assertAllEqual(pixels[key].log_prob, by_pixel)
            for found in (factor.log_prob(inputs[key]), np.sum(by_pixel, axis=(1, 2))):
                self.assertAllClose(found, nats[key], rtol=1e-12)
            self.assertAllClose(bits[key], -nats[key] / dims, rtol=1e-12)
        self.assertAllClose(model.log_prob(images, *of), sum(nats.values()), rtol=1e-12)
        with mock.patch("pixelcnn_aux.batches.GRAPH_BREAK_EVEN", 0), helpers.eagerly():
            self.assertAllClose(model.log_probs(images, *of), nats, rtol=1e-9)  # by Keras
        self.assertAllClose(bits["total"], sum(bits[key] for key in nats), rtol=1e-12)
        self.assertAllClose(exact, bits, rtol=1e-12)
        self.assertAllClose(model.with_exact(False).bits_per_dim(images, *of), bound, rtol=1e-12)
        *_, factor = model.factors.values()
        own, params = inputs[factor.name], factor.params(inputs[factor.name])
        with mock.patch("pixelcnn_aux.batches.MAX_PIXELS", 2 * images[0, ..., 0].size):
            self.assertAllClose(model.bits_per_dim(images, *of), bits, rtol=1e-12)
            self.assertAllClose(factor.params(own), params, rtol=1e-12)
            self.assertAllClose(factor.pixel_log_prob(own), by_pixel, rtol=1e-12)

    @parameterized.named_parameters(
        ("one_gray_factor", [], (1, 2), {"channels": 1, "bits": 4}),
        ("ten_bits", [], (1, 1), {"channels": 1, "bits": 10}),
        ("half_resolution", [HalfResolution()], (2, 2), {"channels": 1, "bits": 3}),
        ("half_resolution_of_two_channels", [HalfResolution()], (2, 2), {"channels": 2, "bits": 1}),
        ("high_bits_of_two_channels", [HighBits(1, of=3)], (1, 2), {"channels": 2, "bits": 3}),
        ("high_bits_of_a_half", [HalfResolution(), HighBits(1, of=2)], (2, 2), {"bits": 2}),
        ("half_of_high_bits", [HighBits(1, of=2), HalfResolution()], (2, 2), {"bits": 2}),
        ("half_of_two_blocks", [HalfResolution()], (4, 2), {"bits": 1}),
        ("gray", [custom.SmallGray()], (2, 1), {"channels": 3, "bits": 1}),
        (
            "half_of_gray",
            [custom.SmallGray(), HalfResolution()],
            (2, 2),
            {"channels": 3, "bits": 1},
        ),
    )
    def test_probabilities_of_all_images_sum_to_one(self, transforms, size, how):
        how = {"channels": 1, **how}
        images = helpers.all_images(2 ** how["bits"], *size, how["channels"])
        for centered in (False, True):
            model = helpers.random_chain(transforms, size, centered=centered, **how)
            self.assertTrue(model.exact)
            probs = np.exp(model.log_prob(images))
            self.assertAllClose(probs.sum(), 1.0, rtol=0, atol=1e-6)
            self.assertGreater(np.std(np.log(probs)), 0.01)
            bound = np.exp(model.with_exact(False).log_prob(images))
            self.assertAllLessEqual(bound - probs, 1e-12)
            self.assertTrue(bound.sum() < 0.95 or not transforms)
