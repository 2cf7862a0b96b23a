"""AuxiliaryModel: a chain of Keras's factors. The paper's models are constructors in `models`."""

from typing import Self

from keras import ops

from pixelcnn_aux import arguments, backend, checks, serialization
from pixelcnn_aux.arguments import ArrayLike, Config, PathLike, Tensor
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.errors import expect
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.factor_chain import FactorChain
from pixelcnn_aux.inputs import Inputs, check_images, takes_one
from pixelcnn_aux.runs.folder import RunFolder


@serialization.register()
class AuxiliaryModel(FactorChain):
    """A `FactorChain` of Keras's factors, which is trained and saved; arguments and methods are that one's.

    Likelihoods are tensors. Few images are evaluated in NumPy, many by graphs (`batches.Work`).
    """

    factors: dict[str, Factor]
    factor_class = Factor
    in_graphs = True

    def new_factor(self, name: str, dtype: str | None = None) -> Factor:
        """A factor like that of this name, randomly initialized; of another dtype or policy if given one."""
        self.position(name)
        factor = self.factors[name]
        config = factor.get_config()
        if dtype is not None:
            backend.check_dtype(dtype)
            backend.set_dtype(config, dtype)
        return type(factor).from_config(config)

    def get_config(self) -> Config:
        return {
            "factors": [serialization.serialize(factor) for factor in self.factors.values()],
            "transforms": [serialization.serialize(transform) for transform in self.transforms],
            "image_size": self.image_size and list(self.image_size),
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        factors = [serialization.deserialize(part, Factor) for part in config["factors"]]
        transforms = [serialization.deserialize(part, Transform) for part in config["transforms"]]
        return cls(**{**config, "factors": factors, "transforms": transforms})

    def description(self) -> Config:
        """dict that JSON can hold, from which `load` builds the model again; without its weights.

        Raises ValueError for a part of a class that is not registered, or that would not come back as it is,
        such as a network with a regularizer.
        """
        likelihoods = (factor.likelihood for factor in self.factors.values())
        for part in filter(None, (*self.transforms, *likelihoods, self.condition)):
            serialization.check_comes_back(part)
        described = serialization.serialize(self)
        serialization.check(described)
        return described

    def save(self, path: PathLike) -> None:
        """Writes the model, as after `fit` of its factors, for `pa.load` and `pa.engine.load`.

        The folder is that of a run: config.json with `description`, and FACTOR/average.safetensors with the
        weights of each factor. Optimizers are not in it: `Factor.save` keeps that of one factor.

        Args:
          path: of a folder: a new one, an empty one, or one that `save` made of such a model, whose weights
            are replaced.

        Raises:
          OSError: if the folder cannot be written.
          ValueError: for a folder that holds other things, a name that ends as that of a file of Keras, a
            factor that is not trained yet, or as `description`.
        """
        run = RunFolder(path)
        received, remedy = f"{path}, a file of Keras", "Leave out its suffix, or save one factor"
        fits = run.path.suffix not in (".keras", ".h5", ".hdf5")
        expect(fits, "the name of a folder, for a model of several files", received, remedy)
        self.require(self.factors)
        run.save_model(self)

    # Gradients in images.

    def _moved_inputs(self, images, condition):
        """As `inputs`, of float images [B, H, W, C], and differentiable in them: for `log_density`."""
        likelihood, dtype = self.likelihood, [*self.factors.values()][-1].variable_dtype
        kind = likelihood.num_channels, likelihood.num_values
        checked = check_images(images, *kind, floats=True)
        condition = self.checked_condition(condition, checked.shape[0])
        images = ops.cast(checked, dtype)
        nearest = ops.clip(ops.round(ops.stop_gradient(images)), 0, likelihood.num_values - 1)
        nearest = ops.cast(nearest, arguments.pixel_dtype(likelihood.num_values))
        whole = self._inputs(nearest, condition)
        self._check_shapes(whole)
        chain, move = [images], images - ops.cast(nearest, dtype)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            given = ops.cast(whole[name].auxiliary, dtype)
            fixed_sum = checks.declared_sum(transform, factor.likelihood)
            move = fixed_sum.sums(move) / fixed_sum.step if fixed_sum else ops.zeros_like(given)
            chain.append(given + move)
        below = [*chain[1:], None]
        moved = [Inputs(*x, condition) for x in zip(reversed(chain), reversed(below))]
        return dict(zip(self.factors, moved))

    @takes_one
    def log_density(self, images: ArrayLike, condition: ArrayLike | None = None) -> Tensor:
        """`log_prob` of images whose values need not be whole, differentiable in the image: a prior.

        The density of a value is the probability of the bin from x - 1/2 to x + 1/2. If the nearest whole
        value is the first or the last one, the bin has no end on that side, as in `log_prob`. Between two
        values of a `Categorical`, the log-probability is linear.

        Auxiliary images are those of the nearest whole image, plus the change, since there, of the sum that
        their transform declares, divided by its step: a half resolution moves with the mean, but keeps the
        rounding of the nearest whole image. So the density is `log_prob` at whole images, and the gradient is
        that of the density, which jumps where another whole image becomes the nearest. Auxiliary images of a
        transform without a declared sum do not move.

        Args:
          images: float32 or float64 [B, H, W, C], of any size that the factors take, with values from 0 to
            num_values - 1. They are one batch, so that TensorFlow and JAX differentiate by them.
          condition: as for `log_prob`.

        Returns:
          float [B] of the model's dtype, in nats.

        Raises:
          NotImplementedError: for a likelihood that does not define `_log_density`.
          ValueError: as `log_prob`, for values out of range, and for an exact model, whose images have no
            probability unless they fit their auxiliary images: ask `with_exact(False)`.
        """
        self.require(self.factors)
        inputs = self._moved_inputs(images, condition)
        expected = "a model that is not exact, to evaluate its density"
        received = "one that is: images have no probability unless they fit their auxiliary images"
        fits = not any(factor.exact for factor in self.factors.values())
        expect(fits, expected, received, "Ask model.with_exact(False)")
        return sum(factor.log_density(inputs[name]) for name, factor in self.factors.items())
