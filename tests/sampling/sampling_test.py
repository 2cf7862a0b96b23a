"""Tests of draws: seeds, modes, shifts, noise, completions of exact models, and wrong arguments.

agreement_test checks that all methods of drawing give the same images.
"""

import functools
import gc
import weakref
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux import likelihoods, sampling
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.base import backend
from pixelcnn_aux.sampling import chains, philox
from pixelcnn_aux.sums import FixedSum
from tests import custom, helpers

SEEDS = np.array([[1, 2], [3, 4], [-5, 2**31 - 1]], np.int32)
KNOWN = helpers.pictures(3)
GRAYS = Grayscale()(KNOWN)
MASK = np.random.default_rng(0).integers(2, size=(3, *helpers.SIZE, 1)).astype(np.uint8)
EXACT = {
    "colors": ([Grayscale(2)], (4, 6)),
    "halves": ([HalfResolution()], (4, 6)),
    "deep_chain": ([HalfResolution(), Grayscale(8), HalfResolution()], (8, 4)),
}


def model():
    return helpers.shared_model("float64")


@functools.cache
def exact(name, **how):
    return helpers.random_chain(*EXACT[name], **how)


@functools.cache
def drawn(mode="sample", log_scale_shift=0.0):
    """The images drawn from `SEEDS`: dict, name -> array."""
    images = model().sample(SEEDS, log_scale_shift=log_scale_shift, mode=mode)
    return {name: np.array(x) for name, x in images.items()}


def noise_of(name, mode="sample"):
    factor, position = model().factors[name], model().position(name)
    return sampling.noise(factor, tf.constant(SEEDS), position, helpers.SIZE, mode=mode)


class SampleTest(helpers.ImagesTestCase):
    def test_an_image_of_each_factor_in_order(self):
        shapes = {name: image.shape for name, image in drawn().items()}
        expected = {"grayscale": (3, *helpers.SIZE, 1), "image": (3, *helpers.SIZE, 3)}
        self.assertEqual([*shapes.items()], [*expected.items()])
        self.assertSameImages(model().sample(SEEDS.tolist()), drawn())
        for name, images in model().sample(SEEDS + 1).items():
            self.assertNotAllEqual(drawn()[name], images)

    def test_number_of_seeds(self):
        seeds = [[0, 0], [0, 1], [0, 2], [0, 3]]
        self.assertSameImages(model().sample(4), model().sample(seeds))
        self.assertSameImages(model().sample(np.int64(1)), model().sample(seeds[:1]))
        self.assertEqual(model().sample(0)["image"].shape, (0, *helpers.SIZE, 3))
        for wrong in (-1, True, 1.5, 2**31):
            with self.assertRaisesRegex(ValueError, "seeds as int32.*for each, or how many"):
                model().sample(wrong)

    def test_images_are_drawn_as_often_as_they_are_likely(self):
        made = helpers.random_chain([custom.SmallGray()], (1, 2), channels=3, bits=1)
        helpers.with_last_lengths(made, 3.0)
        seeds = np.random.default_rng(0).integers(-(2**31), 2**31, (5_000, 2)).astype(np.int32)
        values = made.sample(seeds)["x1"].reshape(-1, 6)
        counts = np.bincount(values @ 2 ** np.arange(6)[::-1], minlength=64)
        joint = np.exp(made.log_prob(helpers.all_images(2, 1, 2, 3))).reshape(8, 8)
        self.assertGreater(helpers.chi_square_p_value(counts, joint), 1e-4)
        independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        self.assertLess(helpers.chi_square_p_value(counts, independent), 1e-9)

    def test_no_images(self):
        expected = {name: image[:0] for name, image in drawn().items()}
        for given in (None, {"grayscale": expected["grayscale"]}):
            images = model().sample(SEEDS[:0], given=given)
            self.assertSameImages(images, expected)
            self.assertEqual({image.dtype.name for image in images.values()}, {"uint8"})

    def test_map_takes_locations_of_the_same_components(self):
        images = drawn("map")
        self.assertAllEqual(
            images["grayscale"], drawn()["grayscale"]
        )  # a categorical is unaffected
        self.assertNotAllEqual(images["image"], drawn()["image"])
        factor = model().factors["image"]
        params = factor.params(images["image"], images["grayscale"])
        again = factor.likelihood.draw(params, noise_of("image", "map"))
        self.assertAllEqual(again, images["image"])

    def test_shifts(self):
        narrow, as_is, wide = (drawn(log_scale_shift=shift) for shift in (-3.0, 0.0, 3.0))
        self.assertAllEqual(wide["grayscale"], as_is["grayscale"])
        spread = [np.std(x["image"].astype(float)) for x in (narrow, as_is, wide)]
        self.assertEqual(spread, sorted({*spread}))
        images = model().sample(SEEDS, log_scale_shift=[-1.0, 0.0, 3.0])["image"]
        self.assertAllEqual(images[1], as_is["image"][1])
        self.assertAllEqual(images[2], wide["image"][2])

    def test_graphs_last_no_longer_than_the_factor(self):
        single = helpers.tiny_model()
        factor = single.factors["grayscale"]
        with mock.patch("pixelcnn_aux.batches.GRAPH_BREAK_EVEN", 0):  # by a graph
            factor.log_prob(GRAYS)
        reference = weakref.ref(factor)
        del single, factor
        gc.collect()
        self.assertIsNone(reference())

    def test_noise(self):
        noise = noise_of("image")
        self.assertEqual(noise.shape, (3, *helpers.SIZE, 2 + 3))  # components and channels
        self.assertEqual(noise.dtype, tf.float64)
        single = helpers.shared_model("float32").factors["image"]
        self.assertEqual(sampling.noise(single, SEEDS, 1, helpers.SIZE).dtype, tf.float32)
        # Images, pixels and factors share no numbers, nor do seeds with the same 32-bit hash.
        noise = np.concatenate([np.ravel(noise_of(name)) for name in model().factors])
        self.assertLen(set(noise), noise.size)
        factor, seeds = model().factors["grayscale"], tf.constant([[0, 45520], [0, 47586]])
        for position in range(2):
            noise = sampling.noise(factor, seeds, position, helpers.SIZE)
            self.assertLen(set(np.ravel(noise)), np.size(noise))
        in_graph = tf.function(
            lambda x: sampling.noise(factor, x, 1, helpers.SIZE), autograph=False
        )
        some = sampling.Noise(factor, seeds.numpy(), 1, helpers.SIZE)
        self.assertAllClose(in_graph(seeds), noise, rtol=1e-12)
        self.assertAllEqual(some[:, 1:3, 2:], noise[:, 1:3, 2:])
        with mock.patch.object(chains, "_CHUNK", 5):  # a row at a time
            again = sampling.Noise(factor, seeds.numpy(), 1, helpers.SIZE)
            self.assertAllEqual(again[:, :, :], noise)
            self.assertAllEqual(again[:, 1:3, 2:], noise[:, 1:3, 2:])
        # Seeds keep their meaning in all versions.
        noise = sampling.noise(factor, tf.constant([[0, 1]]), 2, (1, 2))
        uniforms = np.array([0.040145529201251806, 0.5612506988834305])
        self.assertAllClose(noise[0, 0, 0, :2], -np.log(-np.log(uniforms)), rtol=1e-12)

    @parameterized.product(
        dtype=("float32", "float64"), shape=((5, 1, 1), (3, 7, 1), (2, 5, 13), (4, 0, 3))
    )
    def test_uniforms_are_those_of_tensorflow(self, dtype, shape):
        seeds = np.array([*SEEDS, [0, 0], [-(2**31), -1], [2**31 - 1, 7]], np.int32)
        for stream in (0, 3, -1, 2**40 + 5):
            expected = backend.uniforms(tf.constant(seeds), stream, shape, dtype).numpy()
            found = philox.uniforms(seeds, stream, shape, dtype)
            self.assertEqual((found.dtype, found.shape), (expected.dtype, expected.shape))
            self.assertAllEqual(found, expected)
            for first in range(shape[0]):
                for stop in range(first, shape[0] + 1):
                    rows = philox.uniforms(seeds, stream, shape, dtype, slice(first, stop))
                    self.assertAllEqual(rows, expected[:, first:stop])
            where = slice(1, None), slice(shape[1] // 3, shape[1] - shape[1] // 4)
            part = philox.uniforms(seeds, stream, shape, dtype, *where)
            self.assertAllEqual(part, expected[:, *where])
        self.assertEqual(philox.uniforms(seeds[:0], 0, shape, dtype).shape, (0, *shape))

    @parameterized.parameters(*EXACT)
    def test_draws_of_exact_models_agree(self, name):
        """In every mode, and for any given image."""
        made, random = exact(name), np.random.default_rng(0)
        shifts, images = np.linspace(-1.0, 0.0, len(SEEDS)), {}
        for mode in likelihoods.MODES:
            images = made.sample(SEEDS, log_scale_shift=shifts, mode=mode)
            self.assertAgree(made, images)
        for key in [*images][:-1]:
            num_values = made.factors[key].likelihood.num_values
            given = random.integers(0, num_values, images[key].shape).astype(np.uint8)
            given[0], given[1] = 0, num_values - 1
            found = made.sample(SEEDS, given={key: given})
            self.assertAllEqual(found[key], given)
            names = [*found]
            self.assertAgree(made, {x: found[x] for x in names[names.index(key) :]})


class CompletionTest(helpers.ImagesTestCase):
    def test_all_known_and_nothing_known(self):
        found = model().sample(SEEDS, known=KNOWN, mask=np.ones_like(MASK))
        self.assertSameImages(found, model().auxiliaries(KNOWN))
        for made in (model(), exact("colors")):
            found = made.sample(SEEDS, known=KNOWN, mask=np.zeros_like(MASK))
            self.assertSameImages(found, made.sample(SEEDS))

    def test_centered_model_keeps_known_pixels_only(self):
        """Auxiliary images need not agree with known pixels if the model is not exact."""
        made, mask = exact("halves", exact=False), np.ones_like(MASK)
        mask[:, 1::2, 1::2] = 0  # one pixel of each block
        images = made.sample(SEEDS, known=KNOWN, mask=mask)
        self.assertAllEqual(images["x0"], made.sample(SEEDS)["x0"])
        self.assertAllEqual(np.where(mask, KNOWN, images["x1"]), images["x1"])

    def test_given_images_that_contradict_known_pixels(self):
        made, known, mask = exact("halves"), KNOWN.copy(), MASK.copy()
        mask[2, 2:4, :2] = [[[1], [1]], [[0], [1]]]
        known[2, 2:4, :2] = [[[9] * 3, [0, 20, 30]], [[9] * 3, [1, 2, 4]]]  # sums of 10, 31, 43
        images = made.sample(SEEDS, known=known, mask=mask)
        for value, refused in ((2, True), (3, False), (66, False), (67, True)):
            given = np.array(images["x0"])
            given[2, 1, 0, 0] = value
            how = {"given": {"x0": given}, "known": known, "mask": mask}
            if refused:
                message = rf"'x0'\] to agree .* image 2, row 1, column 0, 3 to 66. .*: {value}"
                with self.assertRaisesRegex(ValueError, message):
                    made.sample(SEEDS, **how)
            else:
                self.assertAgree(made, made.sample(SEEDS, **how))

    def test_sums_that_known_pixels_may_leave_out_of_reach(self):
        sparse = exact("halves", exact=False)
        before = sparse.factors["x1"].fixed_sum
        self.addCleanup(setattr, sparse.factors["x1"], "fixed_sum", before)
        sparse.factors["x1"].fixed_sum = FixedSum([[5, 1], [1, 1]], step=4)
        with self.assertRaisesRegex(ValueError, "sums of 'x1' with a step .*Received: step=4"):
            sparse.sample(SEEDS, known=KNOWN, mask=MASK)
        self.assertFalse(sampling.can_complete(sparse))


TOGETHER = "known images and a mask, or neither. Received: known={}, mask={}"
SIZED = " of 4 x 6, the size that the model draws. Received: {}."
EACH = " for each of 3 seeds. Received: {}."
GIVEN = r"given\['grayscale'\]"


class WrongArgumentsTest(helpers.TestCase):
    @parameterized.parameters(
        ({"seeds": SEEDS.astype(np.int64)}, r"seeds as int32.*Received: int64 \[3, 2\]"),
        ({"seeds": SEEDS[:, :1]}, r"seeds as int32.*Received: int32 \[3, 1\]"),
        ({"seeds": [[2**63, 0]]}, "seeds as .*int32"),
        ({"jit_compile": "yes"}, "jit_compile of True or False"),
        ({"given": [GRAYS]}, "given of class dict"),
        ({"mode": "argmax"}, "'sample', 'map'.*mode='argmax'"),
        ({"method": "fast"}, "method='fast'"),
        ({"log_scale_shift": [0.0, 0.0]}, r"one for each of 3 images. Received: \["),
        ({"log_scale_shift": float("nan")}, "log_scale_shift as a finite number.*nan"),
        ({"log_scale_shift": [0.0, float("nan"), 0.0]}, "log_scale_shift as a finite number.*nan"),
        ({"given": {}}, r"one auxiliary image of \['grayscale'\].*\[\]"),
        ({"given": {"image": KNOWN}}, r"Received: \['image'\]"),
        ({"given": {"grayscal": GRAYS}}, "'grayscal'.*Did you mean 'grayscale'. Give one of them"),
        ({"given": {"grayscale": GRAYS[:2]}}, GIVEN + EACH.format(2)),
        ({"given": {"grayscale": GRAYS[:, :, :5]}}, GIVEN + SIZED.format("4 x 5")),
        ({"given": {"grayscale": GRAYS.astype(np.uint16)}}, GIVEN + " as uint8.*uint16"),
        ({"given": {"grayscale": GRAYS * 0 + 16}}, GIVEN + ".* 0 to 15.*a value of 16"),
        ({"known": KNOWN}, TOGETHER.format("images", "None")),
        ({"mask": MASK}, TOGETHER.format("None", "a mask")),
        ({"known": KNOWN[:, :3], "mask": MASK}, "known images" + SIZED.format("3 x 6")),
        ({"known": KNOWN[..., :1], "mask": MASK}, r"3 channels. Received: shape \[3, 4, 6, 1\]"),
        ({"known": KNOWN, "mask": MASK[:, :, :5]}, "a mask" + SIZED.format("4 x 5")),
        ({"known": KNOWN, "mask": MASK[:1]}, "a mask" + EACH.format(1)),
        ({"known": KNOWN, "mask": MASK / 1}, r"mask as uint8 \[B, H, W, 1\]. Received: float64"),
        ({"known": KNOWN, "mask": KNOWN // 255}, r"mask with 1 channel. .* \[3, 4, 6, 3\]"),
        ({"known": KNOWN, "mask": 2 * MASK}, "mask with pixel values from 0 to 1. .* value of 2"),
    )
    def test_refused(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            model().sample(**{"seeds": SEEDS, **arguments})

    def test_arguments_that_are_no_arrays_of_numbers(self):
        masked = np.ma.masked_array(SEEDS, mask=True)
        for wrong in (None, "ab", [[1], [2, 3]], {}, object(), [1j], np.datetime64("now"), masked):
            for name in ("seeds", "log_scale_shift"):
                with self.assertRaisesRegex(ValueError, f"{name} as an array"):
                    model().sample(**{"seeds": SEEDS, name: wrong})
            with self.assertRaisesRegex(ValueError, "images as an array"):
                model().log_prob(wrong)

    def test_values_that_a_graph_does_not_know(self):
        message = "have values. Received: those of a graph that is traced. Draw outside of tf.func"
        with self.assertRaisesRegex(ValueError, message):
            tf.function(lambda seeds: model().sample(seeds), autograph=False)(tf.constant(SEEDS))
