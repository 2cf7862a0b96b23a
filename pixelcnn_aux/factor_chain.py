"""FactorChain: factors over images of one size, each given the image of the one before it."""

import copy
from collections.abc import Iterable
from typing import Self

from keras import ops

from pixelcnn_aux import (
    arguments,
    auxiliary,
    checks,
    conditions,
    declarations,
    dtypes,
    serialization,
    summaries,
)
from pixelcnn_aux.annotations import ArrayLike, Config, Size, Tensor
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.inputs import Inputs, check_images
from pixelcnn_aux.likelihoods import Likelihood


class FactorChain(serialization.Configured):
    """What an `AuxiliaryModel` consists of, and what its factors see. Arguments and attributes as there."""

    def __init__(
        self,
        factors: Iterable[Factor],
        transforms: Iterable[Transform],
        image_size: Size | None = None,
    ):
        factors = [arguments.instance("a factor", factor, Factor) for factor in factors]
        checks.check_names([factor.name for factor in factors])
        self.factors: dict[str, Factor] = {factor.name: factor for factor in factors}
        self.transforms = list(transforms)
        self.image_size = None if image_size is None else arguments.size("image_size", image_size)
        # The names of the factors that `load` found no weights for.
        self.untrained: tuple[str, ...] = ()
        self.loaded_from: str | None = None  # the run, as `load` was given it
        checks.check_chain(factors, self.transforms, self.image_size)

    def __repr__(self):
        return summaries.model_lines(self)

    @property
    def likelihood(self) -> Likelihood:
        """`Likelihood` of the full image, given its auxiliary image."""
        return list(self.factors.values())[-1].likelihood

    @property
    def condition(self) -> conditions.Condition | None:
        return list(self.factors.values())[-1].condition

    @property
    def exact(self) -> bool:
        return all(factor.exact for factor in self.factors.values() if factor.embedding is not None)

    @property
    def centered(self) -> bool:
        return any(factor.likelihood.centered for factor in self.factors.values())

    def with_exact(self, exact: bool) -> Self:
        """A model of the same networks, not copies, whose factors are exact where they can be; or none is.

        A factor can be where its transform declares the sum that it fixes, and its likelihood has bounds.
        """
        model = copy.copy(self)  # with whatever a subclass has
        model.factors = dict(self.factors)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            known = declarations.known_sum(transform, factor.likelihood, exact)
            model.factors[name] = factor.with_fixed_sum(known)
        return model

    def with_image_size(self, image_size: Size | None) -> Self:
        """A model of the same factors, not copies, that draws images of (H, W).

        Args:
          image_size: as for `sizes`, whose errors it raises.
        """
        model = copy.copy(self)
        [*_, model.image_size] = self.sizes(image_size).values()
        return model

    def get_config(self) -> Config:
        return {
            "factors": [serialization.serialize(factor) for factor in self.factors.values()],
            "transforms": [serialization.serialize(transform) for transform in self.transforms],
            "image_size": self.image_size and list(self.image_size),
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        factors = [serialization.deserialize(part, Factor) for part in config["factors"]]
        kind = auxiliary.Transform
        transforms = [serialization.deserialize(part, kind) for part in config["transforms"]]
        return cls(**{**config, "factors": factors, "transforms": transforms})

    def description(self) -> Config:
        """dict that JSON can hold, from which `load` builds the model again; without its weights.

        Raises ValueError for a part of a class that is not registered, or that would not come back as it is.
        """
        likelihoods = (factor.likelihood for factor in self.factors.values())
        for part in filter(None, (*self.transforms, *likelihoods, self.condition)):
            serialization.check_comes_back(part)
        return serialization.serialize(self)

    def checked(self, images):
        """Full images, NumPy's or a tensor. Raises ValueError for another dtype, shape or range."""
        return check_images(images, self.likelihood.num_channels, self.likelihood.num_values)

    def checked_condition(self, condition, batch):
        """What is known of `batch` images beside their pixels, NumPy's or a tensor.

        None is no class, or vectors of zeros; of a model without a condition it stays None.

        Raises ValueError for another dtype, shape, number or range, and for one where there is none to be.
        """
        if condition is None and self.condition is not None and batch is not None:
            condition = self.condition.unknown(batch)
        return conditions.checked(self.condition, condition, batch)

    def auxiliaries(self, images: ArrayLike) -> dict[str, Tensor]:
        """The image that each factor models.

        Args:
          images: uint8 [B, H, W, C], full images.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling; the last is `images`.

        Raises:
          ValueError: for images of another dtype or number of channels, or whose height or width a transform
            does not divide.
        """
        chain = [ops.convert_to_tensor(self.checked(images))]
        for transform in self.transforms:
            height, width = chain[-1].shape[1:3]
            if None not in (height, width):
                transform.size((height, width))
            chain.append(transform(chain[-1]))
        return dict(zip(self.factors, reversed(chain)))

    def inputs(self, images: ArrayLike, condition: ArrayLike | None = None) -> dict[str, Inputs]:
        """What each factor sees of full images, uint8 [B, H, W, C], and their condition, as for `log_prob`.

        Returns:
          dict, name -> `Inputs`: its image, uint8 [B, h, w, c], its auxiliary image, None for the first, and
          the condition.

        Raises:
          ValueError: for images or a condition of another dtype or shape, and for no condition of a
            conditional model: -1 is no class.
        """
        chain = self.auxiliaries(images)
        [*_, full] = chain.values()
        # What networks are trained on: images that should have a class are not taken for ones without.
        condition = conditions.checked(self.condition, condition, full.shape[0])
        below = [None, *chain.values()]
        return {
            name: Inputs(image, given, condition)
            for (name, image), given in zip(chain.items(), below)
        }

    def moved_inputs(
        self, images: ArrayLike, condition: ArrayLike | None = None
    ) -> dict[str, Inputs]:
        """As `inputs`, of float images [B, H, W, C], by which they are differentiable. None is no condition.

        An auxiliary image is that of the nearest whole image, and moves with the rest: by 1 where the sum
        that its transform declares grows by a step. Without a declared sum it does not move.

        Raises ValueError as `inputs`, and for values out of range.
        """
        likelihood, dtype = self.likelihood, [*self.factors.values()][-1].variable_dtype
        checked = check_images(
            images, likelihood.num_channels, likelihood.num_values, "images", floats=True
        )
        condition = self.checked_condition(condition, checked.shape[0])
        images = ops.cast(checked, dtype)
        nearest = ops.clip(ops.round(ops.stop_gradient(images)), 0, likelihood.num_values - 1)
        nearest = ops.cast(nearest, arguments.pixel_dtype(likelihood.num_values))
        # Which also checks that they fit the networks.
        whole = [self.factors[k].inputs(x) for k, x in self.inputs(nearest, condition).items()]
        chain, move = [images], images - ops.cast(nearest, dtype)
        for transform, factor in zip(self.transforms, reversed(self.factors.values())):
            given = ops.cast(whole[-len(chain)].auxiliary, dtype)
            fixed_sum = declarations.declared_sum(transform, factor.likelihood)
            move = fixed_sum.sums(move) / fixed_sum.step if fixed_sum else ops.zeros_like(given)
            chain.append(given + move)
        below = [*chain[1:], None]
        moved = [Inputs(*x, whole[0].condition) for x in zip(reversed(chain), reversed(below))]
        return dict(zip(self.factors, moved))

    def new_factor(self, name: str, dtype: str | None = None) -> Factor:
        """A factor like that of this name, randomly initialized; of another dtype or policy if given one."""
        self.position(name)
        factor = self.factors[name]
        config = factor.get_config()
        if dtype is not None:
            dtypes.check(dtype)
            dtypes.give(config, dtype)
        return type(factor).from_config(config)

    def position(self, name: str) -> int:
        """The place of a factor in the order of sampling. Raises ValueError for an unknown name."""
        if name not in self.factors:
            raise ValueError(
                f"Expected a factor of {list(self.factors)}. Received: {name!r}. Choose one of them."
            )
        return list(self.factors).index(name)

    def require(self, names: Iterable[str]) -> None:
        """Raises ValueError, which names them, where factors of these names are not trained yet."""
        missing = [name for name in names if name in self.untrained]
        if missing:
            raise ValueError(
                f"Expected trained factors. Received: {', '.join(map(repr, missing))} not trained yet. "
                f"Train with --factor {missing[0]}."
            )

    def sizes(self, image_size: Size | None = None) -> dict[str, tuple[int, int]]:
        """dict, factor name -> (H, W) of the image that the factor draws.

        Args:
          image_size: (H, W) of the full image, of at most `arguments.MAX_PIXELS` for a model of images of any
            size; None for the model's.

        Raises ValueError for a size that the factors do not take, or none of a model of images of any size.
        """
        size = self.image_size
        if image_size is not None:
            check = arguments.any_size if size is None else arguments.size
            size = check("image_size", image_size)
        if size is None:
            raise ValueError(
                "Expected image_size, (H, W), since the model is of images of any size. Received: none. Give "
                "it."
            )
        sizes = [size]
        for transform in self.transforms:
            height, width = transform.size(sizes[-1])
            sizes.append((height, width))
        return dict(zip(self.factors, reversed(sizes)))
