"""Loaded models agree with their Keras models: trained models, and small ones of other kinds.

`agreement_test` compares small models of every kind.
"""

import functools
import pathlib
import tempfile
from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.auxiliary import Grayscale
from pixelcnn_aux.base import arguments
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers
from tests.codec import helpers as codec_helpers

HALVED = {"topology": pa.networks.topology.pixelcnn_pp(blocks=1, resolutions=2), "filters": 4}
CLASSES = {"network": HALVED, "condition": pa.conditions.Classes(3)}
MODELS = {
    "classes": lambda: helpers.random_chain([Grayscale()], (4, 6), **CLASSES),
    "rounded": codec_helpers.model,
    "masked": lambda: codec_helpers.model(masked=1, masked_blocks=1),
}
TRAINED = ("cifar10-pyramid", "photographs")  # of the others, `light_installation` has figures
ROUNDED = ("rounded", "masked", "photographs")  # only in float32
RUNS = tempfile.TemporaryDirectory()  # until the process ends
ANY = (5, 7)  # of models of images of any size: blocks do not divide it
SEEDS = np.array([[0, 0], [1, -7]], np.int32)


@functools.cache
def loaded(name, dtype="float64"):
    """A model of the matrix: none may change it."""
    dtype = "float32" if name in ROUNDED else dtype
    run = name if name in TRAINED else pathlib.Path(RUNS.name, name)
    if name not in TRAINED and not run.exists():
        RunFolder(run).save_model(MODELS[name]())
    return pa.load(run, dtype=dtype)


def some_images(name, model):
    """A photograph for a trained model; for others an image of noise, and one of the values at both ends."""
    kind, random = model.likelihood, np.random.default_rng(0)
    if name in TRAINED:
        return data.load("photos", "test").take([0])
    shape, last = (*(model.image_size or ANY), kind.num_channels), kind.num_values - 1
    images = [random.integers(0, last, shape, endpoint=True), random.choice([0, last], shape)]
    return np.array(images).astype(arguments.pixel_dtype(kind.num_values))


def some_conditions(model, count=2):
    return model.condition and np.array([1, -1][:count], model.condition.dtype)


def of_keras(model, images, condition):
    """`params` and `log_probs`, by Keras's networks and its tensors' likelihoods: two dicts."""
    params, nats = {}, {}
    for name, inputs in model.inputs(images, condition).items():
        factor = model.factors[name]
        params[name] = found = factor.keras_model()(inputs, training=False)
        bounds = factor.fixed_sum and factor.fixed_sum.bounds(inputs.images, inputs.auxiliary)
        nats[name] = factor.likelihood.log_prob(found, inputs.images, bounds)
    return params, {name: np.sum(x, axis=(1, 2)) for name, x in nats.items()}


class ModelTest(helpers.ImagesTestCase):
    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        loaded.cache_clear()

    def assertNear(self, found, expected, dtype):
        """Differences of at most 1e-5 of the largest in float32, and 1e-12 in float64."""
        self.assertEqual([*found], [*expected])
        for key, x in expected.items():
            self.assertEqual((type(found[key]), found[key].dtype.name), (np.ndarray, dtype))
            most = (1e-12 if dtype == "float64" else 1e-5) * np.abs(x).max()
            self.assertAllClose(found[key], x, rtol=0, atol=most, msg=key)

    @parameterized.parameters(*MODELS, *TRAINED)
    def test_likelihoods(self, name):
        model = loaded(name)
        images = some_images(name, model)
        condition = some_conditions(model, len(images))
        params, nats = of_keras(model, images, condition)
        bits = {key: -x / np.log(2) / images[0].size for key, x in nats.items()}
        bits["total"] = sum(bits.values())
        for dtype in ("float32", "float64") if name == "classes" else ("float32",):
            model = loaded(name, dtype)
            self.assertNear(model.params(images, condition), params, dtype)
            self.assertNear(model.bits_per_dim(images, condition), bits, dtype)

    def test_compressed_files_find_trained_models(self):
        for name, card in pa.pretrained().items():
            self.assertEqual(tensors.fingerprint(pa.load(name)), card["fingerprint"])

    @parameterized.parameters("rounded", "masked", *TRAINED)
    def test_draws(self, name):
        """They are those of Keras's networks on whole images."""
        model = loaded(name)
        seeds, condition = SEEDS[:1], some_conditions(model, 1)
        drawn = model.with_image_size((16, 16)).sample(seeds, condition=condition)
        self.assertSameImages(helpers.redrawn(model, drawn, seeds, condition), drawn)

    def test_draws_given_the_same_embed_it_once(self):
        model = loaded("classes")
        different = np.random.default_rng(0).integers(0, 16, (3, 4, 6, 1), np.uint8)
        same = different[[1, 1, 1]]
        seeds, embed = np.arange(6, dtype=np.int32).reshape(3, 2), pa.Factor.embed
        for alike, grays, condition in (
            (False, different, [2, 2, 2]),
            (False, same, [2, 1, 2]),
            (True, same, [2, 2, 2]),
        ):
            with mock.patch.object(pa.Factor, "embed", autospec=True, side_effect=embed) as once:
                drawn = model.sample(seeds, given={"x0": grays}, condition=condition)
            self.assertEqual([len(call.args[1]) for call in once.mock_calls], [1 if alike else 3])
            for k in range(3):
                row = slice(k, k + 1)
                how = {"given": {"x0": grays[row]}, "condition": condition[row]}
                [one] = model.sample(seeds[row], **how)["x1"]
                self.assertAllEqual(drawn["x1"][k], one)
