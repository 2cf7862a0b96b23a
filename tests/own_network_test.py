"""A network of one's own, in one file, goes through everything that models do."""

import keras
import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.serving import exporting
from tests import helpers

FILE = helpers.ROOT / "docs" / "extending.md"
IMAGES = helpers.pictures(4)


def documented():
    """The class of docs/extending.md."""
    text = FILE.read_text()
    code = text[text.index("class Causal(") : text.index("\n\ndef causal(")]
    namespace = {"keras": keras, "ops": keras.ops, "pa": pa}
    exec(code, namespace)
    return keras.saving.register_keras_serializable(package="own_network_test")(namespace["Causal"])


Causal = documented()


def build(dtype=None, condition=None):
    """A chain of grays and colors by that network."""

    def network(num_params, dtype):
        return Causal(8, num_params, dtype=dtype)

    embedding = {"topology": pa.networks.topology.flat(1), "filters": 4}
    transforms = [pa.auxiliary.Grayscale()]
    how = {"num_components": 2, "dtype": dtype, "condition": condition}
    return pa.chain(transforms, helpers.SIZE, network, embedding=embedding, **how)


class OwnNetworkTest(helpers.TestCase):
    def test_probabilities_of_all_grays_sum_to_one(self):
        grayscale = build("float64").factors["grayscale"]
        nats = grayscale.log_prob(helpers.all_images(16, 1, 2, 1))
        self.assertAllClose(np.sum(np.exp(nats)), 1.0, rtol=1e-9)

    def test_a_condition_needs_gated_blocks(self):
        with self.assertRaisesRegex(ValueError, "gated blocks.*'grayscale'.*none in Causal"):
            build(condition=pa.conditions.Classes(2))

    def test_trained_loaded_and_drawn_from(self):
        self.enter_context(helpers.eagerly())
        folder = helpers.temporary_folder(self)
        model = build()
        training = pa.Training(epochs=1, steps_per_epoch=2, batch_size=2, learning_rate=1e-2)
        pa.train(model, training, IMAGES, IMAGES, folder / "run")
        loaded = pa.load(folder / "run", dtype="float64")
        self.assertAllClose(loaded.log_prob(IMAGES), model.log_prob(IMAGES), rtol=1e-5)
        self.assertTrue(loaded.exact)

        images = loaded.sample([[0, 0], [0, 1]])
        self.assertAllEqual(pa.auxiliary.Grayscale()(images["image"]), images["grayscale"])
        full = loaded.sample([[0, 0], [0, 1]], method="full")
        self.assertAllEqual(full["image"], images["image"])
        inputs, factor = loaded.inputs(IMAGES)["image"], loaded.factors["image"]
        forced = factor.params(inputs, method="incremental")
        self.assertAllClose(forced, factor.params(inputs), rtol=1e-9)

    def test_exported(self):
        """The export is compared with the model as it is written."""
        folder = helpers.temporary_folder(self)
        helpers.make_run(folder / "run", build(), ["grayscale", "image"])
        names = ["sample", "log_prob"]
        with helpers.exports_run_here():
            exporting.export(folder / "run", folder / "models", max_batch=4, names=names)
