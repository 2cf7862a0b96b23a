"""Tests of loading a workdir's model, and of errors."""

import json
import pickle
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers

IMAGES = helpers.pictures(3)
GRAYS = pa.auxiliary.Grayscale()(IMAGES)
SEEDS = np.zeros([3, 2], np.int32)


class LoadTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self) / "run"
        self.run_folder = RunFolder(self.folder)

    def make_run(self, *trained):
        helpers.make_run(self.folder, helpers.shared_model(), trained)

    def assertRefused(self, *fragments):
        """`load` raises an error with all fragments, and changes no files."""
        before = helpers.contents(self.folder)
        with self.assertRaises(ValueError) as caught:
            pa.load(self.folder)
        for fragment in fragments:
            self.assertIn(str(fragment), str(caught.exception))
        self.assertEqual(helpers.contents(self.folder), before)

    def test_weights_come_back_the_last_or_the_best_ones_in_each_precision(self):
        self.make_run("grayscale", "image")
        with self.assertRaisesRegex(ValueError, "the best weights of factor 'grayscale'"):
            pa.load(self.folder, best=True)
        model = helpers.randomized(helpers.tiny_model())
        for name, factor in model.factors.items():
            self.run_folder[name].save_if_best(factor, 1, 1.0)
        best, last = pa.load(self.folder, best=True), pa.load(self.folder)
        self.assertAllEqual(best.log_prob(IMAGES), model.log_prob(IMAGES))
        expected = helpers.shared_model().log_prob(IMAGES)
        self.assertAllEqual(last.log_prob(IMAGES), expected)
        self.assertEqual(last.untrained, ())
        self.assertEqual(last.description(), helpers.shared_model().description())
        double = pa.load(self.folder, dtype="float64")
        for found in (double.log_prob(IMAGES), double.bits_per_dim(IMAGES)["total"]):
            self.assertEqual(found.dtype, tf.float64)
        self.assertAllClose(double.log_prob(IMAGES), expected, rtol=1e-5)

    def test_what_keras_gives_back_is_saved_the_same(self):
        self.make_run("grayscale", "image")
        model, saved = pa.load(self.folder), []
        for name in ("before", "after"):
            model.save(self.folder / name)
            saved.append(helpers.contents(self.folder / name))
            for factor in model.factors.values():
                model = model.with_factor(factor.keras_model().factor())
        self.assertEqual(*saved)

    def test_a_factor_not_trained_yet_is_named_by_what_needs_it(self):
        self.make_run("image")
        model = pa.load(self.folder)
        self.assertEqual(model.untrained, ("grayscale",))
        needs_all = [model.log_prob, model.params, model.bits_per_dim, model.pixel_nats]
        for call in (*needs_all, lambda _: model.sample(SEEDS)):
            with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet.*--factor gray"):
                call(IMAGES)
        # Draws given grays do not need it.
        self.assertEqual(model.sample(SEEDS, given={"grayscale": GRAYS})["image"].shape[0], 3)
        self.assertEqual(model.colorize(IMAGES, SEEDS).shape, IMAGES.shape)
        model.untrained = ("image",)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet.*--factor image"):
            model.sample(SEEDS, given={"grayscale": GRAYS})

    def test_a_loaded_factor_is_trained_by_its_keras_model(self):
        """Models keep their factors, whatever Keras does with the weights."""
        self.make_run("grayscale", "image")
        model = pa.load(self.folder)
        factor, inputs = model.factors["image"], model.inputs(IMAGES)["image"]
        self.assertIsInstance(factor, pa.Factor)
        before, keras_model = model.log_prob(IMAGES), factor.keras_model()
        self.assertAllClose(keras_model(inputs), factor.params(inputs), rtol=1e-4, atol=1e-4)
        keras_model.compile("adam", run_eagerly=True)
        keras_model.fit(inputs[:2], inputs.images, verbose=0)
        trained = model.with_factor(keras_model.factor())
        self.assertAllEqual(model.log_prob(IMAGES), before)
        nats = trained.log_prob(IMAGES)
        self.assertNotAllClose(nats, before)
        self.assertAllClose(trained.log_prob(IMAGES, by="graph"), nats, rtol=1e-4)
        factor = trained.factors["image"]
        self.assertAllClose(factor.params(inputs), keras_model(inputs), rtol=1e-4, atol=1e-4)

    def test_a_loaded_model_can_be_pickled(self):
        """For processes of users: its weights are arrays."""
        self.make_run("grayscale", "image")
        model = pa.load(self.folder)
        again = pickle.loads(pickle.dumps(model))
        self.assertAllEqual(again.log_prob(IMAGES), model.log_prob(IMAGES))

    def test_damaged_weights(self):
        self.make_run("grayscale", "image")
        file = self.run_folder["image"].weights
        whole, (arrays, notes) = file.read_bytes(), tensors.read(file)
        named = f"the weights of factor 'image' in {file}"
        file.write_bytes(whole[:-100])
        self.assertRefused(named, "checksum")
        file.write_bytes(self.run_folder["grayscale"].weights.read_bytes())
        self.assertRefused(named, "another factor")
        for name, x in arrays.items():
            others = {key: value for key, value in arrays.items() if key != name}
            path = name.split("/", 2)[-1]
            for changed in (None, x[..., :-1], x[0], np.concatenate([x, x])):
                more = {} if changed is None else {name: changed}
                tensors.write(file, {**others, **more}, notes)
                self.assertRefused(named, f" instead of {x.shape} as ", f"/{path})")
            tensors.write(file, {**others, name: np.full(x.shape, 1e300)}, notes)
            self.assertRefused(named, f"not finite in float32, in the array {name}")
            if path.endswith("/v"):
                tensors.write(file, {**others, name: 0 * x}, notes)
                self.assertRefused(named, f"/{path}, which cannot be normalized")
        tensors.write(file, {**arrays, "image/nothing/v": np.ones(3)}, notes)
        self.assertRefused(named, "(network/v, which no layer has)")

    def test_descriptions_that_are_no_model(self):
        self.make_run()
        file = self.folder / "config.json"
        config = json.loads(file.read_text())
        whole = config["model"]
        gray, image = whole["config"]["factors"]

        def with_model(**changes):
            return {**whole, "config": {**whole["config"], **changes}}

        def with_factor(**changes):
            factor = {**gray, "config": {**gray["config"], **changes}}
            return with_model(factors=[factor, image])

        for model in (
            3,
            {**whole, "config": {}},
            with_model(factors=[]),
            with_model(transforms=[gray]),
            with_model(image_size=[4]),
            gray,
            with_factor(network=gray["config"]["likelihood"]),
            with_factor(likelihood={**gray["config"]["likelihood"], "registered_name": "mine>Own"}),
            with_factor(filters=3),
        ):
            file.write_text(json.dumps({**config, "model": model}))
            self.assertRefused(self.folder, "description of a model")

    def test_entries_that_would_build_something_else(self):
        """Nothing is built, where Keras would build objects of any class and size before failing."""
        self.make_run("grayscale", "image")
        file = self.folder / "config.json"
        config = json.loads(file.read_text())
        honest = json.dumps(config)
        huge = {"module": "keras.layers", "class_name": "Embedding", "registered_name": None}
        huge["config"] = {"input_dim": 50_000, "output_dim": 20_000}
        evil = {**config["model"]["config"]["factors"][0], "compile_config": {"optimizer": huge}}
        policy = {"module": "keras", "class_name": "Sequential", "config": {"layers": [huge]}}
        mine = {"module": "evil", "class_name": "DTypePolicy", "config": {"name": "float32"}}
        for entry, value, received in (
            ("activity_regularizer", evil, "'activity_regularizer', which it does not take"),
            ("activity_regularizer", "l2", "'activity_regularizer', which it does not take"),
            ("compile_config", {"optimizer": huge}, "'compile_config', which it does not take"),
            ("build_config", {"input_shape": [1]}, "'build_config', which it does not take"),
            ("layers", [huge], "'layers', which it does not take"),
            ("autocast", False, "'autocast', which it does not take"),
            ("trainable", huge, "Received: Embedding, which is not"),
            ("dtype", policy, "dtype of a .* float64, .*Received: {'module': 'keras', 'class_n"),
            ("dtype", mine, "dtype of a .* float64, .*Received: {'module': 'evil'"),
            ("dtype", "float8", "dtype of a .* float64, .*Received: 'float8'"),
        ):
            for part in ("network", "embedding", None):
                config = json.loads(honest)
                factor = config["model"]["config"]["factors"][
                    -1
                ]  # checked before factors are built
                described = factor["config"][part] if part else factor
                described["config"][entry] = value
                file.write_text(json.dumps(config))
                if entry == "dtype":  # `pa.load` gives all its own
                    with self.assertRaisesRegex(ValueError, received):
                        pa.AuxiliaryModel.from_config(config["model"]["config"])
                    continue
                built = mock.patch.object(
                    keras.layers.Layer, "__init__", side_effect=AssertionError
                )
                with built, self.assertRaisesRegex(ValueError, received):
                    pa.load(self.folder)
        file.write_text(honest)
        pa.load(self.folder)
