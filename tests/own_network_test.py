"""A network of one's own, in one file, goes through everything that models do."""

import contextlib
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux import causality
from pixelcnn_aux.networks import MaskedPixelCNN, ParallelPixelCNN, PixelCNN, topology
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


def attention(y, seen):
    """The mean of all pixels, weighted by their likeness, of those that are `seen`, by a shape."""
    batch, height, width, channels = y.shape
    flat = ops.reshape(y, (batch, height * width, channels))
    logits = ops.where(seen((height * width,) * 2) > 0, flat @ ops.swapaxes(flat, 1, 2), -1e9)
    return ops.reshape(ops.softmax(logits) @ flat, y.shape)


def of_blocks(x):
    """The mean of each block of 2 x 2, at its pixels: no feature of an auxiliary image."""
    return ops.repeat(ops.repeat(ops.average_pool(x, 2), 2, axis=1), 2, axis=2)


class Changed(Causal):
    """That network with other `outputs`, by a layer that nothing masks."""

    kernel, initial = 1, "glorot_uniform"

    def __init__(self, filters, num_params, **kwargs):
        super().__init__(filters, num_params, **kwargs)
        how = {"padding": "same", "kernel_initializer": self.initial}
        self.layer = keras.layers.Conv2D(num_params, self.kernel, **how)

    def call(self, x, features=(), training=None):
        return self.outputs(x, super().call(x, features), training)


def factor_of(network):
    """A conditional factor of this network, of six values."""
    shape = {1: topology.flat(1), 2: topology.pixelcnn_pp(1, 2)}[network.num_resolutions]
    kind, below = pa.likelihoods.Categorical(6), pa.likelihoods.Categorical(2)
    return pa.Factor(kind, network, pa.networks.Embedding(shape, 4), auxiliary_likelihood=below)


def changed(outputs, **attributes):
    return factor_of(type("Wrong", (Changed,), {"outputs": outputs, **attributes})(8, 6))


# Names, parts of the errors, attributes, and outputs, by those of `Causal`, y.
WRONG = (
    ("itself", r"(\[., .\]) that depend on \1", {}, lambda net, x, y, _: y + net.layer(x)),
    ("padding", "depend on", {"kernel": 3}, lambda net, x, y, _: y + net.layer(x)),
    ("zeros_at_first", "depend on", {"initial": "zeros"}, lambda net, x, y, _: y + net.layer(x)),
    ("no_gradient", "depend on", {}, lambda net, x, y, _: y + ops.floor(net.layer(x))),
    ("attention", "depend on", {}, lambda net, x, y, _: attention(y, ops.ones)),
    ("mean", r"\[0, 0\] that", {}, lambda net, x, y, _: y - ops.mean(y, (1, 2), keepdims=True)),
    ("batch", r"other images\.", {}, lambda net, x, y, _: y - ops.mean(y, 0, keepdims=True)),
    (
        "training",
        "in training",
        {},
        lambda net, x, y, training: y + net.layer(x) if training else y,
    ),
    ("blocks", "depend on", {"multiple": 2}, lambda net, x, y, _: y + net.layer(of_blocks(x))),
    ("radius", "most 2 blocks", {"radius": 2}, lambda net, x, y, _: ops.cumsum(y, axis=1)),
    ("shape", r"to give \(25, 6, 9, 6\)", {}, lambda net, x, y, _: ops.swapaxes(y, 1, 2)),
    ("error", "an error", {}, lambda net, x, y, _: ops.reshape(y, (-1, 1, 1, 6)) + y[:, ::2]),
)


class CausalityTest(helpers.TestCase):
    @parameterized.named_parameters(*WRONG)
    def test_refused(self, reason, attributes, outputs):
        with self.assertRaisesRegex(ValueError, reason):
            changed(outputs, **attributes)

    def test_features_beyond_the_radius_are_refused(self):
        def call(self, x, features=(), training=None):
            return Causal.call(self, x, [ops.flip(f, axis=1) for f in features])

        with self.assertRaisesRegex(ValueError, "at most 2 blocks away"):
            changed(None, call=call, radius=2)
        changed(None, call=call, radius=2, check_causality=False)

    def test_batch_normalization_is_refused_and_that_of_channels_accepted(self):
        for layer in (keras.layers.LayerNormalization(), keras.layers.BatchNormalization()):
            refused = contextlib.nullcontext()
            if isinstance(layer, keras.layers.BatchNormalization):
                refused = self.assertRaisesRegex(ValueError, "other images in training")
            with refused:
                changed(lambda net, x, y, training, layer=layer: layer(y, training=training))

    @parameterized.parameters(
        lambda net, x, y, _: attention(y, lambda shape: ops.tril(ops.ones(shape))),
        lambda net, x, y, training: keras.random.dropout(y, 0.5) if training else y,
    )
    def test_accepted(self, outputs):
        changed(outputs)

    @parameterized.parameters(
        lambda: PixelCNN(topology.pixelcnn_pp(1, 2), 4, 6),
        lambda: PixelCNN(topology.flat(1), 4, 6),
        lambda: ParallelPixelCNN(1, 4, 6, parts=(2, 1, 3, 1)),
        lambda: ParallelPixelCNN(1, 4, 6, parts=[8]),
        lambda: MaskedPixelCNN(1, 4, 6),
    )
    def test_networks_of_the_package(self, make):
        network = make()
        factor = factor_of(network)
        before = factor.get_weights()
        causality.check(factor)
        for initial, now in zip(before, factor.get_weights(), strict=True):
            self.assertAllEqual(initial, now)
        turns = network.turns
        with mock.patch.object(network, "turns", lambda size: -turns(size)):
            with self.assertRaisesRegex(ValueError, "depend on"):
                causality.check(factor)


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

    def test_a_function_of_other_arguments_is_named(self):
        message = "arguments named num_params and dtype. Received: .*<lambda>.* 'n'.*Name them so"
        with self.assertRaisesRegex(ValueError, message):
            pa.chain([], helpers.SIZE, lambda n, dtype: Causal(8, n, dtype=dtype))
        with self.assertRaisesRegex(TypeError, "of its own"):  # is the function's
            pa.chain([], helpers.SIZE, mock.Mock(side_effect=TypeError("of its own")))

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
