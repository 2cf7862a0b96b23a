"""Tests of what the data sets need: without TensorFlow and Keras all but those that decode files is there."""

import pathlib
import subprocess
import sys
from unittest import mock

import keras
import tensorflow as tf

from pixelcnn_aux.data import lazy
from tests import helpers

PACKAGE = pathlib.Path(__file__).parents[2] / "pixelcnn_aux"

# The package itself imports Keras, which needs a backend: here its place is taken.
CODE = """
import sys, types
package = sys.modules["pixelcnn_aux"] = types.ModuleType("pixelcnn_aux")
package.__path__ = [sys.argv[1]]
for name in ("keras", "tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # any import of it fails
import numpy as np
from pixelcnn_aux import data

pixels = np.arange(600, dtype=np.uint16).reshape(10, 5, 4, 3).astype(np.uint8)
np.savez("images.npz", train=pixels)
images = data.load("arrays", "train", (5, 4), image_file="images.npz")
assert np.array_equal(images.pixels, pixels)
with data.Prefetched(images.training_batches(4, seed=0)) as batches:
    assert next(batches).shape == (4, 5, 4, 3)
assert data.load("photos", "test").take([0]).shape == (1, 32, 32, 3)

open("a.png", "wb").close()
for load in (
    lambda: data.load("folder", "train", image_dir=".", cache_dir="cache"),
    lambda: data.load("celeb_a", "train", cache_dir="cache"),
    lambda: data.load("cifar10", "train"),
    lambda: data.read_image("a.png", (8, 8)),
):
    try:
        load()
    except ImportError as error:
        assert "Expected TensorFlow" in str(error) and "--dataset arrays" in str(error), error
    else:
        raise AssertionError("Expected an error that says what is missing.")
"""


class ImportsTest(tf.test.TestCase):
    def test_tensorflow_is_asked_for_where_files_are_decoded_alone(self):
        result = subprocess.run(
            [sys.executable, "-c", CODE, PACKAGE],
            cwd=helpers.temporary_folder(self),
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_beside_another_backend_tensorflow_leaves_it_the_gpus(self):
        for backend, calls in (("tensorflow", []), ("jax", [mock.call([], "GPU")])):
            lazy.tensorflow.cache_clear()
            self.addCleanup(lazy.tensorflow.cache_clear)
            with (
                mock.patch.object(keras.backend, "backend", return_value=backend),
                mock.patch.object(tf.config, "set_visible_devices") as set_visible_devices,
            ):
                self.assertIs(lazy.tensorflow(), tf)
            self.assertEqual(set_visible_devices.call_args_list, calls)


if __name__ == "__main__":
    tf.test.main()
