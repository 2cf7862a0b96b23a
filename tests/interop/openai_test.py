"""Tests of the importer of OpenAI's PixelCNN++ against numbers of its code."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.interop import openai
from tests.interop.published import archive, build_once


def variables_of(network):
    """The variables of a network under the reference's names, for a round trip."""
    variables = {}
    for name, layer in openai.named_layers(network):
        for part, weight in (("V", layer.v), ("g", layer.g), ("b", layer.b)):
            variables[f"{name}/{part}"] = weight.numpy()
    return variables


class OpenAiPixelCnnTest(tf.test.TestCase):
    def test_agrees_with_the_reference_numbers(self):
        arrays, variables = archive("openai_pixelcnn_pp")
        model = pa.interop.openai_pixelcnn_pp(variables, image_size=(16, 16))
        params = model.factors["image"].params(arrays["image"])
        self.assertAllClose(params, arrays["out/params"], rtol=0, atol=1e-4)
        nats = -model.log_prob(arrays["image"])
        self.assertAllClose(nats, arrays["out/nll_nats_per_image"], rtol=0, atol=2e-2)

    def test_reads_filters_blocks_and_components_off_the_variables(self):
        # More and fewer filters than parameters, as 160 and 100 in Salimans et al. (2017).
        for filters, blocks, components in ((6, 2, 3), (24, 1, 1)):
            source = pa.pixelcnn_pp(
                (8, 8), filters=filters, blocks=blocks, num_components=components, dropout=0.0
            )
            factor, random = source.factors["image"], np.random.RandomState(0)
            factor.set_weights([random.normal(size=weight.shape) for weight in factor.weights])
            model = pa.interop.openai_pixelcnn_pp(variables_of(factor.network), image_size=(8, 8))
            images = random.randint(0, 256, (2, 8, 8, 3)).astype(np.uint8)
            self.assertEqual(model.description(), source.description())
            self.assertAllEqual(model.log_prob(images), source.log_prob(images))

    def test_names_the_variable_that_is_wrong(self):
        _, variables = archive("openai_pixelcnn_pp")
        build_once(self, openai, "pixelcnn_pp")
        for name, array, message in (
            ("model/dense_3/g", None, "model/dense_3/g"),
            ("model/conv2d_7/b", np.zeros(9), "model/conv2d_7/b.*shape"),
            ("model/conv2d_7/b", np.full(8, np.nan), "model/conv2d_7/b"),
            ("model/extra", np.zeros(1), "model/extra"),
            ("model/dense_3/V", variables["model/dense_3/V"] * 0, "model/dense_3/V.*length 0"),
            ("model/conv2d_38/V", None, r"24 n \+ 15"),  # another network's
        ):
            changed = {k: v for k, v in {**variables, name: array}.items() if v is not None}
            with self.assertRaisesRegex(ValueError, message):
                pa.interop.openai_pixelcnn_pp(changed)
