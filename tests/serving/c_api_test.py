"""Tests of running SavedModels without Python: answers as in Python, and what becomes of bad requests."""

import resource
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux.testing import c_api
from tests import helpers

SPEC = tf.TensorSpec


class Demo(tf.Module):
    def __init__(self):
        super().__init__()
        self.weights = tf.Variable([[2.0], [-1.0]])
        self.count = tf.Variable(0)

    @tf.function(
        input_signature=[
            SPEC([None, 2], tf.float32, "features"),
            SPEC([None, None, 1], tf.uint8, "image"),
            SPEC([], tf.int32, "length"),
        ]
    )
    def compute(self, features, image, length):
        range_ = tf.range(length)
        return {
            "product": features @ self.weights,
            "negative": 255 - image,
            "range": range_,
            "wide": tf.cast(range_, tf.int64) * 2**40,
            "even": range_ % 2 == 0,
            "half": tf.cast(features, tf.bfloat16) * 0.3,
        }

    @tf.function(input_signature=[SPEC([None, None, 1], tf.uint8, "image")])
    def encode(self, image):
        # Of all that may go wrong: none, a NUL and a newline, and too long to lie in the TF_TString itself.
        strings = tf.stack([[""], ["a\0\nb"], [tf.strings.reduce_join(["long"] * 100)]])
        return {"png": tf.io.encode_png(image), "strings": strings}

    @tf.function(input_signature=[SPEC(None, tf.int32, "pair")])
    def check(self, pair):
        pair = tf.ensure_shape(pair, [2])
        tf.debugging.assert_less(pair[0], pair[1], "pair must increase")
        return {"difference": pair[1] - pair[0]}

    @tf.function(input_signature=[SPEC([2], tf.int32, "pair")])
    def add(self, pair):
        return {"sum": tf.reduce_sum(pair)}

    @tf.function(input_signature=[])
    def read_missing(self):
        return {"contents": tf.io.read_file("/no/such/file")}

    @tf.function(input_signature=[])
    def tick(self):
        return {"count": self.count.assign_add(1)}


class WithPython(tf.Module):
    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(1.0)

    @tf.function(input_signature=[SPEC([None, 2], tf.float32, "x"), SPEC(None, tf.uint8, "bytes")])
    def increment(self, x, bytes):
        incremented = tf.numpy_function(lambda x: x + 1, [x], tf.float32)
        return {"x": self.weights * incremented, "bytes": tf.ensure_shape(bytes, [])}


def export(module, folder, *names):
    tf.saved_model.save(module, str(folder), signatures={n: getattr(module, n) for n in names})


class RunTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.program = helpers.build_loader(cls.folder)
        cls.demo = Demo()
        cls.export_dir = cls.folder / "demo"
        names = ["compute", "encode", "check", "add", "read_missing", "tick"]
        export(cls.demo, cls.export_dir, *names)

    def run_(self, *requests):
        return c_api.run(self.program, self.export_dir, requests)

    def assert_serves(self, requests):
        """Asserts that all of them are answered as Python answers them."""
        for (name, inputs), result in zip(requests, self.run_(*requests).results, strict=True):
            self.assertEqual((result.code, result.message), ("OK", ""))
            expected = getattr(self.demo, name)(**inputs)
            self.assertEqual(result.outputs.keys(), expected.keys())
            for key, array in result.outputs.items():
                self.assertEqual(array.dtype, expected[key].dtype.as_numpy_dtype)
                self.assertAllEqual(array, expected[key])

    def test_computes_what_python_computes(self):
        random = np.random.default_rng(0)
        requests = []
        for batch, height, width, length in [(1, 2, 3, 4), (3, 1, 5, 0), (0, 0, 2, 1)]:
            inputs = {
                "features": random.integers(-9, 9, (batch, 2)).astype(np.float32),
                "image": random.integers(0, 256, (height, width, 1)).astype(np.uint8),
                "length": np.int32(length),
            }
            requests.append(("compute", inputs))
        self.assert_serves(requests)

    def test_strings(self):
        image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
        self.assert_serves([("encode", {"image": image})])

    def test_a_bad_request_is_answered_and_the_next_one_served(self):
        def pair(*values, dtype=np.int32):
            return {"pair": np.array(values, dtype)}

        bad = [
            ("check", pair(5, 1), "INVALID_ARGUMENT", "pair must increase"),
            ("check", pair(1, 2, 3), "INVALID_ARGUMENT", r"\[3\] is not compatible .* \[2\]"),
            ("check", pair(1, 5, dtype=np.float32), "INVALID_ARGUMENT", "int32 but float"),
            ("check", {}, "INVALID_ARGUMENT", "must feed a value .* 'check_pair'"),
            ("read_missing", {}, "NOT_FOUND", "/no/such/file"),
        ]
        good = ("check", pair(1, 5))
        requests = [request for name, inputs, *_ in bad for request in ((name, inputs), good)]
        results = self.run_(*requests).results
        for (_, _, code, message), refused, served in zip(bad, results[::2], results[1::2]):
            self.assertEqual((refused.code, refused.outputs), (code, {}))
            self.assertRegex(refused.message, message)
            self.assertEqual((served.code, served.outputs), ("OK", {"difference": 4}))

    def test_shapes_are_for_the_graph_to_check(self):
        (result,) = self.run_(("add", {"pair": np.ones(3, np.int32)})).results
        self.assertEqual((result.code, result.outputs), ("OK", {"sum": 3}))

    def test_one_session_serves_all_requests_of_a_process(self):
        for _ in range(2):
            results = self.run_(*[("tick", {})] * 3).results
            self.assertEqual([int(result.outputs["count"]) for result in results], [1, 2, 3])

    def test_what_the_process_took(self):
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        served = self.run_(("tick", {}))
        self.assertBetween(served.load_seconds, 1e-6, 60)
        self.assertBetween(served.results[0].seconds, 1e-6, 60)
        self.assertGreater(served.peak_bytes, 2**25)
        self.assertLess(served.peak_bytes, peak)  # not Python's, which the process was forked from

    def test_failures_of_the_process(self):
        with self.assertRaisesRegex(RuntimeError, "Could not find SavedModel"):
            c_api.run(self.program, self.folder / "none", [])
        with self.assertRaisesRegex(RuntimeError, "inputs of dtype 7 are not supported"):
            self.run_(("check", {"pair": np.array(["1", "5"], object)}))

    def test_python_in_the_graph_is_of_no_use(self):
        export(WithPython(), self.folder / "python", "increment")
        request = ("increment", {"x": np.zeros([1, 2], np.float32), "bytes": np.uint8(0)})
        (result,) = c_api.run(self.program, self.folder / "python", [request]).results
        self.assertEqual(result.code, "INVALID_ARGUMENT")
        self.assertRegex(result.message, "No OpKernel was registered to support Op 'PyFunc'")


class ReadTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.export_dir = helpers.temporary_folder(cls)
        export(WithPython(), cls.export_dir, "increment")

    def test_signature(self):
        inputs, outputs = c_api.signature(self.export_dir, "increment")
        expected = {
            "x": SPEC([None, 2], tf.float32, "increment_x:0"),
            "bytes": SPEC(None, tf.uint8, "increment_bytes:0"),
        }
        self.assertEqual(inputs, expected)
        self.assertEqual(outputs.keys(), {"x", "bytes"})
        self.assertEqual((outputs["x"].dtype, outputs["x"].shape.rank), (tf.float32, None))
        self.assertEqual((outputs["bytes"].dtype, outputs["bytes"].shape.rank), (tf.uint8, 0))
        self.assertNotEqual(outputs["x"].name, outputs["bytes"].name)

    def test_a_signature_that_is_not_there(self):
        with self.assertRaisesRegex(KeyError, "serving_default"):
            c_api.signature(self.export_dir)

    def test_ops_of_the_graph_and_of_its_functions(self):
        ops = c_api.graph_ops(self.export_dir)
        self.assertContainsSubset({"Placeholder", "RestoreV2"}, ops)
        self.assertContainsSubset({"PyFunc", "EnsureShape", "Mul"}, ops)
        self.assertNotIn("MatMul", ops)


class BuildTest(tf.test.TestCase):
    def test_is_refused_without_a_compiler_or_a_library(self):
        with mock.patch("shutil.which", return_value=None):
            with self.assertRaisesRegex(RuntimeError, "Expected gcc"):
                c_api.build(self.get_temp_dir())
        with (
            mock.patch("shutil.which", return_value="gcc"),
            mock.patch("tensorflow.sysconfig.get_lib", return_value=self.get_temp_dir()),
        ):
            with self.assertRaisesRegex(RuntimeError, "with libtensorflow_cc"):
                c_api.build(self.get_temp_dir())


if __name__ == "__main__":
    tf.test.main()
