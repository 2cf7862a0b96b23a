"""What bits are typical of images that belong, by those of the training split."""

import importlib.util

import numpy as np


def check_installed() -> None:
    """Raises ImportError without scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError(
            "Expected scikit-learn, which estimates densities. Received: no such package. Run pip install "
            "scikit-learn, or leave out what is typical."
        )


class Typical:
    """The distribution of vectors of factors' bits, and how far an image is from it.

    Vectors are whitened: moved and mixed so that those that it is fitted on have a mean of zero and the unit
    matrix as their covariance. The factors' entries are of their bits alone, in the same way.

    Args:
      bits: dict, name of a factor or "total" -> float [N], as `scores.bits` gives of "bits", of images of the
        training split. N is larger than the number of factors.

    Raises:
      ImportError: without scikit-learn.
      ValueError: for bits of too few images, or that do not vary.
    """

    def __init__(self, bits: dict[str, np.ndarray]):
        check_installed()
        self._names = [name for name in bits if name != "total"]
        self._densities = {name: _Density(vectors) for name, vectors in self._vectors(bits).items()}

    def scores(self, bits: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
        """How little bits are those of the images that it was fitted on.

        Args:
          bits: dict as for the constructor, of other images.

        Returns:
          dict, name of a score -> dict, name of a factor or "total" -> float64 [N], of these:

            typicality: the distance from the mean, in standard deviations; of the chain the length of its
              whitened vector. After the test of [1] for single images, which is of the chain's bits alone.
            density_of_states: -log of a kernel estimate of the density of whitened vectors, in nats [2].

        Raises:
          ValueError: for bits of other factors.

        #### References

        [1]: Eric Nalisnick, Akihiro Matsukawa, Yee Whye Teh, Balaji Lakshminarayanan. Detecting
             Out-of-Distribution Inputs to Deep Generative Models Using Typicality. _arXiv:1906.02994_, 2019.
        [2]: Warren Morningstar, Cusuh Ham, Andrew Gallagher, Balaji Lakshminarayanan, Alex Alemi, Joshua
             Dillon. Density of States Estimation for Out-of-Distribution Detection. _AISTATS_, 2021.
        """
        names = [name for name in bits if name != "total"]
        if names != self._names:
            raise ValueError(
                f"Expected bits of the factors {self._names}, as it was fitted on. Received: {names}. Fit "
                "another one."
            )
        found: dict[str, dict[str, np.ndarray]] = {"typicality": {}, "density_of_states": {}}
        for name, vectors in self._vectors(bits).items():
            distance, nats = self._densities[name].of(vectors)
            found["typicality"][name], found["density_of_states"][name] = distance, nats
        return found

    def _vectors(self, bits):
        """dict, name of a factor -> its bits, and "total" -> those of all: float64 [N, d]."""
        columns = {name: np.asarray(bits[name], np.float64)[:, np.newaxis] for name in self._names}
        return {**columns, "total": np.concatenate(list(columns.values()), axis=1)}


class _Density:
    """The density of vectors float64 [N, d]."""

    def __init__(self, vectors):
        from sklearn.neighbors import KernelDensity

        count, size = vectors.shape
        self._mean, covariance = vectors.mean(axis=0), np.eye(size)
        if count > size:
            covariance = np.atleast_2d(np.cov(vectors, rowvar=False))
        scales = np.sqrt(np.diag(covariance))
        if (
            count <= size
            or not (scales > 0).all()
            or np.linalg.matrix_rank(vectors - self._mean) < size
        ):
            raise ValueError(
                f"Expected bits of more than {size} images, which differ. Received: those of {count}. Give "
                "more images of the training split."
            )
        self._whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        # Scott's rule for the width of a kernel.
        self._kernels = KernelDensity(bandwidth="scott").fit(self._whitened(vectors))

    def _whitened(self, vectors):
        return (vectors - self._mean) @ self._whitening

    def of(self, vectors):
        """Distances from the mean, and -log of the density: float64 [N] each."""
        whitened = self._whitened(vectors)
        return np.linalg.norm(whitened, axis=1), -self._kernels.score_samples(whitened)
