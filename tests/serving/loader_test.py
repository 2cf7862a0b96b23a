"""Tests of the loader: answers as in Python, and what becomes of bad requests."""

import numpy as np
import tensorflow as tf

from tests import helpers
from tests.serving import loader

SPEC = tf.TensorSpec


class Demo(tf.Module):
    def __init__(self):
        super().__init__()
        self.weights = tf.Variable([[2.0], [-1.0]])

    @tf.function(
        input_signature=[
            SPEC([None, 2], tf.float32, "features"),
            SPEC([None, None, 1], tf.uint8, "image"),
            SPEC([], tf.int32, "length"),
        ]
    )
    def compute(self, features, image, length):
        # Of all that may go wrong: none, a NUL and a newline, and too long to lie in the TF_TString itself.
        strings = tf.stack([[""], ["a\0\nb"], [tf.strings.reduce_join(["long"] * 100)]])
        return {
            "product": features @ self.weights,
            "negative": 255 - image,
            "range": tf.range(length),
            "png": tf.io.encode_png(image),
            "strings": strings,
        }

    @tf.function(input_signature=[SPEC(None, tf.int32, "pair")])
    def check(self, pair):
        pair = tf.ensure_shape(pair, [2])
        tf.debugging.assert_less(pair[0], pair[1], "pair must increase")
        return {"difference": pair[1] - pair[0]}

    @tf.function(input_signature=[SPEC([2], tf.int32, "pair")])
    def add(self, pair):
        return {"sum": tf.reduce_sum(pair)}

    @tf.function(input_signature=[SPEC([None], tf.int32, "x")])
    def increment(self, x):
        return {"x": tf.numpy_function(lambda x: x + 1, [x], tf.int32)}


class RunTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.demo, cls.export_dir = Demo(), helpers.temporary_folder(cls)
        names = ["compute", "check", "add", "increment"]
        signatures = {name: getattr(cls.demo, name) for name in names}
        tf.saved_model.save(cls.demo, str(cls.export_dir), signatures)

    def test_computes_what_python_computes(self):
        random, requests = np.random.default_rng(0), []
        for batch, height, width, length in [(1, 2, 3, 4), (3, 1, 5, 0), (0, 4, 2, 1)]:
            inputs = {
                "features": random.integers(-9, 9, (batch, 2)).astype(np.float32),
                "image": random.integers(0, 256, (height, width, 1)).astype(np.uint8),
                "length": np.int32(length),
            }
            requests.append(("compute", inputs))
        served = loader.run(self.export_dir, requests)
        for (_, inputs), result in zip(requests, served.results, strict=True):
            self.assertEqual((result.code, result.message), ("OK", ""))
            expected = self.demo.compute(**inputs)
            self.assertEqual(result.outputs.keys(), expected.keys())
            for key, array in result.outputs.items():
                self.assertEqual(array.dtype, expected[key].dtype.as_numpy_dtype)
                self.assertAllEqual(array, expected[key])
        self.assertBetween(served.load_seconds, 1e-6, 60)
        self.assertBetween(served.results[0].seconds, 1e-6, 60)
        self.assertGreater(served.peak_bytes, 2**25)

    def test_a_bad_request_is_answered_and_the_next_one_served(self):
        bad = [
            ("check", {"pair": np.array([5, 1], np.int32)}, "pair must increase"),
            ("check", {"pair": np.array([1, 2, 3], np.int32)}, r"\[3\] is not compatible .* \[2\]"),
            ("check", {"pair": np.array([1, 5], np.float32)}, "int32 but float"),
            ("check", {}, "must feed a value .* 'check_pair'"),
            # Of Python nothing is there.
            ("increment", {"x": np.zeros(1, np.int32)}, "No OpKernel was registered .* 'PyFunc'"),
        ]
        good = ("check", {"pair": np.array([1, 5], np.int32)})
        requests = [request for name, inputs, _ in bad for request in ((name, inputs), good)]
        results = loader.run(self.export_dir, requests).results
        for (*_, message), refused, served in zip(bad, results[::2], results[1::2], strict=True):
            self.assertEqual((refused.code, refused.outputs), ("INVALID_ARGUMENT", {}))
            self.assertRegex(refused.message, message)
            self.assertEqual((served.code, served.outputs), ("OK", {"difference": 4}))

    def test_shapes_are_for_the_graph_to_check(self):
        [result] = loader.run(self.export_dir, [("add", {"pair": np.ones(3, np.int32)})]).results
        self.assertEqual((result.code, result.outputs), ("OK", {"sum": 3}))

    def test_no_model(self):
        with self.assertRaisesRegex(RuntimeError, "Could not find SavedModel"):
            loader.run(self.export_dir / "none", [])

    def test_ops_of_the_graph_and_of_its_functions(self):
        ops = loader.graph_ops(self.export_dir)
        self.assertContainsSubset({"Placeholder", "RestoreV2", "PyFunc", "EnsureShape"}, ops)


if __name__ == "__main__":
    tf.test.main()
