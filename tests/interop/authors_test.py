"""Tests of the importer of the authors' pyramid against numbers of their code."""

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import layers
from pixelcnn_aux.interop import authors
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


def kernels_and_biases(model):
    """All that the numbers of a model depend on, beside its description."""
    for factor in model.factors.values():
        for layer in layers.normalized_layers(factor):
            yield layers.WeightNorm.kernel(layer)
            yield layer.b


class AuthorsPyramidTest(tf.test.TestCase):
    def test_agrees_with_the_reference_numbers(self):
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

    def test_reads_every_hyper_parameter_off_the_variables(self):
        for names, source in (
            (DEPTH_3, pyramid(3, filters=5, embedding_blocks=1, depth=3, num_components=2)),
            (DEPTH_1, pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1)),
            ((), pyramid(1, filters=4, num_components=3)),
        ):
            with self.subTest(names=names):
                variables = authors_variables(source, names)
                model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
                self.assertEqual(model.description(), source.description())
                for found, expected in zip(
                    kernels_and_biases(model), kernels_and_biases(source), strict=True
                ):
                    self.assertAllClose(found, expected, rtol=1e-5)

    def test_transposed_kernels_of_zeros(self):
        source = pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1)
        variables = authors_variables(source, DEPTH_1)
        variables["Resnet/scale0/upsample0/g"] = np.zeros(3, np.float32)
        model = pa.interop.authors_pyramid(variables, base_size=(4, 8))
        kernel = model.factors["8x16"].embedding.stream.steps[DEPTH_1.index("upsample0")].kernel()
        self.assertAllEqual(kernel, np.zeros([3, 3, 3, 3]))

    def test_names_the_variable_that_is_wrong(self):
        variables = authors_variables(
            pyramid(2, filters=3, embedding_blocks=2, depth=1, num_components=1), DEPTH_1
        )

        build_once(self, authors, "pyramid")
        finite = "Expected finite floats of shape .*{}"
        for name, array, message in (
            # Without those whose names begin so.
            ("Resnet/scale0/up_block1_0/conv2/g", None, "{}'. Received: none"),
            ("Resnet/scale0/up_block0_0/conv_aux/", None, "{}V'. Received: none"),
            ("Resnet/scale0/up_block0_1/", None, "{}conv1/V'. Received: none"),
            ("Resnet/scale1/draw_down_right1/", None, "{}conv1/V'. Received: none"),
            ("Resnet/scale1/conv_last/V", None, "{}'. Received: none"),
            ("Resnet/", None, "Resnet/scale.*Received: 0 others"),
            # With another array in its place.
            ("Resnet/scale0/upsample0/g", np.zeros(4), finite),
            ("Resnet/scale0/draw_down0/conv1/V", np.zeros([3, 3, 6, 4]), finite),
            ("Resnet/scale1/conv_last/V", np.zeros([1, 1, 3, 13]), finite),
            ("Resnet/scale1/conv_last/V", np.zeros([]), finite),
            ("Resnet/scale1/draw_down_right0/conv_aux/V", np.zeros([6, 3]), finite),
            ("Resnet/scale0/conv_first/b", np.zeros(3, np.int32), finite),
            ("Resnet/scale0/conv_first/b", np.full(3, np.inf), finite),
            ("Resnet/scale0/conv_first/b", np.full(3, 1e300), finite),
            ("Resnet/scale0/conv_first/b", np.array([None] * 3), finite),
            ("Resnet/scale0/conv_first/V", np.zeros([3, 3, 3, 3]), "{}'.*length 0"),
            ("Resnet/scale0/upsample0/V", np.zeros([3, 3, 3, 3]), "{}'.*length 0"),
            # With one besides.
            ("Resnet/scale0/upsample1/b", np.zeros(3), "Received: also .*{}"),
            ("Resnet/scale1/conv_first/b", np.zeros(3), "Received: also .*{}"),
            ("step", np.zeros(3), "Received: also .*{}"),
        ):
            changed = {k: v for k, v in variables.items() if not k.startswith(name)}
            if array is not None:
                changed[name] = array
            with self.subTest(name=name, message=message):
                with self.assertRaisesRegex(ValueError, message.format(name)):
                    pa.interop.authors_pyramid(changed, base_size=(4, 8))

    def test_a_base_that_the_embeddings_cannot_halve(self):
        _, variables = archive("authors_pyramid")
        with self.assertRaisesRegex(ValueError, "multiples of 2.*Received: 7 x 8"):
            pa.interop.authors_pyramid(variables, base_size=(7, 8))
