"""Tests of initial weights from a run: they need the same meaning, not only the same shapes."""

import contextlib
import functools
import io
import shutil
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import Training, first_weights, presets
from tests import helpers

NETWORK = {"topology": pa.networks.topology.flat(1), "filters": 4}


@keras.saving.register_keras_serializable(package="tests")
class Darkness(pa.auxiliary.Grayscale):
    """Inverted grayscale images."""

    def __call__(self, images):
        return 15 - super().__call__(images)

    def fixed_sum(self, num_values):
        return None


class FittingTest(helpers.TestCase):
    """Networks that mostly have weights of the same shapes."""

    def fitting(self, earlier, model, names=None):
        """(names of factors that start from a model's weights, output)."""
        self.enter_context(mock.patch.dict(presets.BY_MODEL, clear=True))  # slow to compare with
        folder = helpers.temporary_folder(self)
        helpers.make_run(folder, earlier)
        names = names or list(model.factors)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            found = first_weights.fitting(folder, model, names, new=names)
        return list(found), output.getvalue()

    def test_exact_dropout_and_dtype_are_no_matter(self):
        earlier = helpers.tiny_model(centered=True)
        for changes in ({"exact": True, "dropout": 0.5}, {"dtype": "float64"}):
            found, _ = self.fitting(earlier, helpers.tiny_model(centered=True, **changes))
            self.assertEqual(found, ["grayscale", "image"], changes)

    def test_weights_of_another_meaning(self):
        deeper = helpers.tiny_model()
        deeper.factors["image"] = helpers.tiny_model(blocks=2).factors["image"]
        how = {"embedding": NETWORK, "names": ["grayscale", "image"], "num_components": 2}
        darkness = pa.chain([Darkness()], helpers.SIZE, NETWORK, **how)
        centered = helpers.tiny_model(centered=True)
        plain = helpers.tiny_model()
        for earlier, model, message in (
            (centered, plain, "likelihood.config.centered: true instead of false"),
            (plain, deeper, "other shapes"),
            (plain, darkness, 'transform.class_name: "Grayscale" instead of "Darkness"'),
        ):
            found, output = self.fitting(earlier, model)
            self.assertEqual(found, ["grayscale"])
            self.assertRegex(output, f"image: new first weights, since .* has .*{message}")
        with self.assertRaisesRegex(ValueError, "factors image. Received: .*or meaning"):
            self.fitting(centered, helpers.tiny_model(), ["image"])

    def test_wider_networks_compute_the_same(self):
        """And learn from their new channels, which old ones do not see at first."""
        how = {"condition": pa.conditions.Classes(3), "dtype": "float64"}
        blocks = {"gray_blocks": 1, "image_blocks": 1, "embedding_blocks": 1, "resolutions": 2}
        images, labels = helpers.images(4).pixels, np.arange(4) - 1
        for make in (
            functools.partial(pa.grayscale, helpers.SIZE, **blocks, **how),
            functools.partial(pa.pyramid, helpers.SIZE, (2, 3), blocks=1, depth=1, **how),
        ):
            earlier, model = helpers.randomized(make(filters=4)), make(filters=6)
            folder = helpers.temporary_folder(self)
            helpers.make_run(folder, earlier)
            names = list(model.factors)
            with contextlib.redirect_stdout(io.StringIO()):
                weights = first_weights.fitting(folder, model, names, new=names)
            inputs = model.inputs(images, labels)
            for name in names:
                factor, narrow = model.factors[name], earlier.factors[name]
                factor = factor.with_weights(weights[name])
                # In float32.
                narrow = narrow.with_weights(pa.load(folder).factors[name].weights)
                expected, own = narrow.log_prob(inputs[name]), inputs[name]
                self.assertAllClose(factor.log_prob(own), expected, rtol=1e-12, atol=0)
                keras_model = factor.keras_model()
                variables = keras_model.trainable_weights
                for _ in range(2):
                    with tf.GradientTape() as tape:
                        loss = keras_model.compute_loss(own, own.images, keras_model(own))
                    gradients = tape.gradient(loss, variables)
                    for variable, gradient in zip(variables, gradients):
                        variable.assign_sub(1e-3 * gradient)
                for variable, gradient in zip(variables, gradients):
                    learns = tf.reduce_any(gradient != 0, axis=range(len(variable.shape) - 1))
                    self.assertAllEqual(learns, tf.ones_like(learns), variable.path)


class TrainTest(helpers.TestCase):
    def train(self, folder, init=None, model=None):
        """(model, output)."""
        training = Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-9)
        model, images = model or helpers.tiny_model(), helpers.images(8)
        with contextlib.redirect_stdout(io.StringIO()) as output, helpers.eagerly():
            pa.train(model, training, images, images, folder, init=init)
        return model, output.getvalue()

    def test_a_run_keeps_the_first_weights_that_it_had(self):
        """From the run that the model was loaded from, read only once, or from `init`."""
        folder = helpers.temporary_folder(self)
        earlier, run, again = str(folder / "earlier"), folder / "run", folder / "again"
        other = helpers.tiny_model()
        other = other.with_factor(helpers.randomize(other.factors["grayscale"]))
        helpers.make_run(earlier, other, ["grayscale"])
        model, output = self.train(run, model=pa.load(earlier))
        self.assertIn(f"grayscale: first weights from {earlier}", output)
        self.assertIn(f"image: new first weights, since {earlier} has no weights of that", output)
        trained, expected = (x.factors["grayscale"].weights for x in (model, other))
        self.assertAllClose(trained, expected, atol=1e-7)
        with self.assertRaisesRegex(
            ValueError, f"'grayscale' with the weights of the run.*, {earlier}. Received: changed"
        ):
            self.train(again, model=model)  # since trained
        self.assertFalse(again.exists())
        RunFolder(earlier)["image"].save_weights(other.factors["image"])
        for options in ({"model": model}, {"model": pa.load(run)}):
            self.assertNotIn("first weights", self.train(run, **options)[1])
        shutil.rmtree(earlier)
        self.train(run, earlier)
        with self.assertRaisesRegex(ValueError, "grayscale.init: null instead of"):
            self.train(run)
        self.assertIn(f"image: first weights from {run}", self.train(again, run)[1])
