"""Tests of models as distributions of TensorFlow Probability: what its own tests ask of them."""

from unittest import mock

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
        """With unknown counts, seeds and conditions: the same draws as outside."""
        kind = {"channels": 1, "bits": 2, "condition": pa.conditions.Classes(3)}
        model = pa.pixelcnn_pp((1, 2), filters=2, blocks=1, resolutions=1, **kind)
        dist, labels = pa.distribution(helpers.randomized(model)), tf.constant([0, 1, 2])
        helpers.randomize_conditions(model)

        @tf.function(
            input_signature=[tf.TensorSpec(None, "int32"), *[tf.TensorSpec([None], "int32")] * 2]
        )
        def draw(count, seed, labels):
            of_labels = pa.distribution(model, labels)
            images = of_labels.sample(count, seed)
            images = tf.ensure_shape(images, [None, None, 1, 2, 1])
            return images, of_labels.log_prob(images), dist.sample(2, 5)

        images, log_prob, known = draw(4, [3, -4], labels)
        of_labels = pa.distribution(model, labels)
        self.assertAllEqual(images, of_labels.sample(4, [3, -4]))
        self.assertAllClose(log_prob, of_labels.log_prob(images), rtol=1e-5)
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
        """They are the distribution's batch, with which images broadcast."""
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        helpers.randomize_conditions(model)
        dist, images = pa.distribution(model, [0, 1, 2]), helpers.pictures(2)
        self.assertEqual((dist.batch_shape, dist.event_shape), ([3], [4, 6, 3]))
        expected = np.stack([model.log_prob(images, [x, x]) for x in range(3)], axis=1)
        self.assertAllClose(dist.log_prob(images[:, np.newaxis]), expected, rtol=1e-5)
        self.assertAllClose(dist.log_prob(images[0]), expected[0], rtol=1e-5)
        of_one, of_none = pa.distribution(model, 2), pa.distribution(model)
        self.assertEqual(of_one.batch_shape, [])
        self.assertAllClose(of_one.log_prob(images), expected[:, 2], rtol=1e-5)
        self.assertAllClose(of_none.log_prob(images), model.log_prob(images))
        self.assertAllClose(dist[2].log_prob(images), expected[:, 2], rtol=1e-5)
        self.assertAllClose(dist.copy(condition=[1]).log_prob(images), expected[:, 1], rtol=1e-5)
        seen, six = [], helpers.pictures(6)

        def sample(model, seeds, condition):
            seen.append(condition)
            return {"image": six}

        with mock.patch.object(type(model), "sample", sample):
            self.assertAllEqual(dist.sample(2, seed=0), six.reshape(2, 3, 4, 6, 3))
        self.assertAllEqual(seen, [[0, 1, 2, 0, 1, 2]])
        self.assertNotAllEqual(dist.sample(2, seed=0)[:, 0], of_none.sample(2, seed=0))

    def test_labels_of_a_joint_distribution_condition_its_images(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(3)))
        helpers.randomize_conditions(model)
        labels = tfd.Categorical(probs=[0.2, 0.3, 0.5])
        joint = tfd.JointDistributionSequential([labels, lambda x: pa.distribution(model, x)])
        drawn, images = joint.sample(4, seed=3)
        self.assertEqual(images.shape, [4, 4, 6, 3])
        expected = labels.log_prob(drawn) + model.log_prob(images, drawn)
        self.assertAllClose(joint.log_prob([drawn, images]), expected, rtol=1e-5)

    def test_vectors(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Vector(2)))
        helpers.randomize_conditions(model)
        vectors, images = np.array([[0.5, -1.0], [1.0, 0.0]], np.float32), helpers.pictures(3)
        dist = pa.distribution(model, vectors)
        found = dist.log_prob(images[:, np.newaxis])
        self.assertEqual(found.shape, [3, 2])
        self.assertAllClose(found[:, 1], model.log_prob(images, vectors[[1, 1, 1]]), rtol=1e-5)
        self.assertEqual(dist.sample(seed=0).shape, [2, 4, 6, 3])

    def test_refuses(self):
        images = np.zeros([4, 6, 3], np.uint8)
        network = {"topology": pa.networks.topology.flat(1), "filters": 2}
        for said, call in (
            ("uint8", lambda: self.dist.log_prob(images + 0.5)),
            ("uint8", lambda: self.dist.prob(images + 0.5)),
            ("uint8", lambda: self.dist.unnormalized_log_prob(images + 0.5)),
            (r"shape \[4, 6, 1\]", lambda: self.dist.log_prob(images[..., :1])),
            ("no condition.* some", lambda: pa.distribution(self.model, 1)),
            (r"images \[..., 4, 6, 3\]", lambda: self.dist.log_prob(images[:2])),
            ("seed as an int from 0 on", lambda: self.dist.sample(seed=-1)),
            ("seed as an int from 0 on", lambda: self.dist.sample(seed=True)),
            ("seed as an int from 0 on", lambda: self.dist.sample(seed=[1, 2, 3])),
            ("any size", lambda: pa.distribution(pa.chain([], None, network))),
            ("AuxiliaryModel", lambda: pa.distribution(3)),
        ):
            with self.assertRaisesRegex(ValueError, said):
                call()
        model = helpers.tiny_model(condition=pa.conditions.Classes(3))
        with self.assertRaisesRegex(ValueError, r"broadcast with the conditions' \[3\]. .* \[2\]"):
            pa.distribution(model, [0, 1, 2]).log_prob(np.stack([images] * 2))
        with self.assertRaisesRegex(ValueError, "classes.*3"):
            pa.distribution(model, [0, 3])
        for call in (self.dist.mean, self.dist.mode, self.dist.entropy, self.dist.covariance):
            with self.assertRaisesRegex(NotImplementedError, "not implemented: ImageDistribution"):
                call()
