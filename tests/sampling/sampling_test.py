"""Tests of sampling, in float64 so that what should be equal is equal to the last pixel."""

import functools
import gc
import weakref
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import sampling
from tests import helpers

SEEDS = np.array([[1, 2], [3, 4], [-5, 2**31 - 1]], np.int32)
KNOWN = helpers.pictures(3)
MASK = np.random.default_rng(0).integers(2, size=(3, *helpers.SIZE, 1)).astype(np.uint8)


def model():
    return helpers.shared_model("float64")


def noise_of(name, seeds=SEEDS, mode="sample"):
    position = list(model().factors).index(name)
    factor = model().factors[name]
    return sampling.noise(factor, tf.constant(seeds), position, helpers.SIZE, mode=mode)


@functools.cache
def drawn(mode="sample", log_scale_shift=0.0):
    """The images of `SEEDS`: dict, name -> array."""
    return {
        k: v.numpy()
        for k, v in model().sample(SEEDS, log_scale_shift=log_scale_shift, mode=mode).items()
    }


def decided(images, mode="sample"):
    """What each factor draws that sees images all at once: dict, name -> array."""
    grays, colors = images.values()
    found = {}
    for name, inputs in (("grayscale", (grays,)), ("image", (colors, grays))):
        factor = model().factors[name]
        found[name] = factor.likelihood.draw(factor.params(inputs), noise_of(name, mode=mode))
    return found


def assert_same_images(images, expected):
    assert list(images) == list(expected)
    for name, image in expected.items():
        np.testing.assert_array_equal(images[name], image, name)


class SampleTest(tf.test.TestCase):
    def test_an_image_of_each_factor_in_order(self):
        images = drawn()
        self.assertEqual(list(images), ["grayscale", "image"])
        self.assertEqual(images["grayscale"].shape, (3, *helpers.SIZE, 1))
        self.assertEqual(images["image"].shape, (3, *helpers.SIZE, 3))
        self.assertEqual({image.dtype for image in images.values()}, {np.dtype("uint8")})
        self.assertLess(np.max(images["grayscale"]), 16)

    def test_an_image_depends_on_its_own_seed_alone(self):
        assert_same_images(model().sample(SEEDS.tolist()), drawn())
        other = model().sample(SEEDS + 1)
        for name, images in drawn().items():
            self.assertNotAllEqual(other[name], images)
        for b, seed in enumerate(SEEDS):
            expected = {name: images[b : b + 1] for name, images in drawn().items()}
            assert_same_images(model().sample([seed]), expected)

    def test_every_pixel_is_drawn_given_those_before_it(self):
        """The images drawn, seen by the factor all at once, decide on themselves again."""
        assert_same_images(decided(drawn()), drawn())

    def test_given_grays_are_kept_and_colored_as_if_they_were_drawn(self):
        grays = drawn()["grayscale"]
        assert_same_images(model().sample(SEEDS, given={"grayscale": grays}), drawn())
        inverted = model().sample(SEEDS, given={"grayscale": 15 - grays})
        self.assertNotAllEqual(inverted["image"], drawn()["image"])


class CompletionTest(tf.test.TestCase):
    """Known images are pictures, which no untrained model draws."""

    def complete(self, mask, **kwargs):
        """The images, and those that the known ones would give: two dicts, name -> array."""
        images = model().sample(SEEDS, known=KNOWN, mask=mask, **kwargs)
        known = model().auxiliaries(KNOWN)
        return [{k: v.numpy() for k, v in x.items()} for x in (images, known)]

    def test_known_pixels_are_kept_and_others_drawn_given_those_before_them(self):
        images, known = self.complete(MASK)
        for name, pixels in decided(images).items():
            self.assertEqual(images[name].dtype, np.uint8)
            self.assertAllEqual(np.where(MASK, known[name], pixels), images[name])
            # Of the others, a gray may be the same by chance.
            is_kept = np.all(images[name] == known[name], axis=-1, keepdims=True)
            self.assertLess(np.mean(is_kept[MASK == 0]), 0.5)
        with helpers.eagerly():
            full, _ = self.complete(MASK, method="full")
        assert_same_images(full, images)

    def test_all_known_and_nothing_known(self):
        assert_same_images(*self.complete(np.ones_like(MASK)))
        assert_same_images(self.complete(np.zeros_like(MASK))[0], drawn())


class SplittingTest(parameterized.TestCase, tf.test.TestCase):
    """Five images: two batches of two, and a last one of one."""

    SEEDS = np.concatenate([SEEDS, SEEDS[:2] + 1])
    EACH = np.arange(5) % 3  # images for as many seeds

    def arguments(self, kind):
        return {
            "images": {"log_scale_shift": [-2.0, -1.0, 0.0, 1.0, 2.0]},
            "completions": {"known": KNOWN[self.EACH], "mask": MASK[self.EACH]},
            "given": {"given": {"grayscale": drawn()["grayscale"][self.EACH]}},
        }[kind]

    @parameterized.parameters(("images", 2), ("completions", 2), ("given", 1))
    def test_changes_nothing(self, kind, factors):
        expected = model().sample(self.SEEDS, **self.arguments(kind))
        with (
            mock.patch("pixelcnn_aux.batches.MAX_PIXELS", 2 * np.prod(helpers.SIZE)),
            mock.patch.object(pa.Factor, "draw", autospec=True, side_effect=pa.Factor.draw) as draw,
        ):
            images = model().sample(self.SEEDS, **self.arguments(kind))
        sizes = [len(call.args[1].noise) for call in draw.call_args_list]
        self.assertEqual(sizes, [2] * factors + [2] * factors + [1] * factors)
        assert_same_images(images, expected)

    def test_images_of_more_pixels_than_are_drawn_at_once(self):
        with mock.patch("pixelcnn_aux.batches.MAX_PIXELS", 1):
            assert_same_images(model().sample(SEEDS), drawn())


class GraphsTest(tf.test.TestCase):
    def test_graphs_last_no_longer_than_the_factor(self):
        single = helpers.tiny_model()
        image = single.sample([[0, 1]])["image"]
        factor = single.factors["image"]
        factor.params(image, single.auxiliaries(image)["grayscale"], method="incremental")
        # What graphs hold of a variable is its handle, and with that its memory.
        handle = weakref.ref(factor.network.last.b.value.handle)
        del single, factor
        gc.collect()
        self.assertIsNone(handle())


class ModesTest(tf.test.TestCase):
    def test_map_takes_locations_of_the_same_components(self):
        images = drawn("map")
        self.assertAllEqual(images["grayscale"], drawn()["grayscale"])  # a categorical as usual
        self.assertNotAllEqual(images["image"], drawn()["image"])
        self.assertAllEqual(decided(images, "map")["image"], images["image"])

    def test_a_shift_widens_or_narrows_colors_alone(self):
        narrow, as_is, wide = (drawn(log_scale_shift=shift) for shift in (-3.0, 0.0, 3.0))
        self.assertAllEqual(wide["grayscale"], as_is["grayscale"])
        spread = [np.std(x["image"].astype(float)) for x in (narrow, as_is, wide)]
        self.assertEqual(spread, sorted({*spread}))

    def test_a_shift_for_each_image(self):
        images = model().sample(SEEDS, log_scale_shift=[-1.0, 0.0, 3.0])["image"]
        self.assertAllEqual(images[1], drawn()["image"][1])
        self.assertAllEqual(images[2], drawn(log_scale_shift=3.0)["image"][2])
        self.assertNotAllEqual(images[2], drawn()["image"][2])


class NoiseTest(tf.test.TestCase):
    def test_shape_and_dtype(self):
        noise = noise_of("image")
        self.assertEqual(noise.shape, [3, *helpers.SIZE, 2 + 3])  # for components and for channels
        self.assertEqual(noise.dtype, tf.float64)
        single = helpers.shared_model("float32").factors["image"]
        noise = sampling.noise(single, tf.constant(SEEDS), 1, helpers.SIZE)
        self.assertEqual(noise.dtype, tf.float32)

    def test_neither_images_nor_pixels_nor_factors_share_noise(self):
        noise = np.concatenate([np.ravel(noise_of(name)) for name in model().factors])
        self.assertLen(set(noise), noise.size)
        for position in range(2):  # nor do seeds of one hash of 32 bits
            factor, seeds = model().factors["grayscale"], tf.constant([[0, 45520], [0, 47586]])
            noise = sampling.noise(factor, seeds, position, helpers.SIZE)
            self.assertLen(set(np.ravel(noise)), np.size(noise))

    def test_seeds_mean_the_same_in_every_version(self):
        factor = model().factors["grayscale"]
        noise = sampling.noise(factor, tf.constant([[0, 1]]), 2, (1, 2))
        uniforms = np.array([0.040145529201251806, 0.5612506988834305])
        self.assertAllClose(noise[0, 0, 0, :2], -np.log(-np.log(uniforms)), rtol=1e-12)


class NoImagesTest(tf.test.TestCase):
    """No images are no error: what comes back is empty, of the right shapes and dtypes."""

    def test_sample(self):
        expected = {k: v[:0] for k, v in drawn().items()}
        for given in (None, {"grayscale": expected["grayscale"]}):
            images = model().sample(SEEDS[:0], given=given)
            assert_same_images(images, expected)
            self.assertEqual({image.dtype for image in images.values()}, {tf.uint8})


GRAYS = pa.auxiliary.Grayscale()(KNOWN).numpy()
TOGETHER = "known images and a mask, or neither. Received: known={}, mask={}"
SIZED = " of 4 x 6, the size that the model draws. Received: {}."
EACH = " for each of 3 seeds. Received: {}."
GIVEN = r"given\['grayscale'\]"


class WrongArgumentsTest(parameterized.TestCase, tf.test.TestCase):
    @parameterized.parameters(
        ({"seeds": SEEDS.astype(np.int64)}, r"seeds as int32.*Received: int64 \[3, 2\]"),
        ({"seeds": SEEDS[0]}, r"seeds as int32.*Received: int32 \[2\]"),
        ({"seeds": SEEDS[:, :1]}, r"seeds as int32.*Received: int32 \[3, 1\]"),
        ({"seeds": [[2**63, 0]]}, "seeds as .*int32"),
        ({"jit_compile": "yes"}, "jit_compile of True or False"),
        ({"given": [GRAYS]}, "given of class dict"),
        ({"mode": "argmax"}, "'sample', 'map'.*mode='argmax'"),
        ({"mode": "argmax", "seeds": SEEDS[:0]}, "'sample', 'map'.*mode='argmax'"),
        ({"method": "fast"}, "method='fast'"),
        ({"log_scale_shift": [0.0, 0.0]}, r"one for each of 3 images. Received: \["),
        ({"log_scale_shift": [[0.0]] * 3}, r"one for each of 3 images. Received: \["),
        ({"log_scale_shift": float("nan")}, "log_scale_shift as a finite number.*nan"),
        ({"log_scale_shift": float("-inf")}, "log_scale_shift as a finite number.*inf"),
        ({"log_scale_shift": [0.0, float("nan"), 0.0]}, "log_scale_shift as a finite number.*nan"),
        ({"given": {}}, r"one auxiliary image of \['grayscale'\].*\[\]"),
        ({"given": {"8x8": GRAYS}}, r"\['grayscale'\].*\['8x8'\]"),
        ({"given": {"image": KNOWN}}, r"Received: \['image'\]"),
        ({"given": {"grayscale": GRAYS, "image": GRAYS}}, r"Received: \['grayscale', 'image'\]"),
        ({"given": {"grayscale": GRAYS[:2]}}, GIVEN + EACH.format(2)),
        (
            {"given": {"grayscale": GRAYS[:, :, :5]}},
            GIVEN + SIZED.format("4 x 5") + ".*model.colorize",
        ),
        ({"given": {"grayscale": GRAYS.astype(np.int32)}}, GIVEN + " as uint8.*int32"),
        ({"given": {"grayscale": GRAYS * 0 + 16}}, GIVEN + ".* 0 to 15.*a value of 16"),
        ({"known": KNOWN}, TOGETHER.format("images", "None")),
        ({"mask": MASK}, TOGETHER.format("None", "a mask")),
        ({"known": KNOWN[:, :3], "mask": MASK}, "known images" + SIZED.format("3 x 6")),
        ({"known": KNOWN[:2], "mask": MASK}, "known images" + EACH.format(2)),
        ({"known": KNOWN.astype(np.int64), "mask": MASK}, r"as uint8 \[B, H, W, 3\].*: int64"),
        ({"known": KNOWN[..., :1], "mask": MASK}, r"3 channels. Received: shape \[3, 4, 6, 1\]"),
        ({"known": KNOWN, "mask": MASK[:, :, :5]}, "a mask" + SIZED.format("4 x 5")),
        ({"known": KNOWN, "mask": MASK[:1]}, "a mask" + EACH.format(1)),
        ({"known": KNOWN, "mask": MASK == 1}, r"mask as uint8 \[B, H, W, 1\]. Received: bool"),
        ({"known": KNOWN, "mask": MASK[..., 0]}, r"mask as uint8 .* Received: uint8 \[3, 4, 6\]"),
        ({"known": KNOWN, "mask": KNOWN // 255}, r"mask with 1 channel. .* \[3, 4, 6, 3\]"),
        ({"known": KNOWN, "mask": 2 * MASK}, "mask with pixel values from 0 to 1. .* value of 2"),
    )
    def test_refused(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            model().sample(**{"seeds": SEEDS, **arguments})

    def test_what_is_no_array_of_numbers(self):
        masked = np.ma.masked_array(SEEDS, mask=True)
        for wrong in (None, "ab", [[1], [2, 3]], {}, object(), [1j], np.datetime64("now"), masked):
            for name in ("seeds", "log_scale_shift"):
                with self.assertRaisesRegex(ValueError, f"{name} as an array"):
                    model().sample(**{"seeds": SEEDS, name: wrong})
            with self.assertRaisesRegex(ValueError, "images as an array"):
                model().log_prob(wrong)

    def test_values_that_a_graph_does_not_know(self):
        message = "have values. Received: those of a graph that is traced. Draw outside of tf.func"
        for draw, value in (
            (lambda seeds: model().sample(seeds), tf.constant(SEEDS)),
            (lambda shift: model().sample(SEEDS, log_scale_shift=shift), tf.constant(0.0)),
        ):
            with self.assertRaisesRegex(ValueError, message):
                tf.function(draw, autograph=False)(value)
