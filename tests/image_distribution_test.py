"""Tests of models as distributions of TensorFlow Probability: what its own tests ask of them."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import pixelcnn_aux as pa
from tests import helpers

tfd = tfp.distributions


class ImageDistributionTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.model = helpers.shared_model()
        self.dist = pa.distribution(self.model)

    def test_shapes_and_dtype(self):
        self.assertIsInstance(self.dist, tfd.Distribution)
        self.assertEqual(self.dist.event_shape, [4, 6, 3])
        self.assertEqual(self.dist.batch_shape, [])
        self.assertAllEqual(self.dist.event_shape_tensor(), [4, 6, 3])
        self.assertAllEqual(self.dist.batch_shape_tensor(), [])
        self.assertEqual(self.dist.dtype, tf.uint8)
        self.assertIn("event_shape=[4, 6, 3]", str(self.dist))
        for shape in ([], [2], [2, 3], [0]):
            images = self.dist.sample(shape, seed=1)
            self.assertEqual((images.shape, images.dtype), ([*shape, 4, 6, 3], tf.uint8))
            self.assertEqual(self.dist.log_prob(images).shape, shape)

    def test_log_prob_is_the_models(self):
        images = helpers.pictures(6)
        expected = self.model.log_prob(images)
        self.assertAllClose(self.dist.log_prob(images), expected)
        self.assertAllClose(self.dist.log_prob(images.reshape(2, 3, 4, 6, 3))[1], expected[3:])
        self.assertAllClose(self.dist.log_prob(tf.constant(images[0])), expected[0])
        self.assertAllClose(self.dist.prob(images), np.exp(expected))
        self.assertAllClose(tfd.Sample(self.dist, 6).log_prob(images), np.sum(expected))
        self.assertAllClose(self.dist.unnormalized_log_prob(images), expected)

    def test_copies(self):
        copy = self.dist.copy(name="digits", validate_args=True)
        self.assertEqual((copy.name, copy.validate_args), ("digits", True))
        self.assertIs(copy.model, self.model)
        self.assertEqual(copy.copy().parameters, copy.parameters)
        self.assertContainsSubset(
            map(id, self.dist.trainable_variables), map(id, self.dist.variables)
        )

    def test_within_other_distributions(self):
        images = helpers.pictures(2)
        expected = self.model.log_prob(images)
        joint = tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0), self.dist])
        log_prob = tfd.Normal(0.0, 1.0).log_prob(1.0) + expected
        self.assertAllClose(joint.log_prob([[1.0, 1.0], images]), log_prob)
        self.assertEqual(joint.sample(2, seed=1)[1].shape, [2, 4, 6, 3])
        self.assertAllClose(tfd.Independent(self.dist, 0).log_prob(images), expected)
        mixture = tfd.Mixture(tfd.Categorical(probs=[0.5, 0.5]), [self.dist, self.dist])
        self.assertAllClose(mixture.log_prob(images), expected)

    def test_gradients_are_those_of_the_model(self):
        """In each weight; one of them by finite differences."""
        images = helpers.pictures(2)
        dist = pa.distribution(helpers.randomized(helpers.tiny_model(dtype="float64")))
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(dist.log_prob(images))
        gradients = tape.gradient(total, dist.trainable_variables)
        count = sum(len(x.trainable_variables) for x in dist.model.factors.values())
        self.assertLen(gradients, count)
        self.assertNotIn(None, gradients)
        weight, step = dist.trainable_variables[-1], 1e-5
        direction = np.random.default_rng(0).normal(size=weight.shape)
        ends = []
        for sign in (1, -2):
            weight.assign_add(sign * step * direction)
            ends.append(float(tf.reduce_sum(dist.log_prob(images))))
        slope = (ends[0] - ends[1]) / (2 * step)
        self.assertAllClose(np.sum(gradients[-1] * direction), slope, rtol=1e-4)

    def test_draws_of_a_seed(self):
        one = self.dist.sample(3, seed=5)
        self.assertAllEqual(one, self.dist.sample(3, seed=5))
        self.assertAllEqual(one, self.dist.sample([3, 1], seed=5)[:, 0])
        for other in (6, [5, 0], [0, 5], [0, -5], None):
            self.assertNotAllEqual(one, self.dist.sample(3, seed=other))
        self.assertAllEqual(self.dist.sample(2, seed=[0, -5]), self.dist.sample(2, seed=[0, -5]))
        images, found = self.dist.experimental_sample_and_log_prob(2, seed=[1, 2])
        self.assertAllClose(found, self.model.log_prob(images))

    def test_in_a_graph(self):
        """Of numbers, a seed and conditions that it does not know yet: as outside."""
        kind = {"channels": 1, "bits": 2, "condition": pa.conditions.Classes(3)}
        model = pa.pixelcnn_pp((1, 2), filters=2, blocks=1, resolutions=1, **kind)
        dist, labels = pa.distribution(helpers.randomized(model)), tf.constant([0, 1, 2])
        helpers.randomize_conditions(model)

        @tf.function(
            input_signature=[tf.TensorSpec(None, "int32"), *[tf.TensorSpec([None], "int32")] * 2]
        )
        def draw(count, seed, labels):
            images = dist.sample([count, 3], seed, conditional_input=labels)
            images = tf.ensure_shape(images, [None, 3, 1, 2, 1])
            return images, dist.log_prob(images, conditional_input=labels), dist.sample(2, 5)

        images, log_prob, known = draw(4, [3, -4], labels)
        self.assertAllEqual(images, dist.sample([4, 3], [3, -4], conditional_input=labels))
        self.assertAllClose(log_prob, dist.log_prob(images, conditional_input=labels), rtol=1e-5)
        self.assertAllEqual(known, dist.sample(2, 5))

    def test_draws_have_their_probabilities(self):
        model = pa.pixelcnn_pp((1, 2), filters=2, blocks=1, resolutions=1, channels=1, bits=2)
        dist = pa.distribution(helpers.randomized(model))
        every = helpers.all_images(4, 1, 2, 1)
        drawn = np.asarray(dist.sample(2000, seed=3))[:, 0, :, 0]
        counts = np.bincount(4 * drawn[:, 0] + drawn[:, 1], minlength=16)
        self.assertAllClose(np.sum(dist.prob(every)), 1.0)
        self.assertGreater(helpers.chi_square_p_value(counts, dist.prob(every)), 1e-3)

    def test_conditions(self):
        """They broadcast with images; draws have one, or one for each of the last sides of a shape."""
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        helpers.randomize_conditions(model)
        dist, images = pa.distribution(model), helpers.pictures(2)
        found = dist.log_prob(images[:, np.newaxis], conditional_input=[0, 1, 2])
        expected = np.stack([model.log_prob(images, [x, x]) for x in range(3)], axis=1)
        self.assertAllClose(found, expected, rtol=1e-5)
        self.assertAllClose(dist.log_prob(images, conditional_input=2), expected[:, 2], rtol=1e-5)
        self.assertAllClose(dist.log_prob(images), model.log_prob(images))
        drawn = dist.sample([2, 3], seed=0, conditional_input=[0, 1, 2])
        self.assertAllEqual(drawn[:, 1], dist.sample([2, 3], seed=0, conditional_input=1)[:, 1])
        self.assertNotAllEqual(drawn, dist.sample([2, 3], seed=0))

    def test_vectors(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Vector(2)))
        helpers.randomize_conditions(model)
        dist, images = pa.distribution(model), helpers.pictures(3)
        vectors = np.array([[0.5, -1.0], [1.0, 0.0]], np.float32)
        found = dist.log_prob(images, conditional_input=vectors[:, np.newaxis])
        self.assertEqual(found.shape, [2, 3])
        self.assertAllClose(found[1], model.log_prob(images, vectors[[1, 1, 1]]), rtol=1e-5)
        drawn = dist.sample(2, seed=0, conditional_input=vectors)
        self.assertEqual(drawn.shape, [2, 4, 6, 3])

    def test_refuses(self):
        images = np.zeros([4, 6, 3], np.uint8)
        network = {"topology": pa.networks.topology.flat(1), "filters": 2}
        for said, call in (
            ("uint8", lambda: self.dist.log_prob(images + 0.5)),
            ("uint8", lambda: self.dist.prob(images + 0.5)),
            ("uint8", lambda: self.dist.unnormalized_log_prob(images + 0.5)),
            ("3 channels", lambda: self.dist.log_prob(images[..., :1])),
            ("no conditional_input", lambda: self.dist.log_prob(images, conditional_input=1)),
            ("any size", lambda: pa.distribution(pa.chain([], None, network))),
            ("AuxiliaryModel", lambda: pa.distribution(3)),
        ):
            with self.assertRaisesRegex(ValueError, said):
                call()
        dist = pa.distribution(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        with self.assertRaisesRegex(ValueError, "last sides of the sample shape"):
            dist.sample(5, seed=0, conditional_input=[0, 1])
        for call in (self.dist.mean, self.dist.mode, self.dist.entropy, self.dist.covariance):
            with self.assertRaisesRegex(NotImplementedError, "not implemented: ImageDistribution"):
                call()
