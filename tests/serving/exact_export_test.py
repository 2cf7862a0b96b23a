"""Tests of exports of an exact chain with classes, whose draws agree with auxiliary images."""

import functools
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.auxiliary import Grayscale
from pixelcnn_aux.networks import topology
from pixelcnn_aux.serving import verify
from pixelcnn_aux.serving.signatures import check_names, signatures
from tests import custom, helpers
from tests.serving.export_test import check_tensors

SIZE = helpers.SIZE
SEEDS = np.random.default_rng(0).integers(-(2**31), 2**31, (20, 2)).astype(np.int32)
LABELS = (np.arange(len(SEEDS)) % 4 - 1).astype(np.int32)
HOW = {
    "seed": SEEDS,
    "log_scale_shift": np.linspace(-1, 0, len(SEEDS), dtype=np.float32),
    "condition": LABELS,
}
FLAT = {"topology": topology.flat(1), "filters": 4}
NAMES = ["sample", "given_gray", "complete", "log_prob", "auxiliaries"]
FOLDER = tempfile.TemporaryDirectory()  # removed when the process ends


def model():
    """A new model, since exports do not support traced ones."""
    how = {"embedding": FLAT, "names": ["gray", "image"], "condition": pa.conditions.Classes(3)}
    return helpers.randomized(pa.chain([Grayscale()], SIZE, FLAT, **how))


@functools.cache
def exported():
    """An export, loaded again."""
    module, functions = signatures(model(), NAMES)
    tf.saved_model.save(module, FOLDER.name, functions)
    return tf.saved_model.load(FOLDER.name)


class Coins(Grayscale):
    """Two-valued grays with a likelihood without bounds."""

    name = "coins"

    def likelihood(self):
        return custom.Coin()


class ExactExportTest(helpers.TestCase):
    def call(self, name, **inputs):
        inputs = {key: tf.constant(x) for key, x in inputs.items()}
        return exported().signatures[name](**inputs)

    def assertAgree(self, images):
        self.assertAllEqual(Grayscale()(images["image"]), images["gray"])

    def test_draws_agree(self):
        rng, count = np.random.default_rng(0), len(SEEDS)
        self.assertAgree(self.call("sample", **HOW))
        gray = rng.integers(16, size=(count, *SIZE, 1)).astype(np.uint8)
        self.assertAgree({**self.call("given_gray", **HOW, auxiliary=gray), "gray": gray})
        known = rng.choice([0, 255], (count, *SIZE, 3)).astype(np.uint8)
        mask = rng.integers(2, size=(count, *SIZE, 1)).astype(np.uint8)
        images = self.call("complete", **HOW, image=known, mask=mask)
        self.assertAgree(images)
        self.assertAllEqual(np.where(mask, known, images["image"]), images["image"])

    def test_classes(self):
        check_tensors(self, exported().signatures, model())
        images = helpers.pictures(len(SEEDS), size=SIZE)
        described = self.call("auxiliaries", image=images)
        self.assertAllEqual(described["num_classes"], [3] * len(SEEDS))
        found = self.call("log_prob", image=images, condition=LABELS)["log_prob"]
        self.assertAllClose(found, model().log_prob(images, LABELS), rtol=1e-5)
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "condition from -1 to 2"):
            self.call("log_prob", image=images[:1], condition=np.int32([3]))
        # With the same seeds, these draws differ only by their labels.
        same = {"seed": SEEDS[:1].repeat(3, axis=0), "log_scale_shift": np.zeros(3, np.float32)}
        drawn = self.call("sample", **same, condition=np.int32([0, 1, 0]))["image"].numpy()
        self.assertAllEqual(drawn[0], drawn[2])
        self.assertNotAllEqual(drawn[0], drawn[1])

    def test_vectors(self):
        chain = pa.chain([], SIZE, FLAT, embedding=FLAT, condition=pa.conditions.Vector(2))
        chain.factors["image"] = helpers.randomize(chain.factors["image"])
        images, vectors = helpers.pictures(2, size=SIZE), np.float32([[0.5, -1.0], [0.0, 0.0]])
        _, functions = signatures(chain, names=["log_prob", "auxiliaries"])
        answer = functions["log_prob"](image=tf.constant(images), condition=tf.constant(vectors))
        self.assertAllClose(answer["log_prob"], chain.log_prob(images, vectors), rtol=1e-5)
        described = functions["auxiliaries"](image=tf.constant(images))
        self.assertAllEqual(described["vector_size"], [2, 2])

    def test_verification(self):
        self.enter_context(helpers.exports_run_here())
        self.enter_context(mock.patch.object(tf.saved_model, "load", return_value=exported()))
        verify.verify(FOLDER.name, model(), NAMES, max_batch=8)
        contradicting = "agree with their .*by sample, images of 'image' that do not"
        for fixed_sum, message in (
            (Grayscale().fixed_sum(256).with_exact(False), "of the pixels different"),
            (Grayscale(5).fixed_sum(256), contradicting),
            (None, "of the pixels different"),
        ):
            other = model()
            image = other.factors["image"]
            if fixed_sum is None:  # other classes
                image = helpers.altered(image, lambda h: h[::-1], "/h")
            else:
                image = image.with_fixed_sum(fixed_sum)
            other.factors["image"] = image
            with self.assertRaisesRegex(RuntimeError, message):
                verify.verify(FOLDER.name, other, NAMES, max_batch=8)

    def test_a_likelihood_without_bounds_below_an_exact_factor(self):
        chain = pa.chain([Coins(1)], (2, 2), FLAT, embedding=FLAT)
        served = "sample map given_coins log_prob auxiliaries".split()  # Coin has no density
        self.assertEqual(check_names(chain, None), served)
        _, functions = signatures(chain, names=["sample"])
        seeds = tf.constant(SEEDS)
        images = functions["sample"](seed=seeds, log_scale_shift=tf.zeros(len(SEEDS)))
        self.assertAllEqual(Grayscale(1)(images["image"]), images["coins"])
        known = np.zeros([len(SEEDS), 2, 2, 3], np.uint8)
        how = {"known": known, "mask": known[..., :1]}
        message = "likelihood of 'coins' that has bounds.*'image'.* Received: Coin. Give it bounds"
        with self.assertRaisesRegex(ValueError, message):
            chain.sample(seeds, **how)
        given = chain.sample(seeds, given={"coins": known[..., :1]}, **how)["image"]
        self.assertAllEqual(Grayscale(1)(given), known[..., :1])
