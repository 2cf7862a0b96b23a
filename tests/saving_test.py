"""Tests of what is saved: Keras's files of factors, and descriptions of what the package builds."""

import functools
import json
import pathlib
import sys
import tempfile
import zipfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import layers
from pixelcnn_aux.base import serialization
from pixelcnn_aux.networks import topology
from tests import custom, helpers, recorded_test

IMAGES = recorded_test.IMAGES
NETWORK = {"topology": topology.flat(1), "filters": 3}


@functools.cache
def chain(name, dtype="float32"):
    """A small model: of one of the constructors, or with classes of the tests' own."""
    if name == "own":
        how = {"embedding": NETWORK, "num_components": 2, "dtype": dtype}
        return pa.chain([custom.Bright(99)], (8, 8), NETWORK, **how)
    return recorded_test.build(name, dtype)


def inputs(model, name):
    """What the factor of this name takes."""
    image, auxiliary, _ = model.inputs(IMAGES)[name]
    return image if auxiliary is None else (image, auxiliary)


class KerasFactorTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.file = helpers.temporary_folder(self) / "factor.keras"

    def reloaded(self, keras_model):
        keras_model.save(self.file)
        return keras.saving.load_model(self.file)

    def assertSame(self, found, expected):
        """All weights and optimizer variables are equal, bit for bit."""
        self.assertIs(type(found), type(expected))
        self.assertEqual(found.get_config(), expected.get_config())
        pairs = [*zip(found.weights, expected.weights, strict=True)]
        if expected.compiled:
            pairs += zip(found.optimizer.variables, expected.optimizer.variables, strict=True)
        for one, other in pairs:
            self.assertEqual(one.dtype, other.dtype)
            self.assertAllEqual(one.numpy(), other.numpy(), one.path)

    @parameterized.parameters(
        ("grayscale", "grayscale"), ("pyramid", "4x4"), ("own", "image", "float64")
    )
    def test_every_kind_of_factor_comes_back(self, kind, name, *dtype):
        model = chain(kind, *dtype)
        keras_model, x = model.factors[name].keras_model(), inputs(model, name)
        loaded = self.reloaded(keras_model)
        self.assertSame(loaded, keras_model)
        self.assertAllEqual(loaded(x), keras_model(x))
        self.assertEqual(loaded.factor().description(), model.factors[name].description())

    def test_training_goes_on(self):
        model = chain("own")
        factor, x = model.factors["bright"], inputs(model, "bright")
        keras_model = factor.keras_model()
        rate = keras.optimizers.schedules.ExponentialDecay(1e-2, 1, 0.9)
        adam = keras.optimizers.Adam(rate)
        keras_model.compile(adam, loss=factor.likelihood.bits_per_dim, run_eagerly=True)
        keras_model.fit(x, x, verbose=0)
        loaded = self.reloaded(keras_model)
        self.assertSame(loaded, keras_model)
        self.assertEqual(int(loaded.optimizer.iterations), 1)
        before = loaded.get_weights()
        bits = -np.mean(keras_model.factor().log_prob(x)) / (8 * 8 * np.log(2.0))
        self.assertAllClose(loaded.evaluate(x, x, verbose=0), bits, rtol=1e-5)
        losses = [one.fit(x, x, verbose=0).history["loss"] for one in (loaded, keras_model)]
        self.assertAllEqual(*losses)
        self.assertSame(loaded, keras_model)
        self.assertNotAllEqual(loaded.get_weights()[0], before[0])


@functools.cache
def saved():
    """The bytes of a file of a compiled conditional factor."""
    factor = helpers.shared_model().factors["image"]
    keras_model = factor.keras_model()
    keras_model.compile(loss=factor.likelihood.bits_per_dim, jit_compile=False)
    with tempfile.TemporaryDirectory() as folder:
        keras_model.save(f"{folder}/factor.keras")
        return pathlib.Path(f"{folder}/factor.keras").read_bytes()


class RefusedFileTest(helpers.TestCase):
    """Damaged and hostile files."""

    def setUp(self):
        super().setUp()
        folder = helpers.temporary_folder(self)
        self.file = folder / "factor.keras"
        self.file.write_bytes(saved())
        # A module that shows that it was imported, by a name that no other test has used.
        self.module = f"imported_by_{id(folder)}"
        (folder / f"{self.module}.py").write_text("class Evil: from_config = print\n")
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))

    def edit(self, change):
        """Replaces the configuration in the file by change(configuration)."""
        with zipfile.ZipFile(self.file) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["config.json"] = json.dumps(change(json.loads(files["config.json"]))).encode()
        with zipfile.ZipFile(self.file, "w") as archive:
            for name, contents in files.items():
                archive.writestr(name, contents)

    def replace(self, part, description):
        def change(config):
            config["config"]["factor"]["config"][part] = description
            return config

        self.edit(change)

    def assertRefused(self, message):
        with self.assertRaisesRegex((ValueError, TypeError), message):
            keras.saving.load_model(self.file)
        self.assertNotIn(self.module, sys.modules)

    def evil(self):
        names = {"class_name": "Evil", "registered_name": "evil>Evil"}
        return {"module": self.module, "config": {}, **names}

    @parameterized.parameters("likelihood", "embedding")
    def test_another_class(self, part):
        self.edit(lambda config: config)
        self.assertEqual(keras.saving.load_model(self.file).name, "image")  # as it was saved
        code = {"class_name": "__lambda__", "config": {"value": ["", None, None]}}
        dense, gray = keras.layers.Dense(3), pa.auxiliary.Grayscale()
        dense, gray = (keras.saving.serialize_keras_object(x) for x in (dense, gray))
        for description, message in (
            (self.evil(), "of a class that is registered. Received: evil>Evil"),
            (
                {**self.evil(), "registered_name": None},
                "of a class that is registered. Received: None",
            ),
            (code, "cannot be built|registered_name"),
            # Under a name that is registered it is no lambda, but the class of that name.
            ({**code, "registered_name": "pixelcnn_aux>Categorical"}, "value|class .*Categorical"),
            (dense, "of a class that is registered. Received: None"),
            (gray, "of a class .*Received: that of pixelcnn_aux>Grayscale"),
            (None, "Expected .* (of class|or neither)"),
            ([3], "the description of a factor. Received: one that cannot be built"),
        ):
            self.replace(part, description)
            self.assertRefused(message)

    def test_other_arguments(self):
        likelihood = serialization.serialize(pa.likelihoods.LogisticMixture(2))
        self.replace("likelihood", {**likelihood, "config": {"width": 3}})
        self.assertRefused("LogisticMixture with its arguments. .*'width'")
        self.replace("likelihood", {**likelihood, "config": {"num_components": 3}})
        self.assertRefused("num_params.*Received")

    def test_files_cut_short(self):
        whole = saved()
        for size in (0, 100, len(whole) - 1):
            self.file.write_bytes(whole[:size])
            self.assertRefused("factor.keras.* zip file")


class DescriptionTest(helpers.TestCase):
    """The description of a model in a workdir."""

    def test_builds_a_chain_again(self):
        for name in ("own", "grayscale_pyramid"):
            description = json.loads(json.dumps(chain(name).description()))
            copy = pa.AuxiliaryModel.from_config(description["config"])
            self.assertEqual(json.loads(json.dumps(copy.description())), description)

    def test_a_function_is_no_class(self):
        keras.saving.register_keras_serializable(package="tests")(json.dumps)
        description = {"class_name": "dumps", "config": {}, "registered_name": "tests>dumps"}
        with self.assertRaisesRegex(ValueError, "class Likelihood.*Received: that of tests>dumps"):
            serialization.deserialize(description, pa.likelihoods.Likelihood)


class Red(pa.auxiliary.Transform):
    """A class that is not registered."""

    channels = 1

    def __call__(self, images):
        return images[..., :1]


class NotRegisteredTest(helpers.TestCase):
    def test_it_cannot_be_described(self):
        model = pa.chain([Red()], (2, 2), NETWORK, embedding=NETWORK, num_components=1)
        how = "Received: Red, .*register_keras_serializable.*import its module"
        folder = helpers.temporary_folder(self) / "run"
        images = helpers.pictures(4, size=(2, 2))
        training = pa.Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-2)
        with self.assertRaisesRegex(ValueError, how):
            pa.train(model, training, images, images, folder)
        self.assertFalse(folder.exists())

        Coin = type("Coin", (custom.Coin,), {})  # of a name that another class is registered by
        with self.assertRaisesRegex(ValueError, "Received: Coin, "):
            serialization.serialize(Coin())

    def test_a_class_may_be_registered_again(self):
        """By a notebook cell that runs twice, or a program that is its own plugin."""
        register = keras.saving.register_keras_serializable(package="tests")
        first, second = (register(type("Again", (Red,), {})) for _ in range(2))
        self.assertEqual(serialization.serialize(second())["registered_name"], "tests>Again")
        message = "registered as tests>Again. Received: one of an earlier .*Build the model again"
        with self.assertRaisesRegex(ValueError, message):
            serialization.serialize(first())


@keras.saving.register_keras_serializable(package="tests")
class Noted(pa.auxiliary.Transform):
    """A transform with an argument that may be anything."""

    def __init__(self, note):
        self.note = note

    def __call__(self, images):
        return images

    def get_config(self):
        return {"note": self.note}


class ConfigTest(helpers.TestCase):
    def test_what_is_plain_comes_back(self):
        for note in (None, True, 3, 0.5, "a", [1, [2]], {"a": {"b": [None]}}):
            description = json.loads(json.dumps(serialization.serialize(Noted(note))))
            self.assertEqual(serialization.deserialize(description, Noted).note, note)
        for note, plain in ((np.int64(3), 3), (np.float32(0.5), 0.5), (np.bool_(True), True)):
            description = json.loads(json.dumps(serialization.serialize(Noted((note,)))))
            self.assertEqual(serialization.deserialize(description, Noted).note, [plain])

    def test_what_would_not_come_back_is_refused(self):
        for note in (np.ones(2), b"a", tf.constant(1.0), 1j, {3: 4}, custom.Coin(), len):
            message = r"Noted.get_config\(\) to give .*Received: note=.*tolist"
            with self.assertRaisesRegex(ValueError, message):
                serialization.serialize(Noted({"a": (note,)}))

    def test_arguments_of_the_constructor_that_are_left_out(self):
        @pa.serialization.register(package="tests")
        class Shifted(pa.auxiliary.Grayscale):
            """It inherits a `get_config`, which does not know of its argument."""

            def __init__(self, shift=0, **kwargs):
                super().__init__(**kwargs)

        message = r"Shifted.get_config\(\) to give all .*Received: no shift\."
        with self.assertRaisesRegex(ValueError, message):
            serialization.serialize(Shifted(3))

    def test_what_would_come_back_otherwise(self):
        """The error comes when a model is described, before training, not when it is loaded."""

        def off(base, config):
            cls = type("Off", (base,), {"get_config": lambda self: config(**base.get_config(self))})
            return pa.serialization.register(package="tests")(cls)

        def check(transform, received):
            model = pa.chain([transform], (2, 2), NETWORK, embedding=NETWORK, num_components=1)
            with self.assertRaisesRegex(ValueError, f"{received}.* Correct get_config of Off"):
                model.description()

        Off = off(custom.Bright, lambda threshold: {"threshold": threshold + 1})
        check(Off(99), 'again as .*"threshold": 100.*Received: .*"threshold": 101')
        Off = off(custom.Bright, lambda **config: {**config, "limit": 3})
        check(Off(99), "Off with its arguments. Received: 'limit', which it does not take")
        Off = off(pa.likelihoods.Categorical, lambda **config: {**config, "num_channels": 0})
        transform = custom.Bright(99)
        transform.likelihood = lambda: Off(2)
        check(transform, "num_channels=0")


class PartsTest(helpers.TestCase):
    """Keras's own functions save and build registered parts."""

    shape = topology.pixelcnn_pp(1, 2)

    @parameterized.parameters(
        layers.WeightNormDense(3, init_scale=0.5),
        layers.DownShiftedConv2D(3, (2, 3), 2, init_scale=0.5),
        layers.DownRightShiftedConv2DTranspose(3, (2, 2), dtype="float64"),
        layers.GatedResidualBlock(3, (2, 3), "vertical", dropout=0.25),
        pa.networks.PixelCNN(shape, 3, 20, vertical_kernel=(3, 3), dropout=0.25),
        pa.networks.ParallelPixelCNN([1, 1, 2, 1], 4, 10, parts=(2, 1, 3, 1)),
        pa.networks.Embedding(shape, 3, (5, 3), dropout=0.25),
        pa.likelihoods.LogisticMixture(3, True, 8.0),
        pa.likelihoods.Categorical(5, 2),
        pa.auxiliary.Grayscale(3),
        custom.Bright(99),
    )
    def test_comes_back(self, part):
        description = json.loads(json.dumps(keras.saving.serialize_keras_object(part)))
        by_keras = keras.saving.deserialize_keras_object(description)
        description = json.loads(json.dumps(serialization.serialize(part)))
        for found in (by_keras, serialization.deserialize(description, type(part))):
            self.assertIs(type(found), type(part))
            self.assertEqual(json.dumps(found.get_config()), json.dumps(part.get_config()))
