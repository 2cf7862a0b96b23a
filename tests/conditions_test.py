"""Tests of conditions: what they change, what they leave as it is, and what is refused."""

import json
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import conditions, data
from pixelcnn_aux.training import first_weights
from tests import helpers

CLASSES, VECTOR = conditions.Classes(3), conditions.Vector(2)
LABELS = [0, -1, 2]
VECTORS = [[0.5, -1.0], [0.0, 0.0], [3.0, 0.0]]


def twins(condition):
    """A model with a condition and one without, with the same first weights."""
    for each in (condition, None):
        keras.utils.set_random_seed(0)
        yield helpers.tiny_model(condition=each, exact=True, centered=True)


class ConditionsTest(helpers.TestCase):
    @parameterized.parameters((CLASSES, LABELS), (VECTOR, VECTORS))
    def test_a_new_model_is_the_unconditional_one_until_it_is_trained(self, condition, values):
        """To the last bit. Unknown conditions change nothing later, either."""
        model, unconditional = twins(condition)
        images = helpers.pictures(3)
        with helpers.eagerly():
            expected = unconditional.log_prob(images)
            self.assertAllEqual(model.log_prob(images, values), expected)
            helpers.randomize_conditions(model)
            changed = model.log_prob(images, values) != expected
            self.assertAllEqual(model.log_prob(images), expected)
            density = model.with_exact(False).log_density(images.astype(np.float32))
            expected = unconditional.with_exact(False).log_density(images.astype(np.float32))
            self.assertAllEqual(density, expected)
        self.assertAllEqual(changed, [True, False, True])

    @parameterized.parameters((CLASSES, np.int64(LABELS)), (VECTOR, np.float64(VECTORS)))
    def test_keras_passes_on_values_of_any_width(self, condition, values):
        model = helpers.tiny_model(condition=condition)
        helpers.randomize_conditions(model)
        images, factor = helpers.pictures(3), model.factors["image"]
        inputs = model.inputs(images, values)["image"]
        keras_model = factor.keras_model()
        keras_model.compile(run_eagerly=True)
        found = keras_model.evaluate((images, inputs.auxiliary, values), images, verbose=0)
        bits = -np.mean(factor.log_prob(inputs)) / images[0].size / np.log(2)
        self.assertAllClose(found, bits)

    def test_draws_of_classes(self):
        model = helpers.randomized(helpers.tiny_model(condition=CLASSES, exact=True))
        images = helpers.pictures(3)
        for name, inputs in model.inputs(images, LABELS).items():
            others = inputs._replace(condition=[1, 1, 1])
            params, changed = map(model.factors[name].params, (inputs, others))
            self.assertGreater(np.abs(params - changed).mean(), 0.1)
        seeds = [[0, 0]] * 4
        drawn = model.sample(seeds, condition=[0, 1, 0, -1])["image"]
        self.assertAllEqual(model.sample(seeds)["image"][3], drawn[3])
        self.assertAllEqual(drawn[0], drawn[2])
        self.assertEqual(len({image.tobytes() for image in drawn}), 3)

    def test_classes_of_images_by_the_rule_of_bayes(self):
        model, images = helpers.tiny_model(condition=CLASSES), helpers.pictures(4)
        helpers.randomized(model)
        joint = np.stack([model.log_prob(images, [k] * 4) for k in range(3)], axis=1)
        joint -= joint.max(axis=1, keepdims=True)
        expected = joint - np.log(np.exp(joint).sum(axis=1, keepdims=True))
        with mock.patch("pixelcnn_aux.batches.MAX_PIXELS", 2 * 4 * 6):  # two classes at once
            self.assertAllClose(model.class_log_probs(images), expected, 1e-3, 1e-3)

    @parameterized.parameters(
        (CLASSES, CLASSES), (CLASSES, conditions.Classes(5)), (CLASSES, None), (None, VECTOR)
    )
    def test_first_weights_of_a_model_of_another_condition(self, own, other):
        """Images without a class keep their likelihoods; with the same classes, all images do."""
        how = {"exact": True, "centered": True}
        model, earlier = (helpers.tiny_model(condition=each, **how) for each in (own, other))
        helpers.make_run(self.folder, helpers.randomized(earlier))
        names = list(model.factors)
        found = first_weights.fitting(self.folder, model, names, new=names)
        for name in names:
            model.factors[name] = model.factors[name].with_weights(found[name])
        images, labels = helpers.pictures(3), own and LABELS
        expected = earlier.log_prob(images, labels if own == other else None)
        self.assertAllEqual(model.log_prob(images, labels), expected)

    def test_factors_of_other_conditions(self):
        model, unconditional = twins(CLASSES)
        images, of_vectors = helpers.pictures(3), helpers.tiny_model(condition=VECTOR)
        with self.assertRaisesRegex(ValueError, "Expected a condition"):
            keras_model = model.factors["grayscale"].keras_model()
            keras_model(unconditional.auxiliaries(images)["grayscale"])
        factors = [model.factors["grayscale"], of_vectors.factors["image"]]
        with self.assertRaisesRegex(ValueError, "same condition for all factors.*vectors of 2"):
            pa.AuxiliaryModel(factors, model.transforms, model.image_size)


class TrainingTest(helpers.TestCase):
    def train(self, images):
        """A factor that is trained on images of classes, in three steps."""
        once = {"steps_per_epoch": 1, "batch_size": 4, "learning_rate": 1e-2, "accumulate": 2}
        model, settings = helpers.tiny_model(condition=CLASSES), pa.Training(epochs=3, **once)
        with helpers.eagerly():
            return helpers.train(model, "grayscale", images, images, settings, self.folder)

    def test_labels_reach_the_steps(self):
        pixels, labels = helpers.pictures(8), [0, 1, 2, 0, 1, 2, 0, 1]
        factor = self.train(data.from_arrays(pixels, labels))
        condition = [weight for path, weight in factor.weights.items() if path.endswith("/h")]
        self.assertTrue(all(np.any(weight) for weight in condition))
        settings = json.loads((self.folder / "grayscale" / "training.json").read_text())
        self.assertIn("labels_crc32", settings)
        self.assertEqual(pa.load(self.folder).condition.num_classes, 3)
        with self.assertRaisesRegex(ValueError, "labels_crc32"):
            self.train(data.from_arrays(pixels, [0] * 8))
        # The same images and labels in another form, and of another dtype.
        self.train(list(zip(pixels, np.uint8(labels))))

    def test_wrong_labels(self):
        with self.assertRaisesRegex(ValueError, "a label for each image.*none for 1 in element 0"):
            self.train(list(helpers.pictures(8)))
