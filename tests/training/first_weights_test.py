"""Tests of which weights training starts from: those that mean the same, not only of the same shapes."""

import contextlib
import functools
import io

import keras
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.training import first_weights
from tests import helpers


@keras.saving.register_keras_serializable(package="tests")
class Darkness(pa.auxiliary.Grayscale):
    """The negative of the grays."""

    def __call__(self, images):
        return 15 - super().__call__(images)

    def fixed_sum(self, num_values):
        return None


@keras.saving.register_keras_serializable(package="tests")
class Tones(pa.auxiliary.Transform):
    """Between which of some values the red ones are."""

    channels = 1

    def __init__(self, values):
        self.values = values
        self.num_values = len(values) + 1

    def get_config(self):
        return {"values": self.values}

    def __call__(self, images):
        red = keras.ops.cast(images[..., :1], "int32")
        return keras.ops.cast(sum(keras.ops.cast(red >= x, "int32") for x in self.values), "uint8")


class FittingTest(tf.test.TestCase):
    """Of one and the same networks, which have weights of the same shapes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.earlier = helpers.temporary_folder(cls)
        model = helpers.tiny_model(centered=True)
        helpers.make_run(cls.earlier, model, model.factors)

    def fitting(self, model):
        """(names of the factors that start from the run's weights, what is told)."""
        names = list(model.factors)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            found = first_weights.fitting(self.earlier, model, names, names)
        return list(found), output.getvalue()

    def test_exact_and_dropout_are_no_matter(self):
        for changes in ({"exact": True}, {"dropout": 0.5}, {"dtype": "float64"}):
            found, _ = self.fitting(helpers.tiny_model(centered=True, **changes))
            self.assertEqual(found, ["grayscale", "image"], changes)

    def test_tuples_are_lists_in_a_run(self):
        network = {"topology": pa.networks.topology.flat(1), "filters": 4}
        make = functools.partial(pa.chain, [Tones((64, 192))], helpers.SIZE, network, network)
        self.earlier = helpers.temporary_folder(self)
        helpers.make_run(self.earlier, make(), ["tones", "image"])
        found, _ = self.fitting(make())
        self.assertEqual(found, ["tones", "image"])

    def test_another_likelihood(self):
        model = helpers.tiny_model()
        found, output = self.fitting(model)
        self.assertEqual(found, ["grayscale"])
        self.assertIn(
            f"image: new first weights, since {self.earlier} has likelihood.config.centered: true instead "
            "of false",
            output,
        )
        with self.assertRaisesRegex(ValueError, "factors image. Received: .*or meaning"):
            first_weights.fitting(self.earlier, model, ["image"], ["image"])

    def test_another_auxiliary_image(self):
        network = {"topology": pa.networks.topology.flat(1), "filters": 4}
        self.earlier = helpers.temporary_folder(self)
        model = helpers.tiny_model()
        helpers.make_run(self.earlier, model, model.factors)
        model = pa.chain([Darkness()], helpers.SIZE, network, network, ["grayscale", "image"], 2)
        found, output = self.fitting(model)
        self.assertEqual(found, ["grayscale"])
        self.assertIn('transform.class_name: "Grayscale" instead of "Darkness"', output)


if __name__ == "__main__":
    tf.test.main()
