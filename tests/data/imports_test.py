"""Tests of what the data sets and their programs need: TensorFlow and Keras for those of TFDS alone."""

import os
import subprocess
import sys
from unittest import mock

import tensorflow as tf

from pixelcnn_aux.data import tfds
from tests import helpers

CODE = """
import sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name in ("keras", "matplotlib", "tensorflow", "tensorflow_probability", "tifffile"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
import numpy as np
from PIL import Image
from pixelcnn_aux import data, image_grid, progress
from pixelcnn_aux.commands import plots, sample, score
from pixelcnn_aux.data import lossless_files

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
assert "skimage" not in sys.modules
try:
    plots.figure()
except ImportError as error:
    assert "pip install matplotlib" in str(error), error
else:
    raise AssertionError("Expected an error that says what is missing.")

image_grid.write("grid.png", image_grid.labeled([("train", images.take([0]))]))
progress.progress_bar(1)(1)
"""


class ImportsTest(helpers.TestCase):
    def test_tensorflow_is_asked_for_by_data_sets_of_tfds_alone(self):
        result = subprocess.run(
            [sys.executable, "-c", CODE],
            cwd=helpers.temporary_folder(self),
            env={**os.environ, "PYTHONPATH": str(helpers.ROOT)},
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_beside_another_backend_tensorflow_leaves_it_the_gpus(self):
        for backend, calls in (("tensorflow", []), ("jax", [mock.call([], "GPU")])):
            with (
                mock.patch.object(tf.keras.backend, "backend", return_value=backend),
                mock.patch.object(tf.config, "set_visible_devices") as set_visible_devices,
            ):
                tfds.builder("cifar10", None)
            self.assertEqual(set_visible_devices.call_args_list, calls)
