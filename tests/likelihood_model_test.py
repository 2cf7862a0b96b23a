"""Tests of what Keras asks of a factor beside training: metrics, files, exports to other runtimes."""

import importlib.util
import unittest
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.serving.signatures import signatures
from tests import helpers

IMAGES = helpers.pictures(3)


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


def arrays_of(model, name, images=IMAGES):
    """What a factor sees, as arrays: dict, field of `Inputs` -> array, of those that there are."""
    condition = None if model.condition is None else np.arange(len(images), dtype=np.int32) - 1
    inputs = model.inputs(images, condition)[name]._asdict()
    return {field: np.asarray(x) for field, x in inputs.items() if x is not None}


@keras.saving.register_keras_serializable(package="tests")
def mean_parameter(images, params):
    assert images.shape[-1] == 3
    return keras.ops.mean(params, axis=(1, 2, 3))


class CompileTest(tf.test.TestCase):
    def test_metrics(self):
        self.enter_context(helpers.eagerly())
        model = helpers.tiny_model()
        factor, inputs = model.factors["image"], [*arrays_of(model, "image").values()]
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
            for images in (IMAGES, helpers.pictures(2, size=(3, 5))):
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
