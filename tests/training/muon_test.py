"""Tests of Muon: which weights it moves, and how."""

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.training.optimizer import (
    AveragingAdam,
    AveragingMuon,
    hidden_kernels,
    orthogonalized,
)
from tests import helpers


class OrthogonalizedTest(tf.test.TestCase):
    def test_singular_values_become_about_one_and_directions_stay(self):
        random = np.random.default_rng(0)
        for shape in ((3, 20, 7), (2, 7, 20), (1, 5, 5)):
            matrices = (
                random.normal(size=shape) * np.array([1e-3, 1.0, 1e3])[: shape[0], None, None]
            )
            found = orthogonalized(tf.constant(matrices)).numpy()
            u, _, v = np.linalg.svd(matrices, full_matrices=False)
            inner = np.einsum("nij,nik,nlk->njl", u, found, v)  # diagonal in the same bases
            values = np.einsum("nii->ni", inner)
            self.assertAllClose(inner, values[..., None] * np.eye(min(shape[1:])), atol=1e-9)
            self.assertAllInRange(values, 0.3, 1.3)

    def test_zeros_stay(self):
        self.assertAllEqual(orthogonalized(tf.zeros([1, 4, 3])), np.zeros([1, 4, 3]))


class AveragingMuonTest(tf.test.TestCase):
    def test_steps(self):
        """Kernels as Jordan et al., 2024, have it; the others as Adam; averages of both."""
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
        # A kernel has no velocity: the count of steps, momenta, one velocity, and averages.
        self.assertLen(muon.variables, 1 + 4 + 1 + 4)

    def test_hidden_kernels_are_those_within_streams(self):
        for model in (helpers.tiny_model(), pa.pyramid((8, 8), filters=4, blocks=1, dropout=0.0)):
            for factor in model.factors.values():
                variables = factor.trainable_variables
                found = set(hidden_kernels(factor))
                for k, variable in enumerate(variables):
                    outer = {"above", "row_above", "left", "last", "first"} & set(
                        variable.path.split("/")[-2:-1]
                    )
                    self.assertEqual(k in found, variable.name == "v" and not outer, variable.path)

    def test_a_saved_factor_keeps_it(self):
        factor = helpers.tiny_model().factors["grayscale"]
        grays = helpers.shared_model().auxiliaries(helpers.pictures(8))["grayscale"]
        optimizer = AveragingMuon(1e-2, hidden_kernels(factor))
        factor.compile(optimizer, jit_compile=False)
        factor.fit(grays, grays, batch_size=4, verbose=0)
        file = helpers.temporary_folder(self) / "factor.keras"
        factor.save(file)
        loaded = keras.saving.load_model(file).optimizer
        self.assertEqual(loaded.get_config(), optimizer.get_config())
        for variable, expected in zip(loaded.variables, optimizer.variables, strict=True):
            self.assertAllEqual(variable, expected)
