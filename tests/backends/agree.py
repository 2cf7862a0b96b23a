"""Checks that models compute the same under another Keras backend as under TensorFlow.

    python -m tests.backends.agree write FOLDER
    KERAS_BACKEND=jax python -m tests.backends.agree compare FOLDER

The first leaves workdirs with random weights, images, TensorFlow's log-likelihoods and gradients, and a run
that is stopped half-way in a new folder. The second needs no TensorFlow: it loads the same workdirs and
compares, also what they compute without Keras; the run goes on under both. Under JAX alone it also runs
programs, and trains with dropout and in float16.
"""

import contextlib
import functools
import importlib.util
import math
import multiprocessing
import pathlib
import shutil
import subprocess
import sys
import unittest

import numpy as np
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux import data, training
from pixelcnn_aux.base import backend
from pixelcnn_aux.networks import topology
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics, steps

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
NAME = "half"  # the factor that is trained, of `planes`
CHECK = unittest.TestCase()
SMALL = {"image_size": (8, 8), "filters": 6, "num_components": 3, "dropout": 0.0}
GRAYSCALE = {"gray_blocks": 1, "image_blocks": 1, "embedding_blocks": 1, "resolutions": 2, **SMALL}
PARALLEL = {**SMALL, "image_size": (8, 7), "halvings": 1, "blocks": 1, "trunk_blocks": 1}


def planes():
    """A chain with a categorical of several channels: 2-bit colors, at half the resolution."""
    network = {"topology": topology.flat(1), "filters": 6}
    embedding = {"topology": topology.super_resolution(1, 1), "filters": 6}
    transforms = [pa.auxiliary.HalfResolution(), Coarse()]
    how = {"embedding": [None, network, embedding], "names": ["coarse", NAME, "image"]}
    return pa.chain(transforms, (8, 8), network, **how)


@pa.serialization.register(package="tests")
class Coarse(pa.auxiliary.Transform):
    num_values = 4

    def __call__(self, images):
        return images // 64


MODELS = {
    "grayscale": lambda: pa.grayscale(
        **GRAYSCALE, exact=False, centered=False, condition=pa.conditions.Classes(3)
    ),
    "planes": planes,
    "parallel": lambda: pa.parallel_pyramid(
        **PARALLEL, parts=(1, 2, 1, 1), base_filters=6, base_blocks=1
    ),
}


def gradients(keras_model, inputs, images):
    """The gradients of the mean bits per dimension with respect to all weights, as one float64 vector."""
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            params = keras_model(inputs, training=False)
            bits = keras_model.compute_loss(inputs, images, params)
        found = tape.gradient(bits, [weight.value for weight in keras_model.trainable_variables])
    else:
        import jax

        others = [variable.value for variable in keras_model.non_trainable_variables]

        def mean_bits(weights):
            params, _ = keras_model.stateless_call(weights, others, inputs, training=False)
            return keras_model.compute_loss(inputs, images, params)

        weights = [weight.value for weight in keras_model.trainable_variables]
        found = jax.jit(jax.grad(mean_bits))(weights)
    return np.concatenate([np.ravel(ops.convert_to_numpy(x)).astype(np.float64) for x in found])


def density(model, images, condition):
    """log-densities of images between whole ones, and their gradients by the images."""
    images = np.minimum(images + np.float32(0.25), 255)
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        images = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(images)
            nats = model.log_density(images, condition)
        return nats, tape.gradient(nats, images)
    import jax

    def total(images):
        nats = model.log_density(images, condition)
        return sum(nats), nats

    found, nats = jax.grad(total, has_aux=True)(images)
    return nats, found


def images_and_condition(name, model):
    """Images that a model takes, and their condition."""
    condition = None if model.condition is None else [0, 2, -1]
    return IMAGES if name != "parallel" else IMAGES[:, :, 1:], condition


def evaluated(name, model, by="graph"):
    """dict, name -> array, to be compared: by the model's backend, but for draws, which are NumPy's."""
    images, condition = images_and_condition(name, model)
    nats = model.log_probs(images, condition, by=by)
    result = {f"{name}/nats": x for name, x in nats.items()}
    entropies = model.pixel_nats(images, condition, by=by)
    drawn = model.sample([[0, 1], [2, 3], [-4, 5]], condition=condition)
    result |= {f"{name}/entropies": x.entropy for name, x in entropies.items()}
    for name, inputs in model.inputs(images, condition).items():
        result[f"{name}/drawn"], result[f"{name}/image"] = drawn[name], inputs.images
    return {key: np.asarray(ops.convert_to_numpy(x)) for key, x in result.items()}


def differentiated(name, model):
    """dict, name -> array, to be compared: gradients by weights and by images."""
    images, condition = images_and_condition(name, model)
    result = {}
    for name, factor in model.factors.items():
        inputs = factor.inputs(model.inputs(images, condition)[name])
        result[f"{name}/gradients"] = gradients(factor.keras_model(), inputs, inputs.images)
    inexact = model.with_exact(False)
    result["density/nats"], result["density/gradients"] = density(inexact, images, condition)
    return {key: np.asarray(ops.convert_to_numpy(x)) for key, x in result.items()}


def train(folder, images):
    """The averaged weights of a run without dropout, whose epochs are of two steps."""
    settings = training.Training(
        epochs=4, steps_per_epoch=2, batch_size=4, learning_rate=1e-2, muon_ratio=1.0, decay=0.99
    )
    validation = data.Images(IMAGES)
    model = MODELS["planes"]()
    pa.train(model, settings, images, validation, folder, factors=[NAME])
    return model.factors[NAME]


class Interrupted(data.Images):
    """Images that stop a run after four batches."""

    def training_batches(self, *args, **options):
        batches = super().training_batches(*args, **options)
        for _ in range(4):
            yield next(batches)
        raise KeyboardInterrupt


def go_on(folder):
    """Trains on from a copy of the run that was stopped."""
    mine = folder / f"run-{backend.NAME}"
    shutil.copytree(folder / "run", mine)
    average = train(mine, data.Images(IMAGES))
    rows = metrics.read(RunFolder(mine)[NAME].metrics)
    return {
        "losses": np.array([row["bits_per_dim"] for row in rows]),
        "norms": np.array([row["gradient_norm"] for row in rows]),
        "weights": np.concatenate([x.ravel() for x in average.weights.values()]),
    }


def write(folder):
    from tests import helpers  # needs TensorFlow

    helpers.trace_quickly()
    with contextlib.suppress(KeyboardInterrupt):
        train(folder / "run", Interrupted(IMAGES))
    np.savez(folder / "run.npz", **go_on(folder))
    for name, make in MODELS.items():
        model = make()
        for factor in model.factors.values():
            random = np.random.default_rng(1)
            weights = {  # many are zero or one at first
                x: weight + random.normal(0, 0.2, weight.shape)
                for x, weight in factor.weights.items()
            }
            model = model.with_factor(factor.with_weights(weights))
        RunFolder(folder / name).save_model(model)
        with helpers.eagerly():
            found = evaluated(name, model) | differentiated(name, model)
        np.savez(folder / f"{name}.npz", **found)


def compare(folder):
    # JAX compiles operation by operation, on one core.
    checks = (check_programs, compare_runs, check_a_stopped_run, check_overflow)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        others = [pool.apply_async(check, [folder]) for check in checks]
        pool.map(functools.partial(compare_model, folder), MODELS, chunksize=1)
        for other in others:
            other.get()


def compare_runs(folder):
    received = go_on(folder)
    assert "tensorflow" not in sys.modules
    with np.load(folder / "run.npz") as expected:
        assert received["losses"].shape == (4,)
        for key, tolerance in (("losses", 1e-4), ("norms", 5e-3), ("weights", 1e-4)):
            error = np.abs(received[key] - expected[key]).max()
            print(f"a run that goes on: {key} differ by {error:.1e}", flush=True)
            assert error < tolerance, key


def noisy():
    """A chain of one factor, whose masks of dropout each step draws anew."""
    network = {"topology": topology.flat(1), "filters": 4, "dropout": 0.5}
    return pa.chain([], (4, 4), network, names=[NAME], num_components=2)


def check_a_stopped_run(folder):
    """With dropout, in parts that are evaluated again: it ends as a run that is not stopped."""
    small = IMAGES[:, :4, :4]

    def train_noisy(name, images):
        settings = training.Training(
            epochs=3, steps_per_epoch=4, batch_size=4, learning_rate=1e-2, decay=0.99, accumulate=2
        )
        model, validation = noisy(), data.Images(small)
        pa.train(model, settings, images, validation, folder / name, remat=True)
        return np.concatenate([np.ravel(weight) for weight in model.factors[NAME].weights.values()])

    whole = train_noisy("whole", data.Images(small))
    with contextlib.suppress(KeyboardInterrupt):
        train_noisy("stopped", Interrupted(small))
    stopped = train_noisy("stopped", data.Images(small))
    np.testing.assert_array_equal(whole, stopped)
    print("a run that is stopped: the same weights", flush=True)


def check_draws(model):
    """Draws of a key by the distribution of a model: compiled as they are."""
    import jax

    dist, key = pa.distribution(model), jax.random.key(0)
    drawn = jax.jit(lambda key: dist.sample(2, seed=key))(key)
    np.testing.assert_array_equal(drawn, dist.sample(2, seed=key))


def check_programs(folder):
    """Training and evaluation from the command line."""
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    file, path = folder / "splits.npz", folder / "program"
    np.savez(file, train=images, validation=images, test=images)
    steps = ["--epochs=1", "--steps_per_epoch=2", "--batch_size=2"]
    for program in (
        ["train.pixelcnn", "--dataset=arrays", f"--image_file={file}", *steps],
        ["evaluate.bpd"],
        ["evaluate.samples", "--sweep", "--num=1", f"--workdir={folder / 'parallel'}"],
    ):
        command = [sys.executable, "-m", *program[:1], f"--workdir={path}", *program[1:]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (path / "bpd.json").exists() and (folder / "parallel" / "sweep.png").exists()
    print("programs: trained, evaluated and drew", flush=True)


def check_overflow(folder):
    """In float16: a step that overflows leaves the weights; only the first step is compiled."""
    model = noisy()
    settings = training.Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-2)
    factor = model.factors[NAME]
    step = steps.make(model, factor, settings, strategy=None, policy="mixed_float16")
    keras_model, optimizer = step.keras_model, step.optimizer
    images = np.repeat(IMAGES[:2, :4, :4], 2, axis=0)
    assert all(math.isfinite(x) for _ in range(3) for x in step(images))
    step.sync()
    before = keras_model.get_weights()
    optimizer.dynamic_scale.assign(1e30)
    loss, norm = step(images)
    step.sync()
    assert math.isfinite(loss) and math.isnan(norm), (loss, norm)
    for one, other in zip(before, keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert step._step._cache_size() == 1, step._step._cache_size()
    print("steps in float16: overflow changes nothing", flush=True)


def compare_model(folder, name):
    assert "tensorflow" not in sys.modules
    model, wide = (pa.load(folder / name, dtype=f"float{x}") for x in (32, 64))
    with CHECK.assertRaisesRegex(ValueError, "^Expected JAX_ENABLE_X64=1"):
        [factor.keras_model() for factor in wide.factors.values()]
    received = evaluated(name, model) | differentiated(name, model)
    if name == "grayscale" and importlib.util.find_spec("tensorflow_probability"):
        check_draws(model)
    plain = evaluated(name, model, "numpy")
    with np.load(folder / f"{name}.npz") as expected:
        assert sorted(received) == sorted(expected), (sorted(received), sorted(expected))
        compare_arrays(f"{name} by JAX", received, expected)
        compare_arrays(f"{name} by NumPy", plain, expected)
    for key, value in plain.items():
        if key.endswith("drawn"):
            np.testing.assert_array_equal(received[key], value, key)


def compare_arrays(what, received, expected):
    for key, found in received.items():
        value = expected[key]
        if key.endswith("/image"):
            np.testing.assert_array_equal(found, value, key)
            continue
        if key.endswith("drawn"):  # a rounding error may change a value, and those after it
            error, most = (found != value).mean(), 0.05
        else:
            error = np.abs(found - value).max() / np.abs(value).max()
            most = 1e-4 if key.endswith("nats") else 1e-3
        print(f"{what}: {key} differs by {error:.1e}", flush=True)
        assert error < most, key


if __name__ == "__main__":
    what, path = sys.argv[1:]
    {"write": write, "compare": compare}[what](pathlib.Path(path))
