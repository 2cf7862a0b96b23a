"""Tests of scores: entropies are expected bits, and other scores follow their definitions."""

import math

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import scores
from pixelcnn_aux.codec import lossless_files
from tests import helpers

COUNT = 2000


def means(model, images):
    """dict, name -> (mean bits, mean entropy), per dimension."""
    found = scores.bits(model, images)
    return {
        name: (x.mean(), (x - found["bits_less_entropy"][name]).mean())
        for name, x in found["bits"].items()
    }


class EntropyTest(helpers.TestCase):
    def test_the_sum_over_all_images(self):
        """Over all images, mean bits weighted by probability equal mean entropies."""
        transforms, how = [pa.auxiliary.HalfResolution()], {"channels": 1, "bits": 2}
        model = helpers.random_chain(transforms, (2, 2), **how)
        images = helpers.all_images(4, 2, 2, 1)
        found, probs = scores.bits(model, images), np.exp(model.log_prob(images))
        for excess in found["bits_less_entropy"].values():
            self.assertAllClose(probs @ excess, 0.0, atol=1e-8)
            self.assertGreater(np.std(excess), 0.01)
        entropy = -probs @ np.log2(probs) / 4
        self.assertAllClose(probs @ found["bits"]["total"], entropy, rtol=1e-6)

    def test_draws(self):
        """Over draws of an exact model, bits equal entropies to 1 %; under another model they differ."""
        small = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = helpers.randomized(pa.pyramid((4, 4), (2, 2), **small))
        # Narrow, so that few draws are the lowest or highest value.
        helpers.with_last_lengths(model, 0.3)
        seeds = np.random.default_rng(0).integers(-(2**31), 2**31, (COUNT, 2)).astype(np.int32)
        [*_, images] = model.sample(seeds).values()
        for name, (bits, entropy) in means(model, images).items():
            self.assertAllClose(bits, entropy, rtol=0.01, msg=name)
        # An entropy without bounds differs.
        bits, _ = means(model, images)["4x4"]
        _, entropy = means(model.with_exact(False), images)["4x4"]
        self.assertGreater(entropy / bits, 1.02)


class BitsTest(helpers.TestCase):
    images = helpers.pictures(5)

    def test_bits_and_their_bound(self):
        model = helpers.tiny_model(exact=True, centered=True)
        found = scores.bits(model, self.images)
        bound, exact = model.bound_and_exact(self.images)
        self.assertEqual(list(found["bits"]), ["grayscale", "image", "total"])
        for name, expected in exact.items():
            self.assertAllClose(found["bits"][name], expected, rtol=1e-5)
            gap = np.asarray(bound[name]) - expected
            self.assertAllClose(found["bound_less_exact"][name], gap, atol=1e-5)
            self.assertEqual(found["bits"][name].dtype, np.float64)

    def test_files_are_of_the_image_so_far(self):
        model = pa.pyramid((4, 4), (2, 2), filters=4, blocks=1, embedding_blocks=1, depth=1)
        images = helpers.pictures(3, size=(4, 4))
        found = scores.score(model, images)
        small = np.asarray(model.auxiliaries(images)["2x2"])
        png = found["bits_less_png"]
        self.assertEqual(list(png), ["2x2", "total"])
        files = lossless_files.bits_per_dim("PNG", small) / 4
        self.assertAllClose(png["2x2"], found["bits"]["2x2"] - files)
        files = lossless_files.bits_per_dim("PNG", images)
        self.assertAllClose(png["total"], found["bits"]["total"] - files)
        # No file holds grays of 4 bits.
        found = scores.score(helpers.shared_model(), self.images)
        self.assertEqual(list(found["bits_less_webp"]), ["total"])

    def test_classes(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        found = scores.score(model, self.images)
        log_probs = np.asarray(model.class_log_probs(self.images))
        best = log_probs.argmax(axis=1)
        bits = -log_probs.max(axis=1) / math.log(2)
        self.assertAllClose(found["class_bits"]["total"], bits, atol=1e-3)
        none = model.bits_per_dim(self.images, np.full(5, -1))
        self.assertAllClose(found["bits"]["total"], none["total"], rtol=1e-5)
        for labels in (best, [0, 1, 2, 0, 1]):
            given = scores.of_classes(model, self.images, labels)
            own = model.bits_per_dim(self.images, np.array(labels))
            for name, x in own.items():
                expected = np.asarray(x) - none[name]
                self.assertAllClose(given["class_ratio"][name], expected, atol=1e-5)
            if labels is best:
                self.assertAllClose(given["class_ratio"]["total"], found["class_ratio"]["total"])
            pixels = scores.pixel_bits(model, self.images[0], np.array(labels[:1]))
            mean = sum(x.bits.sum() for x in pixels.values()) / self.images[0].size
            self.assertAllClose(mean, own["total"][0], rtol=1e-5)

    def test_wrong_images_are_refused(self):
        model = helpers.shared_model()
        with self.assertRaisesRegex(ValueError, "Expected images with 3 channels. Received"):
            scores.score(model, self.images[..., :1])
        with self.assertRaisesRegex(ValueError, "Classes"):
            scores.of_classes(model, self.images)

    def test_bits_of_pixels_add_up_to_scores(self):
        model = helpers.shared_model()
        expected = scores.bits(model, self.images[:2])
        for index, image in enumerate(self.images[:2]):
            found = scores.pixel_bits(model, image)
            self.assertEqual(list(found), list(model.factors))
            for name, (bits, entropy) in found.items():
                self.assertEqual((bits.shape, bits.dtype), (helpers.SIZE, np.float64))
                score = expected["bits"][name][index]
                self.assertAllClose(bits.sum() / image.size, score, rtol=1e-5)
                score = expected["bits_less_entropy"][name][index]
                self.assertAllClose((bits - entropy).sum() / image.size, score, atol=1e-5)
