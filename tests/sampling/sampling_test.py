"""Tests of sampling, in float64 so that what should be equal is equal to the last pixel."""

import functools
import gc
import weakref
from unittest import mock

import numpy as np
import tensorflow as tf

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
    return sampling.noise(model().factors[name], tf.constant(seeds), position, helpers.SIZE, mode)


@functools.cache
def drawn(mode="sample", log_scale_shift=0.0):
    """The images of `SEEDS`: dict, name -> array."""
    return {k: v.numpy() for k, v in model().sample(SEEDS, log_scale_shift, mode).items()}


class SampleTest(tf.test.TestCase):
    def test_an_image_of_each_factor_in_order(self):
        images = model().sample(SEEDS)
        self.assertEqual(list(images), ["grayscale", "image"])
        self.assertEqual(images["grayscale"].shape, [3, *helpers.SIZE, 1])
        self.assertEqual(images["image"].shape, [3, *helpers.SIZE, 3])
        self.assertEqual({image.dtype for image in images.values()}, {tf.uint8})
        self.assertLess(np.max(images["grayscale"]), 16)

    def test_the_same_seeds_give_the_same_images(self):
        again = model().sample(SEEDS.tolist())
        for name, images in drawn().items():
            self.assertAllEqual(again[name], images)
        other = model().sample(SEEDS + 1)
        for name, images in drawn().items():
            self.assertNotAllEqual(other[name], images)

    def test_an_image_depends_on_its_own_seed_alone(self):
        for b, seed in enumerate(SEEDS):
            alone = model().sample([seed])
            for name, images in drawn().items():
                self.assertAllEqual(alone[name][0], images[b])

    def test_every_pixel_is_drawn_given_those_before_it(self):
        """The images drawn, seen by the factor all at once, decide on themselves again."""
        grays, images = drawn().values()
        for name, inputs in (("grayscale", (grays,)), ("image", (images, grays))):
            factor = model().factors[name]
            pixels = factor.likelihood.draw(factor.params(inputs), noise_of(name))
            self.assertAllEqual(pixels, inputs[0])

    def test_given_grays_are_kept_and_colored_as_if_they_were_drawn(self):
        images = model().sample(SEEDS, given={"grayscale": drawn()["grayscale"]})
        self.assertEqual(list(images), ["grayscale", "image"])
        self.assertAllEqual(images["grayscale"], drawn()["grayscale"])
        self.assertAllEqual(images["image"], drawn()["image"])
        inverted = model().sample(SEEDS, given={"grayscale": 15 - drawn()["grayscale"]})
        self.assertNotAllEqual(inverted["image"], drawn()["image"])


class CompletionTest(tf.test.TestCase):
    """Known images are pictures, which no untrained model draws."""

    def complete(self, mask, **kwargs):
        """The images, and those that the known ones would give: two dicts, name -> array."""
        images = model().sample(SEEDS, known=KNOWN, mask=mask, **kwargs)
        known = model().auxiliaries(KNOWN)
        self.assertEqual(list(images), list(known))
        return [{k: v.numpy() for k, v in x.items()} for x in (images, known)]

    def test_known_pixels_are_kept_in_every_image(self):
        images, known = self.complete(MASK)
        for name in known:
            self.assertEqual(images[name].dtype, np.uint8)
            is_kept = np.all(images[name] == known[name], axis=-1, keepdims=True)
            self.assertAllEqual(is_kept[MASK == 1], np.ones(np.sum(MASK), bool))
            # Of the others, a gray may be the same by chance.
            self.assertLess(np.mean(is_kept[MASK == 0]), 0.5)

    def test_other_pixels_are_drawn_given_those_before_them(self):
        images, known = self.complete(MASK)
        grays, colors = images.values()
        for name, inputs in (("grayscale", (grays,)), ("image", (colors, grays))):
            factor = model().factors[name]
            pixels = factor.likelihood.draw(factor.params(inputs), noise_of(name))
            self.assertAllEqual(np.where(MASK, known[name], pixels), images[name])

    def test_what_comes_before_known_pixels_is_drawn_as_without_them(self):
        mask = np.zeros_like(MASK)
        mask[:, 2, 3:] = 1
        images, _ = self.complete(mask)
        grays, expected = (x["grayscale"].reshape(3, -1) for x in (images, drawn()))
        first = 2 * helpers.SIZE[1] + 3
        self.assertAllEqual(grays[:, :first], expected[:, :first])
        self.assertNotAllEqual(grays[:, first:], expected[:, first:])

    def test_all_known(self):
        images, known = self.complete(np.ones_like(MASK))
        for name in known:
            self.assertAllEqual(images[name], known[name])

    def test_nothing_known(self):
        images, _ = self.complete(np.zeros_like(MASK))
        for name, expected in drawn().items():
            self.assertAllEqual(images[name], expected)

    def test_every_way_to_draw_agrees(self):
        images, _ = self.complete(MASK)
        for kwargs in ({"method": "full"}, {"jit_compile": True}):
            with mock.patch.object(
                pa.Factor, "draw", autospec=True, side_effect=pa.Factor.draw
            ) as draw:
                others, _ = self.complete(MASK, **kwargs)
            for call in draw.call_args_list:
                self.assertEqual(call.kwargs, {**call.kwargs, **kwargs})
            for name in images:
                self.assertAllEqual(others[name], images[name])


class SplittingTest(tf.test.TestCase):
    """Five images: two batches of two, and a last one of one."""

    SEEDS = np.concatenate([SEEDS, SEEDS[:2] + 1])
    EACH = np.arange(5) % 3  # Images for as many seeds.

    def assertSplittingChangesNothing(self, factors, **kwargs):
        expected = model().sample(self.SEEDS, **kwargs)
        with (
            mock.patch("pixelcnn_aux.sampling.chains.MAX_PIXELS", 2 * np.prod(helpers.SIZE)),
            mock.patch.object(pa.Factor, "draw", autospec=True, side_effect=pa.Factor.draw) as draw,
        ):
            images = model().sample(self.SEEDS, **kwargs)
        sizes = [len(call.args[2]) for call in draw.call_args_list]  # of the noise
        self.assertEqual(sizes, [2] * factors + [2] * factors + [1] * factors)
        self.assertEqual(list(images), ["grayscale", "image"])
        for name in images:
            self.assertEqual(images[name].dtype, tf.uint8)
            self.assertAllEqual(images[name], expected[name])

    def test_images(self):
        self.assertSplittingChangesNothing(factors=2, log_scale_shift=[-2.0, -1.0, 0.0, 1.0, 2.0])

    def test_completions(self):
        self.assertSplittingChangesNothing(factors=2, known=KNOWN[self.EACH], mask=MASK[self.EACH])

    def test_given_grays(self):
        grays = drawn()["grayscale"][self.EACH]
        self.assertSplittingChangesNothing(factors=1, given={"grayscale": grays})

    def test_images_of_more_pixels_than_are_drawn_at_once(self):
        with mock.patch("pixelcnn_aux.sampling.chains.MAX_PIXELS", 1):
            images = model().sample(SEEDS)
        for name, expected in drawn().items():
            self.assertAllEqual(images[name], expected)


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
        grays, images = drawn("map").values()
        self.assertAllEqual(grays, drawn()["grayscale"])  # a categorical draws as usual
        self.assertNotAllEqual(images, drawn()["image"])
        factor = model().factors["image"]
        noise = noise_of("image", mode="map")
        pixels = factor.likelihood.draw(factor.params(images, grays), noise)
        self.assertAllEqual(pixels, images)

    def test_map_is_what_narrow_logistics_come_to(self):
        narrow, locations = drawn(log_scale_shift=-100.0)["image"], drawn("map")["image"]
        # Scales stop at exp(-7), 0.12 pixel values, where a draw is within 1 of the location, after
        # rounding. Later pixels depend on this one, so that differences may grow.
        first = np.abs(narrow[:, 0, 0].astype(int) - locations[:, 0, 0])
        self.assertLessEqual(first.max(), 1)
        self.assertNotAllEqual(narrow, drawn()["image"])

    def test_a_shift_widens_or_narrows_colors_alone(self):
        self.assertAllEqual(drawn(log_scale_shift=2.0)["grayscale"], drawn()["grayscale"])
        narrow, as_is, wide = (
            np.std(drawn(log_scale_shift=shift)["image"].astype(float))
            for shift in (-3.0, 0.0, 3.0)
        )
        self.assertLess(narrow, as_is)
        self.assertLess(as_is, wide)

    def test_a_shift_for_each_image(self):
        images = model().sample(SEEDS, log_scale_shift=[-1.0, 0.0, 2.0])["image"]
        self.assertAllEqual(images[1], drawn()["image"][1])
        self.assertAllEqual(images[2], drawn(log_scale_shift=2.0)["image"][2])
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

    def test_seeds_of_one_hash_of_32_bits_share_no_noise(self):
        for position in range(2):
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
        expected = drawn()
        for given in (None, {"grayscale": expected["grayscale"][:0]}):
            images = model().sample(SEEDS[:0], given=given)
            self.assertEqual(list(images), list(expected))
            for name, array in expected.items():
                self.assertEqual(images[name].shape, (0, *array.shape[1:]))
                self.assertEqual(images[name].dtype, tf.uint8)

    def test_likelihoods(self):
        images = np.zeros([0, *model().image_size, 3], np.uint8)
        self.assertEqual(model().log_prob(images).shape, [0])
        self.assertEqual(model().bits_per_dim(images)["total"].shape, [0])
        for name, pair in model().inputs(images).items():
            factor, sides = model().factors[name], pair[0].shape[1:3]
            self.assertEqual(factor.params(pair).shape, [0, *sides, factor.likelihood.num_params])

    def test_sides_of_0_are_refused(self):
        with self.assertRaisesRegex(
            ValueError, r"width of 1 or more. Received: shape \[1, 0, 4, 3\]"
        ):
            model().log_prob(np.zeros([1, 0, 4, 3], np.uint8))


class WrongArgumentsTest(tf.test.TestCase):
    def assertRefused(self, message, seeds=SEEDS, **kwargs):
        with self.assertRaisesRegex(ValueError, message):
            model().sample(seeds, **kwargs)

    def test_seeds(self):
        self.assertRefused(r"seeds as int32.*Received: int64 \[3, 2\]", SEEDS.astype(np.int64))
        self.assertRefused(r"seeds as int32.*Received: int32 \[2\]", SEEDS[0])
        self.assertRefused(r"seeds as int32.*Received: int32 \[3, 1\]", SEEDS[:, :1])

    def test_what_is_no_array_of_numbers(self):
        masked = np.ma.masked_array(SEEDS, mask=True)
        for wrong in (None, "ab", [[1], [2, 3]], {}, object(), [1j], np.datetime64("now"), masked):
            self.assertRefused("seeds as an array of numbers", wrong)
            self.assertRefused("log_scale_shift as an array", log_scale_shift=wrong)
            with self.assertRaisesRegex(ValueError, "images as an array"):
                model().log_prob(wrong)
        self.assertRefused("seeds as .*int32", [[2**63, 0]])
        self.assertRefused("jit_compile of True or False", jit_compile="yes")
        self.assertRefused("given of class dict", given=[drawn()["grayscale"]])

    def test_values_that_a_graph_does_not_know(self):
        message = (
            "have values. Received: those of a graph that is traced. Draw outside of tf.function"
        )
        for draw, value in (
            (lambda seeds: model().sample(seeds), tf.constant(SEEDS)),
            (lambda shift: model().sample(SEEDS, shift), tf.constant(0.0)),
        ):
            with self.assertRaisesRegex(ValueError, message):
                tf.function(draw, autograph=False)(value)

    def test_mode(self):
        for seeds in (SEEDS, SEEDS[:0]):
            self.assertRefused("'sample', 'map'.*mode='argmax'", seeds, mode="argmax")

    def test_method(self):
        self.assertRefused("method='fast'", method="fast")

    def test_log_scale_shift(self):
        message = r"one for each of 3 images. Received: \["
        self.assertRefused(message, log_scale_shift=[0.0, 0.0])
        self.assertRefused(message, log_scale_shift=[[0.0]] * 3)
        for shift in (float("nan"), float("-inf"), [0.0, float("nan"), 0.0]):
            self.assertRefused(
                "log_scale_shift as a finite number.*(nan|inf)", log_scale_shift=shift
            )

    def test_given(self):
        grays = drawn()["grayscale"]
        self.assertRefused(r"one auxiliary image of \['grayscale'\].*\[\]", given={})
        self.assertRefused(r"\['grayscale'\].*\['8x8'\]", given={"8x8": grays})
        self.assertRefused(r"Received: \['image'\]", given={"image": drawn()["image"]})
        self.assertRefused(
            r"Received: \['grayscale', 'image'\]", given={"grayscale": grays, "image": grays}
        )
        self.assertRefused(
            r"given\['grayscale'\] of shape \[3, 4, 6, 1\].*Received: \[2, 4, 6, 1\]",
            given={"grayscale": grays[:2]},
        )
        self.assertRefused(
            r"of shape \[3, 4, 6, 1\].*Received: \[3, 4, 5, 1\]",
            given={"grayscale": grays[:, :, :5]},
        )
        self.assertRefused(
            r"given\['grayscale'\] as uint8.*int32", given={"grayscale": grays.astype(np.int32)}
        )
        self.assertRefused(
            r"given\['grayscale'\] .* 0 to 15.*a value of 16", given={"grayscale": grays * 0 + 16}
        )

    def test_known_images_and_mask_go_together(self):
        message = "known images and a mask, or neither. Received: known={}, mask={}"
        self.assertRefused(message.format("images", "None"), known=KNOWN)
        self.assertRefused(message.format("None", "a mask"), mask=MASK)

    def test_known_images(self):
        message = r"known images of shape \[3, 4, 6, 3\]. Received: \[{}, 6, 3\]"
        self.assertRefused(message.format("3, 3"), known=KNOWN[:, :3], mask=MASK)
        self.assertRefused(message.format("2, 4"), known=KNOWN[:2], mask=MASK)
        self.assertRefused(
            r"as uint8 \[B, H, W, 3\]. Received: int64 \[3, 4, 6, 3\]",
            known=KNOWN.astype(np.int64),
            mask=MASK,
        )
        self.assertRefused(
            r"3 channels. Received: shape \[3, 4, 6, 1\]", known=KNOWN[..., :1], mask=MASK
        )

    def test_mask(self):
        message = r"mask of shape \[3, 4, 6, 1\]. Received: \[{}, 1\]"
        self.assertRefused(message.format("3, 4, 5"), known=KNOWN, mask=MASK[:, :, :5])
        self.assertRefused(message.format("1, 4, 6"), known=KNOWN, mask=MASK[:1])
        message = r"mask as uint8 \[B, H, W, 1\]. Received: {}"
        self.assertRefused(message.format("bool"), known=KNOWN, mask=MASK == 1)
        self.assertRefused(message.format(r"uint8 \[3, 4, 6\]"), known=KNOWN, mask=MASK[..., 0])
        self.assertRefused(
            r"mask with 1 channel. Received: shape \[3, 4, 6, 3\]", known=KNOWN, mask=KNOWN // 255
        )
        self.assertRefused(
            "mask with pixel values from 0 to 1. Received: a value of 2", known=KNOWN, mask=2 * MASK
        )


if __name__ == "__main__":
    tf.test.main()
