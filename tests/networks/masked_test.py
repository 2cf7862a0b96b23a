"""Tests of masked convolutions: likelihoods, tiles, images of any size, and whole numbers."""

from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import batches
from pixelcnn_aux.factors import factor as factor_module
from pixelcnn_aux.networks import MaskedPixelCNN
from tests import helpers


class MaskedTest(helpers.TestCase):
    @parameterized.parameters((2, 4), (1, 7), (3, 3))
    def test_probabilities_of_all_images_sum_to_one(self, *size):
        how = {"channels": 1, "bits": 2 if np.prod(size) < 9 else 1, "dtype": "float64"}
        model = helpers.tiny_parallel(size, masked=1, **how)
        images = helpers.all_images(model.likelihood.num_values, *size, 1)
        self.assertAllClose(np.sum(np.exp(model.log_prob(images))), 1.0, rtol=1e-9)

    @parameterized.parameters(8, 12)
    def test_tiles_of_an_image_are_as_in_the_whole_image(self, bits):
        size, dtype = (63, 64), np.uint8 if bits == 8 else np.uint16
        model = helpers.tiny_parallel(size, masked=1, bits=bits)
        self.assertEqual(model.factors["image"].definitions["embedding"].differences, bits == 12)
        images = helpers.pictures(1, size=size).astype(dtype) << (bits - 8)
        factor, inputs = model.factors["image"], model.inputs(images)
        whole = factor.pixel_log_prob(inputs["image"])
        self.enter_context(mock.patch.object(batches, "MAX_TILE_PIXELS", 50**2))
        self.assertEqual([len(row) for row in batches.tiles(factor, size)], [3, 3, 3])
        self.assertAllClose(factor.pixel_log_prob(inputs["image"]), whole, rtol=1e-5)
        with mock.patch.object(factor_module, "_BAND", 8 * 32):
            self.assertAllClose(factor.pixel_log_prob(inputs["image"]), whole, rtol=1e-5)
        # Smaller than the receptive field.
        with mock.patch.object(factor.definitions["network"], "radius", 0):
            found = factor.pixel_log_prob(inputs["image"])
        self.assertGreater(np.abs(np.subtract(found, whole)).max(), 1e-3)

    def test_whole_numbers_are_the_same_in_graphs_in_numpy_and_in_waves(self):
        factor = pa.rounded(helpers.tiny_parallel(masked=1)).factors["image"]
        self.assertTrue(factor.has_rounded_weights)
        images = helpers.pictures(2, size=(9, 30))
        inputs = factor.inputs(images, pa.auxiliary.HalfResolution()(images))
        in_graphs = factor.keras_model()(inputs)
        self.assertGreater(np.std(in_graphs), 0.1)
        for method in ("full", "incremental"):
            self.assertAllEqual(factor.params(inputs, method=method), in_graphs)

    def test_sums_with_features_that_are_not_exact_are_refused(self):
        factor = helpers.tiny_parallel(masked=1, whole_numbers=True).factors["image"]
        large = helpers.altered(factor, lambda g: np.full(g.shape, 2.0**14), "1_given/g")
        with self.assertRaisesRegex(ValueError, r"less than 2 \*\* 24 units in .*given"):
            large.with_rounded_weights()

    def test_arguments(self):
        how = {"blocks": 1, "filters": 4, "num_params": 10}
        self.assertEqual(MaskedPixelCNN(**how).delay, 3)
        self.assertEqual(MaskedPixelCNN(**how, kernel_size=(2, 3), side=4).delay, 4)
        for wrong in ({"side": 9}, {"blocks": 0}, {"kernel_size": (2, 0)}):
            with self.assertRaisesRegex(ValueError, next(iter(wrong))):
                MaskedPixelCNN(**{**how, **wrong})
