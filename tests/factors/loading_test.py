"""Tests of loading models without Keras: what is missing, damaged or not known, and networks of one's own."""

import json

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.runs import tensors
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers
from tests.factors import own_network_test

IMAGES = helpers.pictures(2)
SEEDS = np.array([[0, 0], [0, 1]], np.int32)
OWN = pa.serialization.registered_name(own_network_test.Causal)


class LoadTest(helpers.ImagesTestCase):
    def setUp(self):
        super().setUp()
        self.run_folder = RunFolder(helpers.temporary_folder(self) / "run")

    def load(self, **how):
        return pa.load(self.run_folder.path, **how)

    def test_the_best_weights(self):
        model = helpers.make_run(self.run_folder.path, helpers.shared_model())
        with self.assertRaisesRegex(ValueError, "the best weights of factor 'grayscale'"):
            self.load(best=True)
        best = helpers.randomized(helpers.tiny_model())
        for name, factor in best.factors.items():
            self.run_folder[name].save_if_best(factor, 1, 1.0)
        for expected, found in ((best, self.load(best=True)), (model, self.load())):
            self.assertAllClose(found.log_prob(IMAGES), expected.log_prob(IMAGES), rtol=1e-6)

    def test_a_factor_not_trained_yet_is_named_by_what_needs_it(self):
        helpers.make_run(self.run_folder.path, helpers.shared_model(), ["image"])
        model = self.load()
        self.assertEqual(model.untrained, ("grayscale",))
        for needs_all in (
            *(model.log_prob, model.params, model.bits_per_dim, model.pixel_nats),
            lambda _: model.sample(SEEDS),
        ):
            with self.assertRaisesRegex(ValueError, "'grayscale' not trained yet.*--factor gray"):
                needs_all(IMAGES)
        expected = pa.load(self.run_folder.path).colorize(IMAGES, SEEDS)
        self.assertAllEqual(model.colorize(IMAGES, SEEDS), expected)

    def test_a_loaded_factor_is_trained_as_a_keras_model(self):
        """From then on it has that model's weights, and so have models of the same factors."""
        helpers.make_run(self.run_folder.path, helpers.shared_model())
        model = self.load()
        other, factor = model.with_exact(False), model.factors["image"]
        inputs = model.inputs(IMAGES)["image"]
        before = factor.log_prob(inputs)
        self.assertAllClose(factor(inputs), factor.params(inputs), rtol=1e-4, atol=1e-4)
        factor.compile("adam", run_eagerly=True)
        factor.fit(inputs[:2], inputs.images, verbose=0)
        self.assertNotAllClose(factor.log_prob(inputs), before)
        self.assertAllClose(factor.params(inputs), factor(inputs), rtol=1e-4, atol=1e-4)
        for x in (factor.params(inputs, by="graph"), other.factors["image"].params(inputs)):
            self.assertAllClose(x, factor.params(inputs), rtol=1e-4, atol=1e-4)

    def test_a_network_of_ones_own(self):
        model = own_network_test.build("float64")
        RunFolder(self.run_folder.path).save_model(model)
        plain = self.load(dtype="float64")
        params = model.params(IMAGES)
        for name, found in plain.params(IMAGES).items():
            self.assertAllClose(found, params[name], rtol=1e-12, atol=1e-12)
        drawn = plain.sample(SEEDS)
        self.assertSameImages(model.sample(SEEDS), drawn)
        self.assertSameImages(helpers.redrawn(model, drawn, SEEDS), drawn)
        text = self.run_folder.config_file.read_text()
        self.run_folder.config_file.write_text(text.replace(OWN, "own_network_test>Other"))
        message = (
            "the network of the factor 'grayscale'.* Received: own_network_test>Other.*--plugin"
        )
        with self.assertRaisesRegex(ValueError, message):
            self.load()

    def test_parts_of_other_classes(self):
        helpers.make_run(self.run_folder.path, helpers.shared_model())
        whole = self.run_folder.config_file.read_text()
        for name in ("likelihood", "embedding", "the model"):
            changed = json.loads(whole)
            factor = changed["model"]["config"]["factors"][1]["config"]
            part = factor.get(name, changed["model"])
            for other in ("mine>Own", "pixelcnn_aux>Grayscale"):
                part["registered_name"] = other
                self.run_folder.config_file.write_text(json.dumps(changed))
                with self.assertRaisesRegex(ValueError, f"^Expected .*Received: .*{other}"):
                    self.load()

    def test_damaged_weights(self):
        helpers.make_run(self.run_folder.path, helpers.shared_model())
        file = self.run_folder["image"].weights
        whole, (arrays, notes) = file.read_bytes(), tensors.read(file)

        def refused(message):
            named = f"^Expected the weights of factor 'image' in {file}. Received: .*{message}"
            with self.assertRaisesRegex(ValueError, named):
                self.load()

        file.write_bytes(whole[:-100])
        refused("checksum")
        file.write_bytes(self.run_folder["grayscale"].weights.read_bytes())
        refused("another factor")
        for name, x in arrays.items():
            others = {key: value for key, value in arrays.items() if key != name}
            for changed in ({}, {name: x[..., :-1]}, {name: x[0]}):
                tensors.write(file, {**others, **changed}, notes)
                refused(r"\(Expected weights of this network. Received: others \(")
