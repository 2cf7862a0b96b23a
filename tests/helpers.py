"""What several suites build: a chain as small as chains get, and pictures that it can learn."""

import functools
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import data, workdir

SIZE = (4, 6)  # not square, so that a swap of height and width shows


def pictures(count, seed=0, size=SIZE):
    """uint8 [count, H, W, 3]: of one colour each, but for a little noise."""
    random = np.random.default_rng(seed)
    colours = random.uniform(0, 255, (count, 1, 1, 3))
    noisy = colours + random.normal(0, 8, (count, *size, 3))
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def images(count, seed=0):
    """`pictures` as a split of a data set."""
    pixels = tf.constant(pictures(count, seed))
    return data.Images(count, SIZE, lambda index: pixels[index])


def tiny_model(blocks=1, dropout=0.0, dtype=None, topology=None):
    """A chain of grayscale and image whose networks are so many blocks in a row."""
    network = {
        "topology": topology or ["flat", {"blocks": blocks}],
        "filters": 4,
        "dropout": dropout,
    }
    grayscale = {
        "name": "grayscale",
        "likelihood": ["Categorical", {"num_values": 16}],
        "network": network,
    }
    image = {
        "name": "image",
        "likelihood": ["LogisticMixture", {"num_components": 2}],
        "network": network,
        "embedding": network,
        "psi": ["Grayscale", {"bits": 4}],
    }
    return pa.chain([grayscale, image], SIZE, dtype)


@functools.cache
def shared_model(dtype="float32", dropout=0.0):
    """A `tiny_model` that several tests evaluate: none may change it."""
    return tiny_model(dtype=dtype, dropout=dropout)


def make_run(folder, model, trained):
    """Leaves a workdir of a model behind, as training does, with weights of the factors `trained`."""
    workdir.create(folder, {"preset": "tiny", "model": model.config})
    for name in trained:
        workdir.save_weights(folder, name, model.factors[name])


def temporary_folder(test):
    """The path of an empty folder that is gone when the test is over, or a class of tests."""
    folder = tempfile.TemporaryDirectory()
    add_cleanup = test.addClassCleanup if isinstance(test, type) else test.addCleanup
    add_cleanup(folder.cleanup)
    return pathlib.Path(folder.name)


def contents(folder):
    """dict, relative path -> bytes, of all files under a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
