"""What works without Keras: `imports_test` runs it in a process that does not find any framework."""

import importlib
import tempfile

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, image_grid, likelihoods
from pixelcnn_aux.base import arrays, progress
from pixelcnn_aux.commands import plots
from pixelcnn_aux.sums import Bounds


class Coin(likelihoods.Likelihood):
    """A likelihood of one's own."""

    num_channels, num_values, num_params, noise_size = 1, 2, 1, 1

    def _log_prob(self, params, images):
        return -arrays.softplus((1 - 2 * arrays.cast(images, params.dtype)) * params)[..., 0]

    def _noise(self, uniforms, mode):
        return arrays.log(uniforms) - arrays.log1p(-uniforms)

    def _draw(self, params, noise, log_scale_shift):
        return arrays.cast(params + noise > 0, "int32")


def check(modules):
    """Imports the modules; loads a model and draws, loads data sets, and evaluates likelihoods."""
    for name in modules:
        importlib.import_module(name)
    model = pa.load("photographs")
    [*_, drawn] = model.sample([[0, 0]], image_size=(6, 5)).values()
    assert drawn.shape == (1, 6, 5, 3), drawn.shape
    assert all(np.isfinite(x).all() for x in model.bits_per_dim(drawn).values())
    check_data()
    check_likelihoods()


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


def check_likelihoods():
    mixture, centered = (likelihoods.LogisticMixture(2, centered=x) for x in (False, True))
    random = np.random.default_rng(0)
    for likelihood in (mixture, centered, likelihoods.Categorical(5, 3), Coin()):
        params = random.normal(size=(7, likelihood.num_params)).astype(np.float32)
        zeros = np.zeros([7, likelihood.num_channels], np.int32)
        within = Bounds(zeros, zeros + 3, np.float32(zeros))

        def bounds(channel, earlier, within=within):
            return Bounds(*(x[:, channel] for x in within))

        for bounded in (False, True):
            size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
            if size is None or (likelihood.centered and not bounded):
                continue
            noise = likelihood.noise(random.random((7, size), np.float32), bounded=bounded)
            images = likelihood.draw(params, noise, bounds=bounds if bounded else None)
            known = within if bounded else None
            nats = likelihood.log_prob(params, images, known)
            assert np.isfinite([nats, likelihood.entropy(params, images, known)]).all()
