"""Tests of a factor: a Keras model of the parameters of distributions; its loss, files and exports."""

import functools
import importlib.util
import math
import unittest
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.serving.signatures import signatures
from tests import custom, helpers

IMAGES = helpers.pictures(4)
GRAYS = pa.auxiliary.Grayscale()(IMAGES).numpy()
TWO_RESOLUTIONS = pa.networks.topology.pixelcnn_pp(blocks=1, resolutions=2)


def gray_factor(dtype="float32"):
    return helpers.shared_model(dtype).factors["grayscale"]


def image_factor(dtype="float32"):
    return helpers.shared_model(dtype).factors["image"]


@functools.cache
def halving_factor():
    """A factor, its embedding included, that halves image sides once."""
    return helpers.tiny_model(topology=TWO_RESOLUTIONS).factors["image"]


@functools.cache
def exact_model(centered):
    return helpers.tiny_model(exact=True, centered=centered)


class FactorTest(tf.test.TestCase):
    def test_params_are_of_the_network_without_dropout(self):
        factor = helpers.tiny_model(dropout=0.5).factors["grayscale"]
        params = factor.params(GRAYS)
        self.assertAllEqual(params, factor.params(GRAYS))
        self.assertAllClose(params, factor.network(factor.scaled(GRAYS), training=False), rtol=1e-5)

    def test_images_are_scaled_to_minus_one_and_one(self):
        self.assertAllClose(image_factor().scaled([0, 51, 255]), [-1.0, -0.6, 1.0])
        self.assertAllClose(gray_factor().scaled([0, 3, 15]), [-1.0, -0.6, 1.0])

    def test_features_are_those_of_the_scaled_auxiliary_image(self):
        factor = halving_factor()
        grays = np.arange(2 * 4 * 6).reshape(2, 4, 6, 1).astype(np.uint8) % 16
        features = factor.features(grays)
        self.assertEqual([f.shape.as_list() for f in features], [[2, 4, 6, 4], [2, 2, 3, 4]])
        expected = factor.embedding(grays / np.float32(7.5) - 1)
        for feature, values in zip(features, expected, strict=True):
            self.assertAllClose(feature, values, rtol=1e-5, atol=1e-6)
        with self.assertRaisesRegex(ValueError, "conditional"):
            gray_factor().features(grays)

    def test_params_at_every_size_that_the_down_sampling_divides(self):
        self.enter_context(helpers.eagerly())
        factor = halving_factor()
        for height, width in ((2, 2), (4, 6), (8, 2)):
            images = np.zeros([3, height, width, 3], np.uint8)
            params = factor.params(images, images[..., :1])
            self.assertEqual(params.shape, [3, height, width, factor.likelihood.num_params])
        for height, width in ((4, 5), (3, 4)):
            images = np.zeros([3, height, width, 3], np.uint8)
            with self.assertRaisesRegex(ValueError, f"multiples of 2.*{height} x {width}"):
                factor.params(images, images[..., :1])

    def test_every_float_is_of_the_dtype_asked_for(self):
        factor = image_factor("float64")
        self.assertEqual({weight.dtype for weight in factor.weights}, {"float64"})
        self.assertEqual(factor.params(IMAGES, GRAYS).dtype, tf.float64)
        self.assertEqual(factor.log_prob(IMAGES, GRAYS).dtype, tf.float64)
        self.assertEqual(factor.features(GRAYS)[0].dtype, tf.float64)

    def test_other_dtypes_are_refused(self):
        """Likelihoods do not survive 16 bits, and a network's own dtype would decide about the factor's."""
        network = {"topology": pa.networks.topology.flat(1), "filters": 4}
        other = pa.networks.PixelCNN(**network, num_params=16, dtype="float64")
        message = "Received: float64 of 'pixel_cnn.*a factor of float32"
        with self.assertRaisesRegex(ValueError, message):
            pa.Factor(pa.likelihoods.Categorical(16), other)
        for dtype in ("float16", "bfloat16"):
            with self.assertRaisesRegex(ValueError, f"Expected one dtype .*Received: {dtype} of"):
                helpers.shared_model().new_factor("grayscale", dtype)
        self.addCleanup(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy("float16")
        with self.assertRaisesRegex(ValueError, "Expected one dtype .*Received: float16 of"):
            pa.chain([], helpers.SIZE, network, embedding=None)

    def test_initialize_from_data_changes_g_and_b_alone(self):
        factor = helpers.shared_model().new_factor("image")
        before = factor.get_weights()
        factor.initialize_from_data(IMAGES, GRAYS)
        for weight, old in zip(factor.weights, before, strict=True):
            changed = not np.array_equal(weight.numpy(), old)
            self.assertEqual(changed, weight.name in ("g", "b"), weight.path)
        # The last layer's outputs are the parameters.
        params = factor.params(IMAGES, GRAYS)
        self.assertAllClose(np.mean(params, axis=(0, 1, 2)), np.zeros(20), atol=1e-4)
        self.assertAllClose(np.std(params, axis=(0, 1, 2)), np.ones(20), atol=1e-4)

    def test_a_summary_of_layers_whose_parameters_add_up(self):
        factor, printed = halving_factor(), []
        factor.summary(printed.append)
        rows = [line.rsplit(maxsplit=1) for line in "".join(printed).splitlines()[2:]]
        counts = {line: int(count.replace(",", "")) for line, count in rows if count}
        parts = [n for line, n in counts.items() if line.startswith("  ")]
        self.assertEqual(sum(parts), factor.count_params())
        self.assertEqual(counts["all"], factor.num_parameters)
        self.assertEqual(counts["network (PixelCNN)"], factor.network.count_params())
        self.assertLen(counts, len(rows))
        self.assertRegex(rows[-2][0], r"last \(WeightNormDense\) +H x W x 20$")
        self.assertRegex("".join(counts), "  vertical: down +H/2 x W/2 x 4")

    def test_no_images(self):
        factor = helpers.shared_model().new_factor("image")
        before = factor.get_weights()
        for method in ("full", "incremental"):
            params = factor.params(IMAGES[:0], GRAYS[:0], method)
            self.assertEqual(params.shape, (0, *IMAGES.shape[1:3], factor.likelihood.num_params))
        with self.assertRaisesRegex(ValueError, "Received: none. Give a batch"):
            factor.initialize_from_data(IMAGES[:0], GRAYS[:0])
        self.assertAllEqual(factor.get_weights()[0], before[0])


def centered_model(condition=None):
    """A new chain of the kind that computes most: exact, and centered on its auxiliary images."""
    model = helpers.tiny_model(exact=True, centered=True, condition=condition)
    for seed, factor in enumerate(model.factors.values()):
        helpers.randomize(factor, seed)
    return model


def parallel_model():
    """A new chain of one channel, all of which decides groups of pixels, exact and centered too."""
    small = {"filters": 4, "blocks": 1, "trunk_blocks": 1, "base_filters": 4, "base_blocks": 1}
    model = pa.parallel_pyramid(
        helpers.SIZE, halvings=1, **small, base_parts=2, num_components=2, channels=1
    )
    for seed, factor in enumerate(model.factors.values()):
        helpers.randomize(factor, seed)
    return model


def arrays_of(model, name, images=IMAGES[:3]):
    """What a factor sees, as arrays: dict, field of `Inputs` -> array, of those that there are."""
    condition = None if model.condition is None else np.arange(len(images), dtype=np.int32) - 1
    inputs = model.inputs(images, condition)[name]._asdict()
    return {field: np.asarray(x) for field, x in inputs.items() if x is not None}


@keras.saving.register_keras_serializable(package="tests")
def mean_parameter(images, params):
    assert images.shape[-1] == 3
    return keras.ops.mean(params, axis=(1, 2, 3))


class FitTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(None, True, False)
    def test_the_loss_is_what_is_evaluated(self, centered):
        """Of a bound, and of exact factors."""
        model = helpers.shared_model() if centered is None else exact_model(centered)
        factor, inputs = model.new_factor("image"), model.inputs(IMAGES)["image"]
        before = factor.embedding.get_weights()
        bits = -np.mean(factor.log_prob(inputs)) / (IMAGES[0].size * math.log(2.0))
        # Eagerly, but for one kind: to trace a step takes longer than to take it.
        adam, loss = keras.optimizers.Adam(1e-2), factor.likelihood.bits_per_dim
        loss = loss if centered is None else None  # by default
        factor.compile(adam, loss=loss, run_eagerly=not centered, jit_compile=False)
        batches = tf.data.Dataset.from_tensors((inputs, IMAGES))
        losses = factor.fit(batches, epochs=4, verbose=0).history["loss"]
        self.assertAllClose(losses[0], bits, rtol=1e-5)  # of the weights before the first step
        self.assertLess(losses[-1], losses[0])
        self.assertNotAllClose(factor.embedding.get_weights()[0], before[0])

    def test_weights_of_images_count(self):
        model = exact_model(True)
        factor, inputs = model.factors["image"], model.inputs(IMAGES[:2])["image"]
        weights = np.array([2.0, 0.0])
        loss = factor.compute_loss(inputs, IMAGES[:2], factor(inputs), sample_weight=weights)
        bits = -factor.log_prob(inputs)[0] / (IMAGES[0].size * math.log(2.0))
        self.assertAllClose(loss, bits, rtol=1e-5)

    def test_metrics(self):
        self.enter_context(helpers.eagerly())
        model = helpers.tiny_model()
        factor, inputs = model.factors["image"], [*arrays_of(model, "image", IMAGES).values()]
        error = keras.metrics.MeanAbsoluteError()
        for metrics in ({"metrics": ["mae"]}, {"weighted_metrics": [[error]]}):
            with self.assertRaisesRegex(ValueError, "Expected metrics as functions .*Leave it out"):
                factor.compile("adam", **metrics)
        factor.compile("adam", metrics=[mean_parameter], jit_compile=False)
        file = helpers.temporary_folder(self) / "factor.keras"
        factor.save(file)
        bits = -np.mean(factor.log_prob(*inputs)) / (IMAGES[0].size * np.log(2.0))
        for compiled in (factor, keras.saving.load_model(file)):
            self.assertIsInstance(compiled.optimizer, keras.optimizers.Adam)
            found = compiled.evaluate(tuple(inputs), IMAGES, verbose=0)
            self.assertAllClose(found, [bits, np.mean(factor.params(*inputs))], rtol=1e-5)
        factor.compile("adam", loss="mse", metrics=["mae"])  # of targets that are parameters

    def test_what_keras_cannot_do(self):
        factor = helpers.shared_model().factors["image"]
        with self.assertRaisesRegex(ValueError, "ends in .keras. Received: factor.h5"):
            factor.save("factor.h5")
        with self.assertRaisesRegex(NotImplementedError, "Quantize an export"):
            factor.quantize("int8")


def run_onnx(file, arrays):
    """dict, name -> array, of all outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, arrays)))


def run_openvino(file, arrays):
    import openvino

    # By default it computes in bfloat16 where the processor has that.
    compiled = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {name: x for output, x in compiled(arrays).items() for name in output.names}


def run_tensorflow(file, arrays):
    return tf.saved_model.load(file).signatures["serving_default"](**arrays)


RUNTIMES = {
    "onnx": (".onnx", run_onnx, "onnxruntime"),
    "openvino": (".xml", run_openvino, "openvino"),
    "tf_saved_model": ("", run_tensorflow, "tensorflow"),
}


def installed(package):
    return importlib.util.find_spec(package) is not None


class ExportTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*RUNTIMES)
    def test_parameters(self, name):
        """Of images of any size, of all kinds of factors."""
        suffix, run, package = RUNTIMES[name]
        if not installed(package):
            self.skipTest(f"There is no {package}.")
        folder, models = helpers.temporary_folder(self), {"": centered_model()}
        models["of_classes"] = centered_model(pa.conditions.Classes(3))
        factors = [(kind, factor) for kind, x in models.items() for factor in x.factors.values()]
        for kind, factor in factors[:3]:
            file = folder / f"{factor.name}{kind}{suffix}"
            factor.export(file, format=name, verbose=False)
            for images in (IMAGES[:3], helpers.pictures(2, size=(3, 5))):
                arrays = arrays_of(models[kind], factor.name, images)
                outputs = run(str(file), arrays)
                # OpenVINO also puts out what nothing else in the graph takes, in any order.
                [found] = outputs.values() if len(outputs) == 1 else [outputs["Identity:0"]]
                expected = factor.params(Inputs(**arrays)).numpy()
                self.assertAllClose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())

    @parameterized.parameters(centered_model, parallel_model)
    @unittest.skipUnless(installed("tf2onnx") and installed("onnxruntime"), "There is no ONNX.")
    def test_likelihoods_by_onnx(self, make):
        """They are computed by operations that ONNX has; those of images that a sum rules out are -inf."""
        import tf2onnx

        model, file = make(), str(helpers.temporary_folder(self) / "log_prob.onnx")
        images = IMAGES[..., : model.likelihood.num_channels]
        _, functions = signatures(model, names=["log_prob"])
        spec = [tf.TensorSpec([None, *images.shape[1:]], tf.uint8, "image")]
        function = tf.function(lambda image: functions["log_prob"](image=image), spec)
        tf2onnx.convert.from_function(function, spec, output_path=file)
        found = run_onnx(file, {"image": images})
        for name, nats in model.log_probs(images).items():
            self.assertAllClose(found[f"log_prob_{name}"], nats, rtol=1e-5, atol=0)

    @unittest.skipUnless(installed("openvino"), "There is no OpenVINO.")
    def test_likelihoods_by_openvino(self):
        model, folder = centered_model(), str(helpers.temporary_folder(self))
        module, functions = signatures(model, names=["log_prob"])
        tf.saved_model.save(module, folder, functions)
        import openvino

        found = run_openvino(openvino.convert_model(folder), {"image": IMAGES})
        for name, nats in model.log_probs(IMAGES).items():
            self.assertAllClose(found[f"log_prob_{name}"], nats, rtol=1e-5, atol=0)

    def test_without_the_package(self):
        factor = helpers.shared_model().factors["image"]
        with mock.patch("importlib.util.find_spec", return_value=None):
            for name, package in (("onnx", "tf2onnx"), ("openvino", "openvino")):
                with self.assertRaisesRegex(ImportError, f"pip install {package}"):
                    factor.export("factor", format=name)


class WrongInputsTest(parameterized.TestCase, tf.test.TestCase):
    @parameterized.named_parameters(
        ("floats", image_factor, (IMAGES / 1.0, GRAYS), "images as uint8.*Received: float64"),
        ("grays", image_factor, (GRAYS, GRAYS), "images with 3 channels.*, 1]"),
        ("colors", gray_factor, (IMAGES,), "images with 1 channel.*, 3]"),
        ("values", gray_factor, (GRAYS * 0 + 16,), "0 to 15. Received: a value of 16"),
        ("none", image_factor, (IMAGES,), "auxiliary images: this factor is conditional"),
        ("some", gray_factor, (GRAYS, GRAYS), "no auxiliary images"),
        ("int32", image_factor, (IMAGES, GRAYS.astype(np.int32)), "auxiliary images as uint8"),
        ("channels", image_factor, (IMAGES, IMAGES), "auxiliary images with 1 channel"),
        ("bits", image_factor, (IMAGES, GRAYS * 0 + 200), "auxiliary images .*a value of 200"),
        ("rows", image_factor, (IMAGES, GRAYS[:, :2]), r"\[4, 4, 6, 1\] beside.*: \[4, 2, 6, 1\]"),
        ("fewer", image_factor, (IMAGES, GRAYS[:3]), r"\[4, 4, 6, 1\] beside.*: \[3, 4, 6, 1\]"),
    )
    def test_refused(self, factor, inputs, message):
        factor = factor()
        for method in (factor.params, factor.log_prob, factor.initialize_from_data):
            with self.assertRaisesRegex(ValueError, message):
                method(*inputs)

    def test_others(self):
        image, flat = image_factor(), pa.networks.topology.flat(1)
        mixture = pa.likelihoods.LogisticMixture(1)
        network = pa.networks.PixelCNN(flat, 3, mixture.num_params)
        double = pa.networks.Embedding(pa.networks.topology.super_resolution(1, 1), 3)
        doubling = pa.Factor(mixture, network, double, auxiliary_likelihood=mixture)
        odd, parts = np.zeros([1, 5, 4, 3], np.uint8), (image.likelihood, image.network)
        for ask, message in (
            (lambda: image.features(GRAYS * 0 + 16), "auxiliary images .*a value of 16"),
            (lambda: gray_factor().features(GRAYS), "a conditional factor"),
            (lambda: image.log_prob(Inputs(IMAGES, GRAYS, 3)), "no condition.*Received: 3"),
            (lambda: image.params(IMAGES, GRAYS, method="fast"), "method='fast'"),
            (lambda: doubling.params(odd, odd[:, :2, :2]), "multiples of 2.* Received: 5 x 4"),
            (lambda: pa.Factor(*parts, image.embedding), "or neither"),
            (lambda: pa.Factor(*parts, auxiliary_likelihood=image.likelihood), "or neither"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()

    def test_what_a_graph_does_not_know(self):
        """A number of images may turn out to be the same."""

        def trace(*shapes):
            traced = tf.function(image_factor().log_prob, autograph=False)
            return traced.get_concrete_function(*(tf.TensorSpec(x, tf.uint8) for x in shapes))

        for batches in ((None, 4), (None, None)):
            nats = trace(*([batch, 4, 6, c] for batch, c in zip(batches, (3, 1))))
            self.assertAllClose(nats(IMAGES, GRAYS), image_factor().log_prob(IMAGES, GRAYS))
        with self.assertRaisesRegex(ValueError, r"Received: \[3, 4, 6, 1\]"):
            trace([4, 4, 6, 3], [3, 4, 6, 1])
        with self.assertRaisesRegex(ValueError, "known.*Received: 4 x None"):
            trace([4, 4, None, 3], [4, 4, 6, 1])

    def test_a_fixed_sum_of_a_likelihood_without_bounds(self):
        network = pa.networks.PixelCNN(pa.networks.topology.flat(1), 3, 1)
        embedding = pa.networks.Embedding(pa.networks.topology.flat(1), 3)
        coin = custom.Coin()
        for exact in (False, True):
            fixed_sum = pa.sums.FixedSum([[1]], step=1, num_values=2, exact=exact)
            with self.assertRaisesRegex(ValueError, "a likelihood that has bounds.*Received: Coin"):
                pa.Factor(coin, network, embedding, auxiliary_likelihood=coin, fixed_sum=fixed_sum)
        coin.centered, coin.unit = True, 1.0
        with self.assertRaisesRegex(ValueError, "Coin to have bounds, since it is centered"):
            pa.Factor(coin, network, embedding, auxiliary_likelihood=coin, fixed_sum=fixed_sum)
