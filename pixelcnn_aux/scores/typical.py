"""How typical the bits of an image are of the training split."""

import importlib.util

import numpy as np

from pixelcnn_aux.base.errors import expect

# name of a score -> name of a factor, or "total" for the chain -> float64 [N]
Scores = dict[str, dict[str, np.ndarray]]

# The suffix of scores -> the entries of their vectors.
_ENTRIES = {"": ["bits"], "_with_entropy": ["bits", "bits_less_entropy"]}


def check_installed() -> None:
    """Raises ImportError without scikit-learn."""
    spec, expected = importlib.util.find_spec("sklearn"), "scikit-learn, which estimates densities"
    remedy = "Run pip install scikit-learn, or leave out the scores of Typical"
    expect(spec, expected, "no such package", remedy, kind=ImportError)


class Typical:
    """The distribution of `scores.bits` on the training split, and the distance of an image from it.

    Each factor has two vectors: its bits alone, and its bits with its bits less entropy. The vectors of the
    chain have the entries of all factors. Vectors are whitened by a linear map, so that on the training split
    their mean is zero and their covariance the unit matrix.

    Args:
      found: the result of `scores.bits` on training images, more than twice as many as factors.

    Raises:
      ImportError: without scikit-learn.
      ValueError: for too few images, or scores that do not vary.
    """

    def __init__(self, found: Scores):
        check_installed()
        self._names = list(found["bits"])
        self._densities = {key: _Density(vectors) for key, vectors in self._vectors(found).items()}

    def scores(self, found: Scores) -> Scores:
        """Scores of other images, from their `scores.bits`: their distance from the training split.

        Returns a dict, name of a score -> dict, name of a factor or "total" -> float64 [N]:

            typicality: the distance of the whitened vector of bits from the mean; for a factor, in standard
              deviations. It is based on the test of [1] for single images, which uses the chain's sum.
            density_of_states: -log of a kernel estimate of that vector's density, in nats [2].
            typicality_with_entropy, density_of_states_with_entropy: the same for the other vector.

        Raises ValueError for scores of a model with other factors.

        #### References

        [1]: Eric Nalisnick, Akihiro Matsukawa, Yee Whye Teh, Balaji Lakshminarayanan. Detecting
             Out-of-Distribution Inputs to Deep Generative Models Using Typicality. _arXiv:1906.02994_, 2019.
        [2]: Warren Morningstar, Cusuh Ham, Andrew Gallagher, Balaji Lakshminarayanan, Alex Alemi, Joshua
             Dillon. Density of States Estimation for Out-of-Distribution Detection. _AISTATS_, 2021.
        """
        names = list(found["bits"])
        expected = f"scores of {self._names}, as it was fitted on"
        expect(names == self._names, expected, f"those of {names}", "Fit another one")
        scores: Scores = {}
        for (suffix, name), vectors in self._vectors(found).items():
            distances, nats = self._densities[suffix, name].of(vectors)
            scores.setdefault(f"typicality{suffix}", {})[name] = distances
            scores.setdefault(f"density_of_states{suffix}", {})[name] = nats
        return scores

    def _vectors(self, bits):
        """dict, (suffix of scores, name of a factor or "total") -> float64 [N, d]."""
        *factors, total = self._names
        parts = {**{name: [name] for name in factors}, total: factors}
        return {
            (suffix, name): np.stack([bits[x][factor] for x in entries for factor in part], axis=1)
            for suffix, entries in _ENTRIES.items()
            for name, part in parts.items()
        }


class _Density:
    """The density of vectors float64 [N, d]."""

    def __init__(self, vectors):
        from sklearn.neighbors import KernelDensity

        count, size = vectors.shape
        self._mean = vectors.mean(axis=0)
        varies = np.linalg.matrix_rank(vectors - self._mean) == size
        expected = f"scores of more than {size} images, which differ"
        expect(varies, expected, f"those of {count}", "Give more images of the training split")
        covariance = np.atleast_2d(np.cov(vectors, rowvar=False))
        self._whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        # Scott's rule for the width of a kernel.
        self._kernels = KernelDensity(bandwidth="scott").fit(self._whitened(vectors))

    def _whitened(self, vectors):
        return (vectors - self._mean) @ self._whitening

    def of(self, vectors):
        """Distances from the mean, and negative log densities: float64 [N] each."""
        whitened = self._whitened(vectors)
        return np.linalg.norm(whitened, axis=1), -self._kernels.score_samples(whitened)
