"""Features that work without Keras: `imports_test` runs this in a process without frameworks."""

import importlib
import tempfile

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, image_grid
from pixelcnn_aux.base import progress
from pixelcnn_aux.commands import plots


def check(modules):
    """Imports the modules, draws and evaluates images by trained models, and loads data sets."""
    for name in modules:
        importlib.import_module(name)
    for name, size in (("photographs", (6, 5)), ("cifar10-grayscale", (8, 8))):
        model = pa.load(name).with_image_size(size)
        [*_, drawn] = model.sample([[0, 0]]).values()
        assert drawn.shape == (1, *size, 3), drawn.shape
        for pixels in model.pixel_nats(drawn).values():
            assert np.isfinite(pixels.log_prob).all() and np.isfinite(pixels.entropy).all()
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/run")
            [*_, again] = pa.load(f"{folder}/run").sample([[0, 0]]).values()
        assert np.array_equal(drawn, again)
    check_data()


def check_data():
    folder = tempfile.mkdtemp()  # in TMPDIR, which the caller removes
    image_file, png = f"{folder}/images.npz", f"{folder}/a.png"
    pixels = np.arange(600, dtype=np.uint16).reshape(10, 5, 4, 3).astype(np.uint8)
    np.savez(image_file, train=pixels)
    images = data.load("arrays", "train", (5, 4), image_file=image_file)
    assert np.array_equal(images.pixels, pixels)
    with data.Prefetched(images.training_batches(4, seed=0)) as batches:
        assert next(batches).shape == (4, 5, 4, 3)
    for name in ("000001.jpg", "162771.jpg", "200000.jpg", "a.png"):
        Image.fromarray(np.zeros([218, 178, 3], np.uint8)).save(f"{folder}/{name}")
    how = {"image_dir": folder, "cache_dir": f"{folder}/cache"}
    for name in ("folder", "celeb_a"):
        assert data.load(name, "train", (16, 16), **how).take([0]).shape == (1, 16, 16, 3)
    assert data.read_image(png, (8, 8)).shape == (8, 8, 3)
    assert data.load("photos", "test").take([0]).shape == (1, 32, 32, 3)
    image_grid.write(png, image_grid.labeled([("train", images.take([0]))]))
    progress.progress_bar(1)(1)

    for name in ("celeb_a", "cifar10"):
        fails(lambda name=name: data.load(name, "train"), "Expected TensorFlow", "--dataset folder")
    fails(plots.figure, "pip install matplotlib")


def fails(function, *fragments):
    try:
        function()
    except ImportError as error:
        assert all(x in str(error) for x in fragments), error
    else:
        raise AssertionError("Expected an error that says what is missing.")
