"""Tests of what the data sets need: TensorFlow and Keras for those of TFDS alone."""

import subprocess
import sys
from unittest import mock

import keras
import tensorflow as tf

from pixelcnn_aux.data import tfds
from tests import helpers

# The package itself imports Keras, which needs a backend: here its place is taken.
CODE = """
import sys, types
package = sys.modules["pixelcnn_aux"] = types.ModuleType("pixelcnn_aux")
package.__path__ = [sys.argv[1]]
for name in ("keras", "tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # any import of it fails
import numpy as np
from PIL import Image
from pixelcnn_aux import data

pixels = np.arange(600, dtype=np.uint16).reshape(10, 5, 4, 3).astype(np.uint8)
np.savez("images.npz", train=pixels)
images = data.load("arrays", "train", (5, 4), image_file="images.npz")
assert np.array_equal(images.pixels, pixels)
with data.Prefetched(images.training_batches(4, seed=0)) as batches:
    assert next(batches).shape == (4, 5, 4, 3)
assert data.load("photos", "test").take([0]).shape == (1, 32, 32, 3)

for name in ("000001.jpg", "162771.jpg", "200000.jpg", "a.png"):
    Image.fromarray(np.zeros([218, 178, 3], np.uint8)).save(name)
for name in ("folder", "celeb_a"):
    images = data.load(name, "train", (16, 16), image_dir=".", cache_dir="cache")
    assert images.take([0]).shape == (1, 16, 16, 3)
assert data.read_image("a.png", (8, 8)).shape == (8, 8, 3)

for name in ("celeb_a", "cifar10"):
    try:
        data.load(name, "train", cache_dir="cache")
    except ImportError as error:
        assert "Expected TensorFlow" in str(error) and "--dataset folder" in str(error), error
    else:
        raise AssertionError("Expected an error that says what is missing.")
"""


class ImportsTest(helpers.TestCase):
    def test_tensorflow_is_asked_for_by_data_sets_of_tfds_alone(self):
        result = subprocess.run(
            [sys.executable, "-c", CODE, helpers.ROOT / "pixelcnn_aux"],
            cwd=helpers.temporary_folder(self),
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_beside_another_backend_tensorflow_leaves_it_the_gpus(self):
        for backend, calls in (("tensorflow", []), ("jax", [mock.call([], "GPU")])):
            with (
                mock.patch.object(keras.backend, "backend", return_value=backend),
                mock.patch.object(tf.config, "set_visible_devices") as set_visible_devices,
            ):
                tfds.builder("cifar10", None)
            self.assertEqual(set_visible_devices.call_args_list, calls)
