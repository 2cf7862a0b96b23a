"""Holds what models compute from given seeds and images to numbers recorded in tests/data/recorded.npz.

A change that is to change them records anew, and says so: python -m tests.recorded_test --record.
"""

import pathlib
import sys
import tempfile

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import data, training
from tests import helpers

FILE = pathlib.Path(__file__).parent / "data" / "recorded.npz"
SIZE = (8, 8)
IMAGES = helpers.pictures(4, size=SIZE)
SMALL = {"image_size": SIZE, "filters": 4, "num_components": 2, "dropout": 0.25}
PAPER = {"exact": False, "centered": False}
SCALES = {"base_size": (2, 2), "blocks": 1, "embedding_blocks": 1, "depth": 1}
COLORS = {"image_filters": 4, "image_blocks": 1, "image_embedding_blocks": 1}
MODELS = {
    "grayscale": (
        pa.grayscale,
        {"gray_blocks": 1, "image_blocks": 1, "embedding_blocks": 1, "resolutions": 2},
    ),
    "pyramid": (pa.pyramid, SCALES),
    "grayscale_pyramid": (pa.grayscale_pyramid, {**SCALES, **COLORS, "resolutions": 2}),
    "pixelcnn_pp": (pa.pixelcnn_pp, {"blocks": 1, "resolutions": 2}),
}


def build(name, dtype):
    """A model of random weights."""
    constructor, arguments = MODELS[name]
    return helpers.randomized(constructor(**SMALL, **PAPER, **arguments, dtype=dtype))


def evaluated(name):
    """Bits per dimension under random weights: dict of float64 arrays."""
    model = build(name, "float64")
    return {factor: bits for factor, bits in model.bits_per_dim(IMAGES).items()}


def drawn(name):
    """Draws under random weights, and one by MAP sampling: dict of uint8 arrays."""
    model = build(name, "float64")
    images = model.sample([[0, 1], [2, 3]])
    [*_, last] = model.sample([[0, 1], [2, 3]], mode="map", log_scale_shift=-0.5).values()
    return {**images, "map": last}


def trained(name):
    """The averaged weights of a model's last factor after one step of training: their sums, and nats."""
    model = build(name, "float32")
    factor = list(model.factors)[-1]
    images = data.Images(IMAGES)
    with tempfile.TemporaryDirectory() as folder, helpers.eagerly():
        settings = training.Training(
            epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-2, decay=0.9
        )
        average = helpers.train(model, factor, images, images, settings, folder, seed=3)
    return {
        "sums": [np.sum(array, dtype=np.float64) for array in average.weights.values()],
        "sizes": [np.abs(array).sum(dtype=np.float64) for array in average.weights.values()],
        "nats": average.log_prob(model.inputs(IMAGES)[factor]),
    }


def compute():
    """dict, key -> array, of all that is recorded."""
    parts = [(evaluated, name) for name in MODELS]
    parts += [(drawn, "grayscale"), (trained, "grayscale")]
    return {
        f"{name}/{part.__name__}/{key}": np.asarray(array)
        for part, name in parts
        for key, array in part(name).items()
    }


class RecordedTest(helpers.TestCase):
    def test_same_seeds_weights_and_images_give_the_same(self):
        received = compute()
        with np.load(FILE) as recorded:
            self.assertEqual(sorted(received), sorted(recorded))
            for key, expected in recorded.items():
                if expected.dtype == np.uint8:
                    self.assertAllEqual(received[key], expected, key)
                else:
                    # Other processors round otherwise: in float64, and in float32.
                    rtol = 1e-9 if "/evaluated/" in key else 1e-4
                    self.assertAllClose(received[key], expected, rtol=rtol, atol=rtol, msg=key)


if __name__ == "__main__" and sys.argv[1:] == ["--record"]:
    np.savez_compressed(FILE, **compute())
