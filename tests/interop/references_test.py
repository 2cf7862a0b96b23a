"""Tests of the importers of reference weights against numbers of the published code."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.interop import references
from tests.interop.published import archive, authors_variables, build_once, pyramid, reference

# The layers of the authors' embeddings in the order of evaluation, for depth 3 with a block in a group
# and depth 1 with two.
DEPTH_3 = (
    "down_block0_0 downsample0 down_block1_0 downsample1 down_block2_0 up_block0_0 upsample0 up_block1_0 "
    "upsample1 up_block2_0 upsample2 up_block3_0 conv_representation"
).split()
DEPTH_1 = (
    "down_block0_0 down_block0_1 up_block0_0 up_block0_1 upsample0 up_block1_0 up_block1_1 "
    "conv_representation"
).split()


def small():
    """The smallest conditional pyramid, and its variables under the authors' names."""
    source = pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1)
    return source, authors_variables(source, DEPTH_1)


class ReferencesTest(tf.test.TestCase):
    def assert_same(self, model, source, tolerance=0.0):
        """Everything that a model's numbers depend on."""
        self.assertEqual(model.description(), source.description())
        for factors in zip(model.factors.values(), source.factors.values()):
            found, expected = (factor.kernels() for factor in factors)
            self.assertEqual([*found], [*expected])
            for path, kernel in expected.items():
                least = tolerance if path.endswith("/kernel") else 0.0
                self.assertAllClose(found[path], kernel, least, least / 10)

    def assert_refused(self, importer, variables, name, array, message, **size):
        """Variables without those of this prefix, or with one array replaced."""
        changed = {k: v for k, v in variables.items() if not k.startswith(name)}
        changed |= {} if array is None else {name: array}
        with self.subTest(name=name, message=message):
            with self.assertRaisesRegex(ValueError, message.format(name)):
                importer(changed, **size)

    def test_authors_numbers(self):
        arrays, _, model = reference()
        self.assertEqual(model.sizes(), {"8x8": (8, 8), "16x16": (16, 16)})

        def images(key):
            pixels = arrays[key] * 127.5 + 127.5
            self.assertAllClose(pixels, np.round(pixels), rtol=0, atol=1e-3)
            return np.round(pixels).astype(np.uint8)

        image, seed = images("out/scale0/x"), images("out/scale0/seed")
        self.assertAllEqual(image, arrays["image"])
        fine, base = model.factors["16x16"], model.factors["8x8"]
        [features] = fine.features(seed)
        for value, key in (
            (features, "out/scale0/embedding"),
            (fine.params(image, seed), "out/scale0/params"),
            (base.params(images("out/scale1/x")), "out/scale1/params"),
        ):
            self.assertAllClose(value, arrays[key], rtol=0, atol=1e-4, msg=key)

    def test_openai_numbers(self):
        arrays, variables = archive("openai_pixelcnn_pp")
        model = pa.interop.openai_pixelcnn_pp(variables, image_size=(16, 16))
        params = model.factors["image"].params(arrays["image"])
        self.assertAllClose(params, arrays["out/params"], rtol=0, atol=1e-4)
        nats = -model.log_prob(arrays["image"])
        self.assertAllClose(nats, arrays["out/nll_nats_per_image"], rtol=0, atol=2e-2)

    def test_authors_hyper_parameters_are_read_off_the_variables(self):
        deep = pyramid(3, filters=5, embedding_blocks=1, depth=3, num_components=2)
        base = pyramid(1, filters=4, num_components=3)
        for source, variables in (
            (deep, authors_variables(deep, DEPTH_3)),
            small(),
            (base, authors_variables(base)),
        ):
            model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
            self.assert_same(model, source, tolerance=1e-5)

    def test_openai_hyper_parameters_are_read_off_the_variables(self):
        # More and fewer filters than parameters, as 160 and 100 in Salimans et al. (2017).
        for filters, blocks, components in ((6, 2, 3), (24, 1, 1)):
            how = {"blocks": blocks, "num_components": components, "dropout": 0.0}
            source = pa.pixelcnn_pp((8, 8), filters=filters, **how)
            random = np.random.RandomState(0)
            factor = source.factors["image"]
            weights = {x: random.normal(size=y.shape) for x, y in factor.shapes.items()}
            factor = factor.with_weights(weights)
            source = source.with_factor(factor)
            variables = {
                f"{name}/{part}": factor.weights[f"{layer.path}/{part.lower()}"]
                for name, layer in references.openai_layers(factor.network)
                for part in "Vgb"
            }
            model = pa.interop.openai_pixelcnn_pp(variables, image_size=(8, 8))
            self.assert_same(model, source)

    def test_transposed_kernels_of_zeros(self):
        _, variables = small()
        variables["Resnet/scale0/upsample0/g"] = np.zeros(3, np.float32)
        model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
        step = DEPTH_1.index("upsample0")
        kernel = model.factors["8x16"].embedding.stream.steps[step].kernel
        self.assertAllEqual(kernel, np.zeros([3, 3, 3, 3]))

    def test_wrong_variables_of_the_authors_are_named(self):
        _, variables = small()
        build_once(self, "pyramid")
        finite = "Expected finite floats of shape .*{}"
        for name, array, message in (
            ("Resnet/scale0/up_block0_0/conv_aux/", None, "{}V'. Received: none"),
            ("Resnet/scale1/draw_down_right1/", None, "{}conv1/V'. Received: none"),
            ("Resnet/scale1/conv_last/V", None, "{}'. Received: none"),
            ("Resnet/", None, "Resnet/scale.*Received: 0 others"),
            ("Resnet/scale0/upsample0/g", np.zeros(4), finite),
            ("Resnet/scale1/conv_last/V", np.zeros([1, 1, 3, 13]), finite),
            ("Resnet/scale1/conv_last/V", np.zeros([]), finite),
            ("Resnet/scale1/draw_down_right0/conv_aux/V", np.zeros([6, 3]), finite),
            ("Resnet/scale0/conv_first/b", np.zeros(3, np.int32), finite),
            ("Resnet/scale0/conv_first/b", np.full(3, 1e300), finite),
            ("Resnet/scale0/conv_first/b", np.array([None] * 3), finite),
            ("Resnet/scale0/conv_first/V", np.zeros([3, 3, 3, 3]), "{}'.*length 0"),
            ("Resnet/scale0/upsample0/V", np.zeros([3, 3, 3, 3]), "{}'.*length 0"),
            ("Resnet/scale1/conv_first/b", np.zeros(3), "Received: also .*{}"),
        ):
            importer = pa.interop.authors_pyramid
            self.assert_refused(importer, variables, name, array, message, base_size=(4, 8))
        _, variables = archive("authors_pyramid")
        with self.assertRaisesRegex(ValueError, "multiples of 2.*Received: 7 x 8"):
            pa.interop.authors_pyramid(variables, base_size=(7, 8))

    def test_wrong_variables_of_openai_are_named(self):
        _, variables = archive("openai_pixelcnn_pp")
        build_once(self, "pixelcnn_pp")
        for name, array, message in (
            ("model/dense_3/g", None, "{}"),
            ("model/conv2d_7/b", np.full(8, np.nan), "Expected finite.*{}"),
            ("model/extra", np.zeros(1), "{}"),
            ("model/dense_3/V", variables["model/dense_3/V"] * 0, "{}.*length 0"),
            ("model/conv2d_38/V", None, r"24 n \+ 15"),  # another network's
        ):
            importer = pa.interop.openai_pixelcnn_pp
            self.assert_refused(importer, variables, name, array, message)
