"""What bits are typical of images that belong, by those of the training split."""

import importlib.util

import numpy as np

# name of a score -> name of a factor, or "total" for the chain -> float64 [N]
Scores = dict[str, dict[str, np.ndarray]]

# What vectors consist of, by what the names of their scores end in.
_KINDS = {"": ["bits"], "_with_entropy": ["bits", "bits_less_entropy"]}


def check_installed() -> None:
    """Raises ImportError without scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError(
            "Expected scikit-learn, which estimates densities. Received: no such package. Run pip install "
            "scikit-learn, or leave out what is typical."
        )


class Typical:
    """The distribution of what `scores.bits` says, and how far an image is from it.

    There are two vectors for each factor, of its bits alone, and of its bits with its bits less entropy; and
    likewise for the chain, of all its factors'. They are whitened: moved and mixed so that those that it is
    fitted on have a mean of zero and the unit matrix as their covariance.

    Args:
      found: what `scores.bits` gives of images of the training split: more of them than twice the factors.

    Raises:
      ImportError: without scikit-learn.
      ValueError: for too few images, or scores that do not vary.
    """

    def __init__(self, found: Scores):
        check_installed()
        self._names = list(found["bits"])
        self._densities = {key: _Density(vectors) for key, vectors in self._vectors(found).items()}

    def scores(self, found: Scores) -> Scores:
        """How little what `scores.bits` gives of other images is that of those that it was fitted on.

        Returns:
          dict, name of a score -> dict, name of a factor or "total" -> float64 [N], of these:

            typicality: the distance of the whitened vector of bits from the mean: of a factor, in standard
              deviations. After the test of [1] for single images, which is of the chain's sum alone.
            density_of_states: -log of a kernel estimate of that vector's density, in nats [2].
            typicality_with_entropy, density_of_states_with_entropy: the same of the other vector.

        Raises:
          ValueError: for scores of a model of other factors.

        #### References

        [1]: Eric Nalisnick, Akihiro Matsukawa, Yee Whye Teh, Balaji Lakshminarayanan. Detecting
             Out-of-Distribution Inputs to Deep Generative Models Using Typicality. _arXiv:1906.02994_, 2019.
        [2]: Warren Morningstar, Cusuh Ham, Andrew Gallagher, Balaji Lakshminarayanan, Alex Alemi, Joshua
             Dillon. Density of States Estimation for Out-of-Distribution Detection. _AISTATS_, 2021.
        """
        if list(found["bits"]) != self._names:
            raise ValueError(
                f"Expected scores of {self._names}, as it was fitted on. Received: those of "
                f"{list(found['bits'])}. Fit another one."
            )
        result: Scores = {}
        for (suffix, name), vectors in self._vectors(found).items():
            distances, nats = self._densities[suffix, name].of(vectors)
            result.setdefault(f"typicality{suffix}", {})[name] = distances
            result.setdefault(f"density_of_states{suffix}", {})[name] = nats
        return result

    def _vectors(self, found):
        """dict, (suffix of scores, name of a factor or "total") -> float64 [N, d]."""
        *factors, total = self._names
        parts = {**{name: [name] for name in factors}, total: factors}
        return {
            (suffix, name): np.stack([found[x][factor] for x in kinds for factor in part], axis=1)
            for suffix, kinds in _KINDS.items()
            for name, part in parts.items()
        }


class _Density:
    """The density of vectors float64 [N, d]."""

    def __init__(self, vectors):
        from sklearn.neighbors import KernelDensity

        count, size = vectors.shape
        self._mean = vectors.mean(axis=0)
        if np.linalg.matrix_rank(vectors - self._mean) < size:
            raise ValueError(
                f"Expected scores of more than {size} images, which differ. Received: those of {count}. Give "
                "more images of the training split."
            )
        covariance = np.atleast_2d(np.cov(vectors, rowvar=False))
        self._whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        # Scott's rule for the width of a kernel.
        self._kernels = KernelDensity(bandwidth="scott").fit(self._whitened(vectors))

    def _whitened(self, vectors):
        return (vectors - self._mean) @ self._whitening

    def of(self, vectors):
        """Distances from the mean, and -log of the density: float64 [N] each."""
        whitened = self._whitened(vectors)
        return np.linalg.norm(whitened, axis=1), -self._kernels.score_samples(whitened)
