"""Tests that likelihoods of NumPy's arrays load neither Keras nor TensorFlow."""

import subprocess
import sys

from tests import helpers

SCRIPT = """
import sys
import numpy as np
from pixelcnn_aux import arrays, likelihoods
from pixelcnn_aux.sums import Bounds

class Coin(likelihoods.Likelihood):
    num_channels, num_values, num_params, noise_size = 1, 2, 1, 1

    def _log_prob(self, params, images):
        return -arrays.softplus((1 - 2 * arrays.cast(images, params.dtype)) * params)[..., 0]

    def _noise(self, uniforms, mode):
        return arrays.log(uniforms) - arrays.log1p(-uniforms)

    def _draw(self, params, noise, log_scale_shift):
        return arrays.cast(params + noise > 0, "int32")

mixture, centered = likelihoods.LogisticMixture(2), likelihoods.LogisticMixture(2, centered=True)
rng = np.random.default_rng(0)
for likelihood in (mixture, centered, likelihoods.Categorical(5, 3), Coin()):
    params = rng.normal(size=(7, likelihood.num_params)).astype(np.float32)
    zeros = np.zeros([7, likelihood.num_channels], np.int32)
    for bounded in (False, True):
        if likelihood.centered and not bounded or likelihood.bounded_noise_size is None and bounded:
            continue
        size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        noise = likelihood.noise(rng.random((7, size), np.float32), bounded=bounded)
        known, how = None, {}
        if bounded:
            known = Bounds(zeros, zeros + 3, np.float32(zeros))
            how["bounds"] = lambda channel, earlier: Bounds(*(x[:, channel] for x in known))
        images = likelihood.draw(params, noise, **how)
        found = likelihood.log_prob(params, images, known), likelihood.entropy(params, images, known)
        assert np.isfinite(found).all(), found
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


class ImportsTest(helpers.TestCase):
    def test_draws_probabilities_and_entropies_in_numpy(self):
        command = [sys.executable, "-c", SCRIPT]
        result = subprocess.run(command, cwd=helpers.ROOT, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        loaded = set(result.stdout.split())
        self.assertIn("pixelcnn_aux", loaded)
        self.assertEmpty(loaded & {"keras", "tensorflow", "tensorflow_probability"})
