"""Tests of the photographs: which are held out, and where the crops come from."""

import importlib.util

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux import data
from pixelcnn_aux.data import photos
from tests.data.helpers import everything


class PhotosTest(tf.test.TestCase):
    def test_sizes(self):
        for split, count in (("train", 8832), ("validation", 120), ("test", 120)):
            images = data.load("photos", split)
            self.assertEqual((images.num_images, images.image_size), (count, (32, 32)))
        images = data.load("photos", "test", image_size=(16, 64))
        self.assertEqual(next(iter(images.batches(2))).shape, (2, 16, 64, 3))

    def test_scenes_are_held_out(self):
        files = [name for split in data.SPLITS for name in photos.PHOTOS[split]]
        self.assertLen(set(files), len(files))
        motorcycles = {name for name in files if name.startswith("motorcycle")}
        self.assertLen(motorcycles, 2)
        self.assertContainsSubset(motorcycles, photos.PHOTOS["train"])

    def photo(self, name):
        folder = importlib.util.find_spec("skimage").submodule_search_locations[0]
        return np.asarray(Image.open(f"{folder}/data/{name}").convert("RGB"))

    def test_crops_are_those_of_the_photographs(self):
        crops = everything(data.load("photos", "test").batches(64))
        self.assertLen(np.unique(crops.reshape(len(crops), -1), axis=0), len(crops))
        # The astronaut, 512 x 512, comes first in training: 29 rows of 29 crops, 8 pixels apart.
        half = self.photo("astronaut.png").reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        crops = everything(data.load("photos", "train").batches(512, num_images=29**2))
        self.assertAllEqual(crops[4 * 29 + 3], np.round(half[32:64, 24:56]))

    def test_squares_are_the_middles_of_the_photographs(self):
        squares = photos.squares(32)
        self.assertEqual((squares.shape, squares.dtype), ((9, 32, 32, 3), np.uint8))
        means = self.photo("astronaut.png").reshape(32, 16, 32, 16, 3).mean(axis=(1, 3))
        self.assertAllEqual(squares[2], np.round(means))
        middle = self.photo("chelsea.png")[:, 75:375]  # of 300 x 451
        self.assertAllClose(np.mean(squares[0]), np.mean(middle), atol=0.5)
