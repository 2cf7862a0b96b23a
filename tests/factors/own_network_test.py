"""A network of one's own, in one file, goes through everything that models do."""

from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import sums
from pixelcnn_aux.base import arrays
from pixelcnn_aux.factors import causality
from pixelcnn_aux.networks import MaskedPixelCNN, ParallelPixelCNN, PixelCNN, topology
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.serving import exporting
from tests import helpers

FILE = helpers.ROOT / "docs" / "extending.md"
IMAGES = helpers.pictures(4)


def documented():
    """The class of docs/extending.md."""
    text = FILE.read_text()
    start = text.index("from pixelcnn_aux.networks import shift_down, shift_right")
    code = text[start : text.index("\n\ndef causal(")].replace('"mine"', '"own_network_test"')
    namespace = {"arrays": arrays, "pa": pa}
    exec(code, namespace)
    return namespace["Causal"]


Causal = documented()


def attention(y, seen):
    """The mean of all pixels, weighted by their likeness, of those that are `seen`, by a shape."""
    batch, height, width, channels = y.shape
    flat = arrays.reshape(y, (batch, height * width, channels))
    logits = flat @ arrays.swapaxes(flat, 1, 2)
    logits = np.where(seen((height * width,) * 2) > 0, logits, np.float32(-1e9))
    return arrays.reshape(arrays.exp(arrays.log_softmax(logits, -1)) @ flat, y.shape)


def of_blocks(x):
    """The mean of each block of 2 x 2, at its pixels: no feature of an auxiliary image."""
    places = sums.by_place(x, 2)
    return sums.from_places([sum(places) / 4] * 4, 2, x.shape[1:3])


class Changed(Causal):
    """That network with other `outputs`, by a layer that nothing masks."""

    kernel = 1

    def make(self, layers):
        super().make(layers)
        kernel_size = self.kernel, self.kernel
        self.layer = layers.convolution("layer", self.num_params, kernel_size, "unshifted")

    def forward(self, x, features=()):
        return self.outputs(x, super().forward(x, features))


def factor_of(network):
    """A conditional factor of this network, of six values."""
    shape = {1: topology.flat(1), 2: topology.pixelcnn_pp(1, 2)}[network.num_resolutions]
    kind, below = pa.likelihoods.Categorical(6), pa.likelihoods.Categorical(2)
    return pa.Factor(kind, network, pa.networks.Embedding(shape, 4), auxiliary_likelihood=below)


def changed(outputs, **attributes):
    return factor_of(type("Wrong", (Changed,), {"outputs": outputs, **attributes})(8, 6))


# Names, parts of the errors, attributes, and outputs, by those of `Causal`, y.
WRONG = (
    ("itself", r"(\[., .\]) that depend on \1", {}, lambda net, x, y: y + net.layer(x)),
    ("padding", "depend on", {"kernel": 3}, lambda net, x, y: y + net.layer(x)),
    ("no_gradient", "depend on", {}, lambda net, x, y: y + arrays.floor(net.layer(x))),
    ("attention", "depend on", {}, lambda net, x, y: attention(y, np.ones)),
    ("mean", r"\[0, 0\] that", {}, lambda net, x, y: y - arrays.mean(y, (1, 2), keepdims=True)),
    ("batch", r"other images\.", {}, lambda net, x, y: y - arrays.mean(y, 0, keepdims=True)),
    ("blocks", "depend on", {"multiple": 2}, lambda net, x, y: y + net.layer(of_blocks(x))),
    ("radius", "most 2 blocks", {"radius": 2}, lambda net, x, y: arrays.cumsum(y, 1)),
    ("shape", r"to give \(25, 6, 9, 6\)", {}, lambda net, x, y: arrays.swapaxes(y, 1, 2)),
    ("error", "an error", {}, lambda net, x, y: y[:, ::2] + y[:, :2] if x.shape[1] > 1 else y),
)


class CausalityTest(helpers.TestCase):
    @parameterized.named_parameters(*WRONG)
    def test_refused(self, reason, attributes, outputs):
        with self.assertRaisesRegex(ValueError, reason):
            changed(outputs, **attributes)

    def test_features_beyond_the_radius_are_refused(self):
        def forward(self, x, features=()):
            return Causal.forward(self, x, [f[:, ::-1] for f in features])

        with self.assertRaisesRegex(ValueError, "at most 2 blocks away"):
            changed(None, forward=forward, radius=2)
        changed(None, forward=forward, radius=2, check_causality=False)

    def test_accepted(self):
        changed(lambda net, x, y: attention(y, lambda shape: np.tril(np.ones(shape))))
        changed(lambda net, x, y: y - arrays.mean(y, -1, keepdims=True))

    @parameterized.parameters(
        lambda: PixelCNN(topology.pixelcnn_pp(1, 2), 4, 6),
        lambda: PixelCNN(topology.flat(1), 4, 6),
        lambda: ParallelPixelCNN(1, 4, 6, parts=(2, 1, 3, 1)),
        lambda: ParallelPixelCNN(1, 4, 6, parts=[8]),
        lambda: MaskedPixelCNN(1, 4, 6),
    )
    def test_networks_of_the_package(self, make):
        factor = factor_of(make())
        causality.check(factor)
        turns = type(factor.network).turns
        with mock.patch.object(type(factor.network), "turns", lambda *x: -turns(*x)):
            with self.assertRaisesRegex(ValueError, "depend on"):
                causality.check(factor)


def build(dtype="float32", condition=None):
    """A chain of grays and colors by that network."""

    def network(num_params):
        return Causal(8, num_params)

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
        message = "an argument named num_params. Received: .*<lambda>.*Name it so"
        with self.assertRaisesRegex(ValueError, message):
            pa.chain([], helpers.SIZE, lambda n: Causal(8, n))
        with self.assertRaisesRegex(TypeError, "of its own"):  # is the function's
            pa.chain([], helpers.SIZE, mock.Mock(side_effect=TypeError("of its own")))

    def test_a_condition_needs_gated_blocks(self):
        with self.assertRaisesRegex(ValueError, "blocks.*'grayscale'.*none in Causal"):
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
        by_keras = helpers.redrawn(loaded, images, [[0, 0], [0, 1]])
        self.assertAllEqual(by_keras["image"], images["image"])

        config = RunFolder(folder / "run").config_file
        name = pa.serialization.registered_name(Causal)
        config.write_text(config.read_text().replace(name, "mine>Other"))
        message = "the network of the factor 'grayscale'.* Received: mine>Other.*--plugin"
        with self.assertRaisesRegex(ValueError, message):
            pa.load(folder / "run")

    def test_exported(self):
        """The export is compared with the model as it is written."""
        folder = helpers.temporary_folder(self)
        helpers.make_run(folder / "run", build(), ["grayscale", "image"])
        names = ["sample", "log_prob"]
        with helpers.exports_run_here():
            exporting.export(folder / "run", folder / "models", max_batch=4, names=names)
