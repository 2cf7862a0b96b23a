"""Tests of a factor and its Keras model: weights, what is frozen, the loss, files and exports."""

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
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.serving.signatures import signatures
from tests import custom, helpers

IMAGES = helpers.pictures(4)
GRAYS = pa.auxiliary.Grayscale()(IMAGES)


def gray_factor():
    return helpers.shared_model().factors["grayscale"]


def image_factor():
    return helpers.shared_model().factors["image"]


@functools.cache
def exact_model(centered):
    return helpers.tiny_model(exact=True, centered=centered)


class FactorTest(helpers.TestCase):
    def test_other_dtypes_are_refused(self):
        """16 bits are too few for likelihoods."""
        for dtype in ("float16", "bfloat16"):
            with self.assertRaisesRegex(ValueError, f"Expected dtype .*Received: '{dtype}'"):
                gray_factor().keras_model(dtype)
            with self.assertRaisesRegex(ValueError, f"Expected dtype .*Received: dtype='{dtype}'"):
                helpers.tiny_model(dtype=dtype)

    def test_fitting_changes_g_and_b_alone(self):
        before = image_factor()
        factor = before.fitted_to(Inputs(IMAGES, GRAYS))
        for path, weight in factor.weights.items():
            changed = not np.array_equal(weight, before.weights[path])
            self.assertEqual(changed, path.endswith(("/g", "/b")), path)
        # The last layer's outputs are the parameters.
        params = factor.params(IMAGES, GRAYS)
        self.assertAllClose(np.mean(params, axis=(0, 1, 2)), np.zeros(20), atol=1e-4)
        self.assertAllClose(np.std(params, axis=(0, 1, 2)), np.ones(20), atol=1e-4)

    def test_a_summary_of_layers_whose_parameters_add_up(self):
        two_resolutions = pa.networks.topology.pixelcnn_pp(blocks=1, resolutions=2)
        factor, printed = helpers.tiny_model(topology=two_resolutions).factors["image"], []
        factor.summary(printed.append)
        rows = [line.rsplit(maxsplit=1) for line in "".join(printed).splitlines()[2:]]
        counts = {line: int(count.replace(",", "")) for line, count in rows if count}
        parts = [n for line, n in counts.items() if line.startswith("  ")]
        sizes = {path: weight.size for path, weight in factor.weights.items()}
        own = sum(size for path, size in sizes.items() if path.startswith("network/"))
        self.assertEqual(sum(parts), sum(sizes.values()))
        self.assertEqual(counts["all"], factor.num_parameters)
        self.assertEqual(counts["network (PixelCNN)"], own)
        self.assertLen(counts, len(rows))
        self.assertRegex(rows[-2][0], r"last +H x W x 20$")
        self.assertRegex("".join(counts), "  vertical: down +H/2 x W/2 x 4")

    def test_weights_come_back_from_keras(self):
        """And with them what is frozen; the factor that they came from stays as it was."""
        factor, inputs = image_factor(), Inputs(IMAGES, GRAYS)
        before = factor.log_prob(inputs)
        keras_model = factor.keras_model()
        keras_model.embedding.trainable = False
        for variable in keras_model.by_path.values():
            variable.assign(1.1 * variable + 0.1)
        changed = keras_model.factor()
        self.assertEqual(changed.frozen, ("embedding",))
        self.assertEqual([*changed.weights], [*factor.weights])
        self.assertAllClose(changed.params(inputs), keras_model(inputs), rtol=1e-4, atol=1e-4)
        self.assertNotAllClose(changed.log_prob(inputs), before)
        self.assertAllEqual(factor.log_prob(inputs), before)

    def test_attributes_of_keras_name_the_way_to_them(self):
        with self.assertRaisesRegex(AttributeError, r"'fit', of Keras. Ask factor.keras_model\(\)"):
            _ = image_factor().fit
        with self.assertRaisesRegex(AttributeError, "'Factor' object has no attribute 'fits'"):
            _ = image_factor().fits

    def test_no_images(self):
        for method in ("full", "incremental"):
            params = image_factor().params(IMAGES[:0], GRAYS[:0], method)
            self.assertEqual(params.shape, (0, *IMAGES.shape[1:3], 20))
        with self.assertRaisesRegex(ValueError, "Received: none. Give a batch"):
            image_factor().fitted_to(Inputs(IMAGES[:0], GRAYS[:0]))


def centered_model(condition=None):
    """A new chain of the kind that computes most: exact, and centered on its auxiliary images."""
    return helpers.randomized(helpers.tiny_model(exact=True, centered=True, condition=condition))


def parallel_model():
    """A new chain of one channel, all of which decides groups of pixels, exact and centered too."""
    return helpers.tiny_parallel(helpers.SIZE, channels=1)


def arrays_of(model, name, images=IMAGES[:3]):
    """What a factor sees, as arrays: dict, field of `Inputs` -> array, of those that there are."""
    condition = None if model.condition is None else np.arange(len(images), dtype=np.int32) - 1
    inputs = model.inputs(images, condition)[name]._asdict()
    return {field: np.asarray(x) for field, x in inputs.items() if x is not None}


@keras.saving.register_keras_serializable(package="tests")
def mean_parameter(images, params):
    assert images.shape[-1] == 3
    return keras.ops.mean(params, axis=(1, 2, 3))


class FitTest(helpers.TestCase):
    @parameterized.parameters(None, True, False)
    def test_the_loss_is_what_is_evaluated(self, centered):
        """Of a bound, and of exact factors."""
        model = helpers.shared_model() if centered is None else exact_model(centered)
        factor, inputs = model.factors["image"], model.inputs(IMAGES)["image"]
        keras_model = factor.keras_model()
        bits = -np.mean(factor.log_prob(inputs)) / (IMAGES[0].size * math.log(2.0))
        adam, loss = keras.optimizers.Adam(1e-2), factor.likelihood.bits_per_dim
        loss = loss if centered is None else None  # by default
        keras_model.compile(adam, loss=loss, run_eagerly=True)
        batches = tf.data.Dataset.from_tensors((inputs, IMAGES))
        losses = keras_model.fit(batches, epochs=4, verbose=0).history["loss"]
        self.assertAllClose(losses[0], bits, rtol=1e-5)  # of the weights before the first step
        self.assertLess(losses[-1], losses[0])
        before, after = (x.weights["embedding/first/v"] for x in (factor, keras_model.factor()))
        self.assertNotAllClose(after, before)

    def test_labels_are_no_auxiliary_images(self):
        factor, labels = (
            pa.pixelcnn_pp(filters=4, blocks=1, condition=pa.conditions.Classes(2)),
            [0, 1],
        )
        factor, images = factor.factors["image"], helpers.pictures(2, size=(32, 32))
        for call in (factor.log_prob, lambda *x: factor.keras_model()(x)):
            with self.assertRaisesRegex(ValueError, 'labels as {"images": images, "condition"'):
                call(images, np.array(labels))

    def test_weights_of_images_count(self):
        model = exact_model(True)
        factor, inputs = model.factors["image"], model.inputs(IMAGES[:2])["image"]
        weights = np.array([2.0, 0.0])
        keras_model = factor.keras_model()
        params = keras_model(inputs)
        loss = keras_model.compute_loss(inputs, IMAGES[:2], params, sample_weight=weights)
        bits = -factor.log_prob(inputs)[0] / (IMAGES[0].size * math.log(2.0))
        self.assertAllClose(loss, bits, rtol=1e-5)

    def test_metrics(self):
        self.enter_context(helpers.eagerly())
        model = helpers.tiny_model()
        factor, inputs = model.factors["image"], [*arrays_of(model, "image", IMAGES).values()]
        error, keras_model = keras.metrics.MeanAbsoluteError(), factor.keras_model()
        for metrics in ({"metrics": ["mae"]}, {"weighted_metrics": [[error]]}):
            with self.assertRaisesRegex(ValueError, "Expected metrics as functions .*Leave it out"):
                keras_model.compile("adam", **metrics)
        keras_model.compile("adam", metrics=[mean_parameter], jit_compile=False)
        file = helpers.temporary_folder(self) / "factor.keras"
        keras_model.save(file)
        bits = -np.mean(factor.log_prob(*inputs)) / (IMAGES[0].size * np.log(2.0))
        for compiled in (keras_model, keras.saving.load_model(file)):
            self.assertIsInstance(compiled.optimizer, keras.optimizers.Adam)
            found = compiled.evaluate(tuple(inputs), IMAGES, verbose=0)
            self.assertAllClose(found, [bits, np.mean(factor.params(*inputs))], rtol=1e-5)
        keras_model.compile("adam", loss="mse", metrics=["mae"])  # of targets that are parameters

    def test_what_keras_cannot_do(self):
        keras_model = image_factor().keras_model()
        self.enter_context(mock.patch("importlib.util.find_spec", return_value=None))
        for ask, kind, message in (
            (lambda: keras_model.save("a.h5"), ValueError, "ends in .keras. Received: a.h5"),
            (lambda: keras_model.quantize("int8"), NotImplementedError, "Quantize an export"),
            (lambda: keras_model.export("a", format="onnx"), ImportError, "pip install tf2onnx"),
            (
                lambda: keras_model.export("a", format="openvino"),
                ImportError,
                "pip install openvino",
            ),
        ):
            with self.assertRaisesRegex(kind, message):
                ask()


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


RUNTIMES = {
    "onnx": (".onnx", run_onnx, "onnxruntime"),
    "openvino": (".xml", run_openvino, "openvino"),
    "tf_saved_model": (
        "",
        lambda file, arrays: tf.saved_model.load(file).signatures["serving_default"](**arrays),
        "tensorflow",
    ),
}


def installed(package):
    return importlib.util.find_spec(package) is not None


class ExportTest(helpers.TestCase):
    @parameterized.parameters(*RUNTIMES)
    def test_parameters(self, name):
        """Of images of any size, by factors with and without auxiliary images and a condition."""
        suffix, run, package = RUNTIMES[name]
        if not installed(package):
            self.skipTest(f"There is no {package}.")
        folder, classes = helpers.temporary_folder(self), pa.conditions.Classes(3)
        for condition, key in ((None, "grayscale"), (classes, "image")):
            model = centered_model(condition)
            factor, file = model.factors[key], folder / f"{key}{suffix}"
            factor.keras_model().export(file, format=name, verbose=False)
            for images in (IMAGES[:3], helpers.pictures(2, size=(3, 5))):
                arrays = arrays_of(model, key, images)
                outputs = run(str(file), arrays)
                # OpenVINO also puts out what nothing else in the graph takes, in any order.
                [found] = outputs.values() if len(outputs) == 1 else [outputs["Identity:0"]]
                expected = factor.params(Inputs(**arrays))
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


class FrozenTest(helpers.TestCase):
    @parameterized.parameters(
        (), ("embedding",), ("embedding/first/v",), ("network", "embedding"), ("network/vertical",)
    )
    def test_what_is_frozen_stays_equal_to_the_last_bit(self, *frozen):
        """In `fit` and in `pa.train`; all other weights change."""
        before = helpers.randomize(image_factor()).with_frozen(*frozen)
        model = helpers.tiny_model().with_factor(before)
        with helpers.eagerly():
            keras_model = before.keras_model()
            keras_model.compile("adam")
            keras_model.fit((IMAGES, GRAYS), IMAGES, epochs=2, verbose=0)
            self.assert_frozen(keras_model.factor(), before)
            file = self.folder / "factor.keras"
            keras_model.save(file)
            loaded = keras.saving.load_model(file).factor()
            self.assertEqual(*(list(map(x.is_frozen, x.weights)) for x in (loaded, before)))
            helpers.make_run(self.folder / "first", model)
            settings = pa.Training(epochs=1, steps_per_epoch=2, batch_size=2, learning_rate=1e-2)
            where = {"workdir": self.folder / "run", "init": self.folder / "first"}
            images = helpers.images(4)
            pa.train(model, settings, images, images, **where, factors=["image"])
            self.assert_frozen(model.factors["image"], before)

    def assert_frozen(self, factor, before):
        for path, weight in factor.weights.items():
            self.assertEqual(factor.is_frozen(path), before.is_frozen(path), path)
            is_equal = np.array_equal(weight, before.weights[path])
            self.assertEqual(is_equal, before.is_frozen(path), path)

    def test_other_paths_are_refused(self):
        with self.assertRaisesRegex(
            ValueError, "a path of weights of the factor 'image', .*: 'net'"
        ):
            image_factor().with_frozen("net")


class WrongInputsTest(helpers.TestCase):
    @parameterized.named_parameters(
        ("none", image_factor, (IMAGES,), "auxiliary images: this factor is conditional"),
        ("some", gray_factor, (GRAYS, GRAYS), "no auxiliary images"),
        ("uint16", image_factor, (IMAGES, GRAYS.astype(np.uint16)), "auxiliary images as uint8"),
        ("channels", image_factor, (IMAGES, IMAGES), "auxiliary images with 1 channel"),
        ("bits", image_factor, (IMAGES, GRAYS * 0 + 200), "auxiliary images .*a value of 200"),
        ("rows", image_factor, (IMAGES, GRAYS[:, :2]), r"\[4, 4, 6, 1\] beside.*: \[4, 2, 6, 1\]"),
        ("fewer", image_factor, (IMAGES, GRAYS[:3]), r"\[4, 4, 6, 1\] beside.*: \[3, 4, 6, 1\]"),
    )
    def test_refused(self, factor, inputs, message):
        factor = factor()
        for method in (factor.params, factor.log_prob):
            with self.assertRaisesRegex(ValueError, message):
                method(*inputs)

    def test_others(self):
        image, flat = image_factor(), pa.networks.topology.flat(1)
        coin, centered = custom.Coin(), custom.Coin()
        centered.centered, centered.unit = True, 1.0

        def coins(likelihood, exact=True):
            parts = pa.networks.PixelCNN(flat, 3, 1), pa.networks.Embedding(flat, 3)
            how = {"auxiliary_likelihood": likelihood}
            how["fixed_sum"] = pa.sums.FixedSum([[1]], step=1, num_values=2, exact=exact)
            return pa.Factor(likelihood, *parts, **how)

        mixture = pa.likelihoods.LogisticMixture(1)
        network = pa.networks.PixelCNN(flat, 3, mixture.num_params)
        double = pa.networks.Embedding(pa.networks.topology.super_resolution(1, 1), 3)
        doubling = pa.Factor(mixture, network, double, auxiliary_likelihood=mixture)
        odd, parts = (
            np.zeros([1, 5, 4, 3], np.uint8),
            (image.likelihood, image.definitions["network"]),
        )
        for ask, message in (
            (lambda: image.features(GRAYS * 0 + 16), "auxiliary images .*a value of 16"),
            (lambda: gray_factor().features(GRAYS), "a conditional factor"),
            (lambda: image.log_prob(Inputs(IMAGES, GRAYS, 3)), "no condition.*Received: 3"),
            (lambda: image.params(IMAGES, GRAYS, method="fast"), "method='fast'"),
            (lambda: doubling.params(odd, odd[:, :2, :2]), "multiples of 2.* Received: 5 x 4"),
            (lambda: pa.Factor(*parts, image.definitions["embedding"]), "or neither"),
            (lambda: pa.Factor(*parts, auxiliary_likelihood=image.likelihood), "or neither"),
            (lambda: coins(coin), "a likelihood that has bounds.*Received: Coin"),
            (lambda: coins(coin, exact=False), "a likelihood that has bounds.*Received: Coin"),
            (lambda: coins(centered), "Coin to have bounds, since it is centered"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()

    def test_what_a_graph_does_not_know(self):
        """A number of images may turn out to be the same."""

        def trace(*shapes):
            log_prob = image_factor().log_prob
            traced = tf.function(lambda x, given: log_prob(x, given), autograph=False)
            return traced.get_concrete_function(*(tf.TensorSpec(x, tf.uint8) for x in shapes))

        for batches in ((None, 4), (None, None)):
            nats = trace(*([batch, 4, 6, c] for batch, c in zip(batches, (3, 1))))
            self.assertAllClose(nats(IMAGES, GRAYS), image_factor().log_prob(IMAGES, GRAYS))
        with self.assertRaisesRegex(ValueError, r"Received: \[3, 4, 6, 1\]"):
            trace([4, 4, 6, 3], [3, 4, 6, 1])
        with self.assertRaisesRegex(ValueError, "known.*Received: 4 x None"):
            trace([4, 4, None, 3], [4, 4, 6, 1])
