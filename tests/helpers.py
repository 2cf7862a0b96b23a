"""Shared by several suites: small models, pictures that they can learn, programs, files, statistics."""

import contextlib
import functools
import gc
import importlib
import io
import multiprocessing
import pathlib
import resource
import sys
import tempfile
import types
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import data, sampling
from pixelcnn_aux.base import arguments
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.data import registry
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.networks import topology
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import Stop, presets
from pixelcnn_aux.training.config import RunConfig
from pixelcnn_aux.training.devices import Hosts

ROOT = pathlib.Path(__file__).parents[1]
TINY_PARALLEL = dict.fromkeys(("blocks", "trunk_blocks", "base_blocks", "masked_blocks"), 1)
TINY_PARALLEL |= {"filters": 4, "base_filters": 4, "base_parts": 2, "num_components": 2}
SIZE = (4, 6)  # not square, so that a swap of height and width shows
# Low enough that P(0) rounds to one, whatever the coefficients add: the channel drops out.
ABSENT = -1e6
# Forked from a process that has imported this module and done nothing else.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def pictures(count, seed=0, size=SIZE):
    """uint8 [count, H, W, 3]: one color each, with a little noise."""
    random = np.random.default_rng(seed)
    colors = random.uniform(0, 255, (count, 1, 1, 3))
    noisy = colors + random.normal(0, 8, (count, *size, 3))
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def all_images(num_values, *shape):
    """Every image of this shape: [N, H, W, C], uint8 up to 256 values and uint16 above."""
    choices = np.indices([num_values] * int(np.prod(shape)))
    return (
        choices.reshape(len(choices), -1)
        .T.reshape(-1, *shape)
        .astype(arguments.pixel_dtype(num_values))
    )


def images(count, seed=0):
    """`pictures` as a split of a data set."""
    return data.Images(pictures(count, seed))


def tiny_model(
    blocks=1,
    dropout=0.0,
    dtype="float32",
    topology=None,
    exact=False,
    centered=False,
    condition=None,
):
    """A chain of grayscale and image, whose networks are `blocks` blocks in a row."""
    shape = topology or pa.networks.topology.flat(blocks)
    network = {"topology": shape, "filters": 4, "dropout": dropout}
    transforms = [pa.auxiliary.Grayscale()]
    how = {"num_components": 2, "exact": exact, "centered": centered, "dtype": dtype}
    return pa.chain(transforms, SIZE, network, embedding=network, **how, condition=condition)


def tiny_parallel(image_size=None, halvings=1, **how):
    """A parallel pyramid of few and narrow layers with random weights, by default of images of any size."""
    return randomized(
        pa.parallel_pyramid(image_size, halvings=halvings, **{**TINY_PARALLEL, **how})
    )


def random_chain(transforms, size, network=None, **how):
    """A chain of factors x0, x1, ... with random weights, by default in float64."""
    flat, larger = (
        {"topology": shape, "filters": 4}
        for shape in (topology.flat(1), topology.super_resolution(1, 1))
    )
    network = network or flat
    embedding = [None, *(larger if x.ratio == 2 else network for x in transforms[::-1])]
    how = {"num_components": 2, "dtype": "float64", "embedding": embedding, **how}
    how.setdefault("names", [f"x{position}" for position in range(len(transforms) + 1)])
    return randomized(pa.chain(transforms, size, network, **how))


def randomized(model):
    """Gives a model random weights, each factor's from another seed; returns the model."""
    for seed, (name, factor) in enumerate(model.factors.items()):
        model.factors[name] = randomize(factor, seed)
    return model


@functools.cache
def shared_model(dtype="float32", dropout=0.0):
    """A `tiny_model` shared by tests, which must not change it."""
    return tiny_model(dtype=dtype, dropout=dropout)


def trace_quickly():
    """Speeds up tracing in this process: most graphs run once, and create many long-lived objects."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.set_threshold(100_000, 50, 100)


@contextlib.contextmanager
def eagerly():
    """Context without traced graphs: faster for functions that run once, on whole images."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def nothing_stays_registered():
    """Context that restores the registered classes, data sets and presets at its end."""
    importlib.import_module(
        "pixelcnn_aux.factors.keras_factor"
    )  # registers classes when it is needed
    with (
        mock.patch.dict(keras.saving.get_custom_objects()),
        mock.patch.dict(registry._registered),
        mock.patch.dict(presets.BY_MODEL),
    ):
        yield


def answers(served, requests):
    """Answers of an export's signatures to requests: dict, signature -> dict of arrays."""
    found = {}
    for name, arrays in requests.items():
        outputs = served[name](**{key: tf.constant(x) for key, x in arrays.items()})
        found[name] = {key: x.numpy() for key, x in outputs.items()}
    return found


def exports_run_here():
    """Context in which exports are compared with their models in this process, which is faster."""

    def run(path, max_batch, requests):
        return answers(tf.saved_model.load(str(path)).signatures, requests)

    return mock.patch("pixelcnn_aux.serving.verify._run_export", run)


def load_weights(folder, factor, best=False):
    """A factor with its weights from a run's folder; None if there are none."""
    of_file = functools.partial(tensors.with_arrays, factor)
    return folder.read_weights(tensors.identity(factor), best, of_file)


def randomize(factor, seed=0):
    """A factor with random weights and biases: many are initially zero, which would hide errors."""
    random = np.random.default_rng(seed)
    draws = {
        "v": lambda shape: random.normal(size=shape),
        "g": lambda shape: random.uniform(0.5, 1.5, size=shape),
        "b": lambda shape: random.normal(0, 0.5, size=shape),
        "h": lambda shape: random.normal(size=shape),
    }
    return factor.with_weights({x: draws[x[-1]](y.shape) for x, y in factor.shapes.items()})


def altered(factor, change, ending=""):
    """A factor with other values, those of a function, of the weights whose paths end so."""
    changed = {x: change(y) for x, y in factor.weights.items() if x.endswith(ending)}
    assert changed, ending
    return factor.with_weights({**factor.weights, **changed})


def with_last_lengths(model, times):
    """Multiplies the lengths of the last kernels of a model's networks; returns the model."""
    for name, factor in model.factors.items():
        model.factors[name] = altered(factor, lambda g: times * g, "network/last/g")
    return model


def randomize_conditions(model, seed=0):
    """Gives a model random weights of conditions, which are initially zero."""
    random = np.random.default_rng(seed)
    for name, factor in model.factors.items():
        shapes = factor.shapes.items()
        h = {x: random.normal(size=y.shape) for x, y in shapes if x.endswith("/h")}
        model.factors[name] = factor.with_weights({**factor.weights, **h})


def redrawn(model, images, seeds, condition=None):
    """Draws each pixel given the earlier ones of `images`, by Keras networks on whole images: a dict."""
    found, given = {}, None
    for position, (name, factor) in enumerate(model.factors.items()):
        inputs = Inputs(images[name], given, condition)
        noise = sampling.noise(factor, seeds, position, images[name].shape[1:3])
        bounds = factor.fixed_sum and factor.fixed_sum.channel_bounds(images[name], given)
        params = factor.keras_model()(inputs, training=False)
        found[name] = factor.likelihood.draw(params, noise, bounds=bounds)
        given = images[name]
    return found


def make_run(folder, model, trained=None):
    """Writes a workdir of a model, as training does, with weights of the `trained` factors, by default all.

    Returns the model.
    """
    RunFolder(folder).create({"seed": 0, "model": model.description()})
    for name in model.factors if trained is None else trained:
        RunFolder(folder)[name].save_weights(model.factors[name])
    return model


def train(model, name, images, validation_images, training, folder, **options):
    """Trains one factor of a model by `pa.train`; returns it with its averaged weights."""
    pa.train(model, training, images, validation_images, folder, factors=[name], **options)
    return model.factors[name]


def run_config(model, folder, **changes):
    """The `RunConfig` of a run on a few pictures."""
    how = {"images": images(8), "validation_images": images(3), "seed": 0, "hosts": Hosts()}
    how |= {"remat": False, "stop": Stop(), "init": None, "profile": False, **changes}
    return RunConfig(model=model, folder=RunFolder(folder), **how)


class TestCase(parameterized.TestCase, tf.test.TestCase):
    """A test with a folder of its own."""

    test_session = None  # no test: TensorFlow 1 had it

    @functools.cached_property
    def folder(self):
        """The path of an empty folder that is removed after the test."""
        return temporary_folder(self)


class ImagesTestCase(TestCase):
    """Compares images of a chain: dicts, factor -> array."""

    def assertSameImages(self, images, expected):
        self.assertEqual(list(images), list(expected))
        for name, image in expected.items():
            self.assertAllEqual(images[name], image)

    def assertAgree(self, model, images):
        """The last images have the auxiliary images beside them."""
        [*_, full] = images.values()
        expected = model.auxiliaries(full)
        self.assertSameImages(images, {name: expected[name] for name in images})


def temporary_folder(test):
    """The path of an empty folder that is removed after the test, or class of tests."""
    folder = tempfile.TemporaryDirectory()
    add_cleanup = test.addClassCleanup if isinstance(test, type) else test.addCleanup
    add_cleanup(folder.cleanup)
    return pathlib.Path(folder.name)


def run_program(program, *arguments):
    """Runs a program, a module, in this process with flags of its own: its output. Raises its errors."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True)
    with own_flags() as values, contextlib.redirect_stdout(output):
        program.define_flags()
        flags.DEFINE_multi_string("plugin", [], "", flag_values=values)
        _, *others = values([program.__name__, *map(str, arguments)])
        chosen_run.loaded.cache_clear()  # as in a new process
        program.main(*others)
    return output.buffer.getvalue().decode()


@contextlib.contextmanager
def own_flags():
    """Context in which the modules of this project define and read separate flags: `FlagValues`."""
    values = flags.FlagValues()
    own = {
        name: functools.partial(getattr(flags, name), flag_values=values)
        for name in dir(flags)
        if name.startswith(("DEFINE_", "mark_", "register_"))
    }
    theirs = {"flags": flags, "FLAGS": flags.FLAGS}
    ours = {"flags": types.SimpleNamespace(**own), "FLAGS": values}
    with contextlib.ExitStack() as context:
        for name, module in list(sys.modules.items()):
            if name.startswith(("benchmarks.", "evaluate.", "pixelcnn_aux.", "train.")):
                for attribute, value in ours.items():
                    if vars(module).get(attribute) is theirs[attribute]:
                        context.enter_context(mock.patch.object(module, attribute, value))
        yield values


@contextlib.contextmanager
def files_of_at_most(size):
    """Context in which files cannot grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder):
    """The files under a folder: dict, relative path -> bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def in_pixels(pixels):
    return (np.asarray(pixels) - 127.5) / 127.5


def mixture_params(logits, means, log_scales, coefficients):
    """[10 K] from K logits, and K (or one) of the other parameters for each of R, G, B."""
    shape = (3, len(logits))
    blocks = [np.broadcast_to(x, shape) for x in (means, log_scales, coefficients)]
    return np.concatenate([logits, np.stack(blocks, axis=1).ravel()])


def probabilities(likelihood, params, *channels):
    """Probabilities of the values of `channels`, which broadcast, under one pixel's params."""
    images = np.stack(np.broadcast_arrays(*channels), axis=-1)
    params = np.broadcast_to(params, (*images.shape[:-1], likelihood.num_params))
    return np.exp(likelihood.log_prob(params, images))


def without(params, *channels):
    """Params of a mixture in which these channels are always 0."""
    params = np.array(params)
    num_components = params.shape[-1] // 10
    blocks = params[..., num_components:].reshape(*params.shape[:-1], 3, 3, num_components)
    blocks[..., list(channels), 0, :] = ABSENT
    return np.concatenate(
        [params[..., :num_components], blocks.reshape(*params.shape[:-1], -1)], -1
    )


def chi_square_p_value(counts, probs):
    """P-value of counts under probs; cells that expect fewer than 5 are merged."""
    counts, expected = np.ravel(counts), np.ravel(probs) * np.sum(counts)
    order = np.argsort(expected)
    counts, expected = counts[order], expected[order]
    first = max(np.searchsorted(expected, 5.0), np.searchsorted(np.cumsum(expected), 5.0) + 1)
    counts = np.append(counts[:first].sum(), counts[first:])
    expected = np.append(expected[:first].sum(), expected[first:])
    statistic = np.sum((counts - expected) ** 2 / expected)
    return tf.math.igammac(np.float64((len(counts) - 1) / 2), statistic / 2).numpy()
