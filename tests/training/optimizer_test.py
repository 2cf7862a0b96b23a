"""Tests of the optimizers: averages of weights, and Muon's steps and kernels."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux.training.optimizer import (
    AveragingAdam,
    AveragingMuon,
    hidden_kernels,
    orthogonalized,
)
from tests import helpers


class AverageTest(helpers.TestCase):
    def test_moments_are_those_of_pixelcnn_pp(self):
        optimizer = AveragingAdam()
        self.assertEqual((optimizer.beta_1, optimizer.beta_2), (0.95, 0.9995))

    def test_decay_by_hand(self):
        weight = keras.Variable([1.0])
        optimizer = AveragingAdam(learning_rate=0.0)
        optimizer.build([weight])
        [average] = optimizer.averages

        def after(step, value):
            """The average after that step sets the weight to `value`."""
            weight.assign([value])
            optimizer.iterations.assign(step - 1)
            optimizer.apply([tf.constant([3.0])])
            return average.numpy()[0]

        self.assertAllClose(average, [1.0])  # the initial weights
        self.assertAllClose(after(1, 12.0), 10.0)  # 2/11 + 9/11 * 12
        self.assertAllClose(after(2, 2.0), 4.0)  # 3/12 * 10 + 9/12 * 2
        self.assertAllClose(after(90, 14.0), 4.9)  # 91/100 * 4 + 9/100 * 14
        average.assign([0.0])
        self.assertAllClose(after(10**6, 1000.0), 0.5, rtol=1e-4)  # at most 0.9995

    def test_it_is_of_the_weights_after_the_step(self):
        starts = [[1.0, 2.0], [[3.0]]]
        weights = [keras.Variable(start, dtype="float64") for start in starts]
        gradients = [tf.constant(x, tf.float64) for x in ([1.0, -2.0], [[0.5]])]
        optimizer = AveragingAdam(0.5, epsilon=0.0)
        optimizer.apply(gradients, weights)
        ends = [[0.5, 2.5], [[2.5]]]  # Adam's first step is as long as its rate
        for weight, end, start, average in zip(weights, ends, starts, optimizer.averages):
            self.assertAllClose(weight, end, 1e-12, 1e-12)
            self.assertAllClose(average, 2 / 11 * np.array(start) + 9 / 11 * weight.numpy())

    def test_steps_are_those_of_adam(self):
        """Of Kingma & Ba, 2015, section 2: algorithm 1 in the order of its last paragraph."""
        random = np.random.default_rng(0)
        gradients = random.normal(size=(5, 3, 4))
        for amsgrad in (False, True):  # amsgrad as in Keras
            for dtype, rtol in (("float32", 1e-5), ("float64", 1e-12)):
                weight = keras.Variable(random.normal(size=(3, 4)), dtype=dtype)
                expected, m, v, largest = weight.numpy().astype(float), 0.0, 0.0, 0.0
                rate = keras.optimizers.schedules.ExponentialDecay(0.125, 1, 0.5)
                optimizer = AveragingAdam(rate, 0.75, 0.96875, epsilon=2**-8, amsgrad=amsgrad)
                for step, gradient in enumerate(gradients, start=1):
                    optimizer.apply([tf.constant(gradient, dtype)], [weight])
                    m, v = m + 0.25 * (gradient - m), v + 0.03125 * (gradient**2 - v)
                    largest = np.maximum(largest, v) if amsgrad else v
                    length = 0.25 * 0.5**step * np.sqrt(1 - 0.96875**step) / (1 - 0.75**step)
                    expected = expected - length * m / (np.sqrt(largest) + 2**-8)
                self.assertAllClose(weight, expected, rtol, rtol)

    @parameterized.named_parameters(
        ("adam", False, lambda keras_model: AveragingAdam(1e-2)),
        (
            "muon_eagerly",
            True,
            lambda keras_model: AveragingMuon(1e-2, hidden_kernels(keras_model)),
        ),
    )
    def test_plain_fit_and_a_saved_factor_keep_it(self, eagerly, make):
        keras_model = helpers.shared_model().factors["grayscale"].keras_model()
        grays = helpers.shared_model().auxiliaries(helpers.pictures(8))["grayscale"]
        optimizer = make(keras_model)
        keras_model.compile(optimizer, run_eagerly=eagerly, jit_compile=False)
        keras_model.fit(grays, grays, batch_size=4, verbose=0)
        file = helpers.temporary_folder(self) / "factor.keras"
        keras_model.save(file)
        loaded = keras.saving.load_model(file).optimizer
        self.assertIs(type(loaded), type(optimizer))
        self.assertEqual(loaded.get_config(), optimizer.get_config())
        for variable, expected in zip(loaded.variables, optimizer.variables, strict=True):
            self.assertAllEqual(variable, expected)
        self.assertNotAllEqual(loaded.averages[0], keras_model.get_weights()[0])


class MuonTest(helpers.TestCase):
    def test_singular_values_become_about_one_and_directions_stay(self):
        random = np.random.default_rng(0)
        for shape in ((3, 20, 7), (2, 7, 20), (1, 5, 5)):
            scales = np.array([1e-3, 1.0, 1e3])[: shape[0], None, None]
            matrices = random.normal(size=shape) * scales
            found = orthogonalized(tf.constant(matrices)).numpy()
            u, _, v = np.linalg.svd(matrices, full_matrices=False)
            inner = np.einsum("nij,nik,nlk->njl", u, found, v)  # diagonal in the same bases
            values = np.einsum("nii->ni", inner)
            self.assertAllClose(inner, values[..., None] * np.eye(min(shape[1:])), atol=1e-9)
            self.assertAllInRange(values, 0.3, 1.3)
        self.assertAllEqual(orthogonalized(tf.zeros([1, 4, 3])), np.zeros([1, 4, 3]))

    def test_steps(self):
        """Kernels follow Jordan et al., 2024, other weights Adam; both are averaged."""
        random = np.random.default_rng(0)
        shapes = [(2, 3, 4), (5,), (2, 3, 4), (6, 4)]
        starts = [random.normal(size=shape) for shape in shapes]
        weights, others = ([keras.Variable(x, dtype="float64") for x in starts] for _ in range(2))
        rate = keras.optimizers.schedules.PolynomialDecay(0.1, 4, 0.0)
        muon, adam = AveragingMuon(rate, [0, 2, 3], ratio=0.5), AveragingAdam(rate)
        momenta, expected = [np.zeros(shape) for shape in shapes], list(starts)
        for step in range(3):
            gradients = [random.normal(size=shape) for shape in shapes]
            for optimizer, variables in ((muon, weights), (adam, others)):
                optimizer.apply([tf.constant(x) for x in gradients], variables)
            for k in (0, 2, 3):
                momenta[k] = 0.9 * momenta[k] + gradients[k]
                ahead = (0.9 * momenta[k] + gradients[k]).reshape(1, 6, 4)
                update = orthogonalized(tf.constant(ahead)).numpy().reshape(shapes[k])
                expected[k] = expected[k] - 0.05 * (1 - step / 4) * update
        for k in (0, 2, 3):
            self.assertAllClose(weights[k], expected[k], 1e-7, 1e-7)
        self.assertAllEqual(weights[1], others[1])
        self.assertAllEqual(muon.averages[1], adam.averages[1])
        self.assertNotAllClose(muon.averages[0], weights[0])
        # Kernels have no velocity: step count, momenta, one velocity, and averages.
        self.assertLen(muon.variables, 1 + 4 + 1 + 4)

    def test_hidden_kernels_are_those_within_streams(self):
        outside = {"above", "row_above", "left", "last", "first"}
        for model in (helpers.tiny_model(), pa.pyramid((8, 8), filters=4, blocks=1, dropout=0.0)):
            for factor in model.factors.values():
                found = set(hidden_kernels(factor.keras_model()))
                for k, path in enumerate(factor.weights):
                    outer = outside & set(path.split("/"))
                    self.assertEqual(k in found, path.endswith("/v") and not outer, path)
