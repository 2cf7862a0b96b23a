"""AuxiliaryModel: a chain of factors, p(X) >= p(x_n) p(x_{n-1} | x_n) ... p(X | x_1), equations (2), (5).

It is the same for all of the paper's models; `models` has their constructors.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar, cast

import numpy as np
from absl import logging

from pixelcnn_aux import batches, conditions, data, sampling, summaries
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.base import arguments, arrays, serialization
from pixelcnn_aux.base.arguments import ArrayLike, Config, PathLike, Seeds, Size, Tensor
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.factor import Factor, PixelNats, in_bits_per_dim
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scanning.requests import DrawRequest

_Method = TypeVar("_Method", bound=Callable[..., Any])
# The number of axes of each argument for a single image.
_RANKS = {"images": 3, "known": 3, "mask": 3, "given": 3, "seeds": 1}


def _accepts_single(method: _Method) -> _Method:
    """Decorator: a model's method also accepts one image without a batch axis, as do its results then."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(model, *args, **kwargs):
        bound, ranks = signature.bind(model, *args, **kwargs).arguments, dict(_RANKS)
        if model.condition is not None:
            ranks["condition"] = len(model.condition.shape)
            if "condition" in bound:
                bound["condition"] = model.class_numbers(bound["condition"])
        single = set()  # names of arguments without a batch axis

        def batch(name, value):
            if isinstance(value, dict):  # `given`
                return {key: batch(name, x) for key, x in value.items()}
            if name not in ranks or value is None:
                return value
            array = arguments.array(name, value)
            if np.ndim(array) != ranks[name]:
                return value
            single.add(name)
            return array[None]

        batches = {name: batch(name, value) for name, value in bound.items()}
        if single <= {"condition"}:
            return method(**bound)
        return arrays.mapped(lambda x: x[0], method(**batches))

    return cast(_Method, call)


class _Factors(dict):
    """Factors by name; a KeyError for another name says what there is."""

    def __missing__(self, name):
        raise KeyError(f"Expected a factor of {[*self]}. Received: {name!r}. Choose one of them.")


@serialization.register()
class AuxiliaryModel(serialization.Configured):
    """A chain of factors over images of one size, or of any size.

    Images are uint8 if they have up to 256 pixel values, and uint16 if more. Methods of images [B, H, W, C]
    also accept one, [H, W, C], with its condition without B, and two numbers as its seeds; results then have
    no B. They return NumPy arrays; or tensors while a graph is traced, as in tf.function or jax.jit.

    `by` is the backend: "numpy", or "graph" for TensorFlow or JAX. By default graphs evaluate likelihoods of
    many images (`batches.evaluator`) if one of these is installed, and NumPy does everything else.

    Args:
      factors: list of `Factor` with unique names, in the order of sampling: the first one is unconditional,
        each later one is conditioned on the image of the one before, and the last one models the full image.
      transforms: list of `auxiliary.Transform` from the full image down: transforms[0] computes the auxiliary
        image of the full image, transforms[1] that one's, and so on.
      image_size: (H, W) of the full image, for `sample`; `log_prob` takes any size. None for a model of
        images of any size, whose `sample` takes an argument for it.

    Attributes:
      factors: dict, name -> factor, in the order of sampling.
      exact: bool, whether `log_prob` is log p(X) and not a bound: whether every conditional factor rules out
        images that contradict its auxiliary image (`Factor.exact`).
      centered: bool, whether any factor's likelihood is centered on the sum that its auxiliary image fixes.
      likelihood: `Likelihood` of the full image, given its auxiliary image.
      condition: `conditions.Condition` of all factors, or None.
      untrained: tuple of str, the names of factors without trained weights in the run that was loaded.
      loaded_from: str, the argument of `load`; None for a model that was not loaded.
      by: str or None, set by `computing`.
      notes: tuple of str, lines for `summary`.

    Raises:
      ValueError: for factors and transforms that do not fit each other; the message names a transform whose
        output differs from its declarations.
    """

    def __init__(
        self,
        factors: Iterable[Any],
        transforms: Iterable[Transform],
        image_size: Size | None = None,
    ):
        factors = [arguments.instance("a factor", x, Factor) for x in factors]
        checks.check_names([factor.name for factor in factors])
        self.factors: dict[str, Factor] = _Factors((factor.name, factor) for factor in factors)
        self.transforms = list(transforms)
        self.image_size = None if image_size is None else arguments.size("image_size", image_size)
        self.untrained: tuple[str, ...] = ()
        self.loaded_from: str | None = None
        self.notes: tuple[str, ...] = ()  # for `summary`
        self.by: str | None = None  # set by `computing`
        self._logged_sizes = set[Any]()  # sizes that `_warn_of_size` has logged
        checks.check_chain(factors, self.transforms, self.image_size)

    def __repr__(self):
        return summaries.model_lines(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a table of the factors' images, likelihoods and parameters by `print_fn`."""
        print_fn(summaries.model_table(self))

    @property
    def likelihood(self) -> Likelihood:
        return list(self.factors.values())[-1].likelihood

    @property
    def condition(self) -> conditions.Condition | None:
        return list(self.factors.values())[-1].condition

    @property
    def exact(self) -> bool:
        return all(factor.exact for factor in self.factors.values() if factor.is_conditional)

    @property
    def centered(self) -> bool:
        return any(factor.likelihood.centered for factor in self.factors.values())

    def computing(self, by: str | None) -> Self:
        """A model of the same factors with another default of `by`: "numpy", "graph" or None."""
        model = copy.copy(self)
        model.by = arguments.choice("by", by, arguments.BACKENDS, optional=True)
        return model

    def with_exact(self, exact: bool) -> Self:
        """A model of the same networks, not copies, with all possible factors exact, or with none.

        A factor can be exact if its transform declares the sum that it fixes, and its likelihood supports
        bounds.
        """
        arguments.flag("exact", exact)
        model = copy.copy(self)  # with the attributes of subclasses
        model.factors = copy.copy(self.factors)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            fixed_sum = checks.sum_for_factor(transform, factor.likelihood, exact)
            model.factors[name] = factor.with_fixed_sum(fixed_sum)
        return model

    def with_factor(self, factor: Factor) -> Self:
        """A model with another factor in the place of that of its name, such as `KerasFactor.factor()`.

        Raises ValueError for a factor of another name, or that does not fit the others.
        """
        self.position(arguments.instance("factor", factor, Factor).name)
        factors = (self.factors | {factor.name: factor}).values()
        checks.check_chain([*factors], self.transforms, self.image_size)
        model = copy.copy(self)
        model.factors = _Factors((x.name, x) for x in factors)
        model.untrained = tuple(name for name in self.untrained if name != factor.name)
        return model

    def with_image_size(self, image_size: Size | None) -> Self:
        """A model of the same factors, not copies, that draws images of (H, W). Raises as `sizes`."""
        model = copy.copy(self)
        *_, model.image_size = self.sizes(image_size).values()
        return model

    def sizes(self, image_size: Size | None = None) -> dict[str, tuple[int, int]]:
        """The size of each factor's image: dict, name -> (H, W).

        Args:
          image_size: (H, W) of the full image, at most `arguments.MAX_PIXELS` for a model of images of any
            size; None for the model's.

        Raises ValueError for a size that the factors do not accept, or for a missing size.
        """
        size = self.image_size
        if image_size is not None:
            size = arguments.size("image_size", image_size, any_sides=size is None)
        expected = "image_size, (H, W), since the model is of images of any size"
        expect(size is not None, expected, "none", "Give it")
        sizes: list[Any] = [size]
        for transform in self.transforms:
            sizes.append(tuple(transform.size(sizes[-1])))
        image = None
        for factor, size in zip(self.factors.values(), reversed(sizes)):
            below, shape = image, (1, *size, factor.likelihood.num_channels)
            image = np.broadcast_to(np.uint8(0), shape)
            factor.check_shapes(Inputs(image, below))
        return dict(zip(self.factors, reversed(sizes)))

    def position(self, name: str) -> int:
        """The index of a factor in the order of sampling. Raises ValueError for an unknown name."""
        names = list(self.factors)
        remedy = did_you_mean(name, names, "Choose one of them")
        expect(name in names, f"a factor of {names}", repr(name), remedy)
        return names.index(name)

    def require(self, names: Iterable[str]) -> None:
        """Raises ValueError, which names them, if any of these factors are not trained yet."""
        missing = [name for name in names if name in self.untrained]
        received = f"{', '.join(map(repr, missing))} not trained yet"
        remedy = f"Train with --factor {''.join(missing[:1])}"
        expect(not missing, "trained factors", received, remedy)

    def get_config(self) -> Config:
        return {
            "factors": [factor.description() for factor in self.factors.values()],
            "transforms": [serialization.serialize(transform) for transform in self.transforms],
            "image_size": self.image_size and list(self.image_size),
        }

    @classmethod
    def from_config(cls, config: Config) -> Self:
        factors = [Factor.described(part) for part in config["factors"]]
        transforms = [serialization.deserialize(part, Transform) for part in config["transforms"]]
        return cls(**{**config, "factors": factors, "transforms": transforms})

    def description(self) -> Config:
        """The JSON-serializable dict from which `load` rebuilds the model. Raises ValueError if it cannot."""
        likelihoods = (factor.likelihood for factor in self.factors.values())
        for part in filter(None, (*self.transforms, *likelihoods, self.condition)):
            serialization.check_comes_back(part)
        described = serialization.serialize(self)
        serialization.check(described["config"]["transforms"])
        return described

    def save(self, path: PathLike) -> None:
        """Writes the model, for example after `fit` of its factors, for `pa.load`.

        The result is a run folder: config.json with `description`, and FACTOR/average.safetensors with the
        weights of each factor. Optimizers are not saved: `save` of a factor's Keras model saves that.

        Args:
          path: of a folder: a new or empty one, or one that `save` made of such a model, whose weights are
            replaced.

        Raises:
          OSError: if the folder cannot be written. ValueError: for a folder with other content, a name with a
            suffix of Keras files, a factor that is not trained yet, or as `description`.
        """
        run = RunFolder(path)
        received, remedy = f"{path}, a file of Keras", "Leave out its suffix, or save one factor"
        fits = run.path.suffix not in (".keras", ".h5", ".hdf5")
        expect(fits, "the name of a folder, for a model of several files", received, remedy)
        self.require(self.factors)
        run.save_model(self)

    def class_names(self) -> list[str]:
        """The names of a class-conditional model's classes, by the data set of the run that was loaded."""
        condition = arguments.instance("the model's condition", self.condition, conditions.Classes)
        run = self.loaded_from and RunFolder(trained.find(self.loaded_from)).config()
        return data.class_names(run and run.get("dataset"), condition.num_classes)

    def class_numbers(self, condition: Any) -> Any:
        """The numbers of classes given by name, one or a list. Raises ValueError for an unknown name."""
        listed = condition if isinstance(condition, (list, tuple)) else [condition]
        given = [x for x in listed if isinstance(x, str)]
        names = self.class_names() if given else []
        for name in given:
            remedy = did_you_mean(name, names, "Choose one of them, or its number")
            expect(name in names, f"a class of {', '.join(names)}", name, remedy)
        numbers = [names.index(x) if isinstance(x, str) else x for x in listed]
        return numbers if listed is condition else numbers[0]

    # Images of the factors.

    def checked(self, images: ArrayLike) -> Tensor:
        """Full images as a NumPy array or tensor. Raises ValueError for another dtype, shape or range."""
        return check_images(images, self.likelihood.num_channels, self.likelihood.num_values)

    def checked_condition(self, condition: ArrayLike | None, batch: int | None) -> Tensor:
        """The checked condition of `batch` images; None becomes no class, or zeros."""
        if condition is None and self.condition is not None and batch is not None:
            condition = self.condition.unknown(batch)
        return conditions.checked(self.condition, condition, batch)

    @_accepts_single
    def auxiliaries(self, images: ArrayLike) -> dict[str, Tensor]:
        """Each factor's image: dict, name -> [B, h, w, c], in the order of sampling; the last is `images`.

        Args:
          images: full images [B, H, W, C].

        Raises:
          ValueError: for images of another dtype or number of channels, or of a size that a transform or a
            factor does not accept.
        """
        inputs = self._inputs(self.checked(images), None)
        self._check_shapes(inputs)
        return {name: x.images for name, x in inputs.items()}

    def images_of(self, images: Tensor) -> dict[str, Tensor]:
        """`auxiliaries` of checked full images: NumPy arrays for one, tensors for a tensor."""
        plain, chain = arrays.is_plain(images), [images]
        for transform in self.transforms:
            height, width = chain[-1].shape[1:3]
            if None not in (height, width):
                transform.size((height, width))
            image = transform(chain[-1])  # may be a tensor for a custom transform
            chain.append(np.asarray(image) if plain else image)
        return dict(zip(self.factors, reversed(chain)))

    def inputs(self, images: ArrayLike, condition: ArrayLike | None = None) -> dict[str, Inputs]:
        """Each factor's `Inputs`, for training: for a conditional model, None is an error and not "no class".

        Raises ValueError for images [B, H, W, C] or a condition of another dtype or shape.
        """
        checked = self.checked(images)
        condition = conditions.checked(self.condition, condition, checked.shape[0])
        return self._inputs(checked, condition)

    def _inputs(self, images, condition):
        chain = self.images_of(images)
        below = [None, *chain.values()]
        return {
            name: Inputs(image, auxiliary, condition)
            for (name, image), auxiliary in zip(chain.items(), below)
        }

    def _check_shapes(self, inputs):
        for name, factor in self.factors.items():
            factor.check_shapes(inputs[name])

    # Likelihoods.

    @_accepts_single
    def log_prob(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> Tensor:
        """log p(X, X_hat), which is log p(X) if `exact`, and else a lower bound of it, equation (5).

        Args:
          images: uint8 or uint16 [B, H, W, C], of any size that the factors accept. B may be any number:
            images are evaluated in batches, and after a few seconds a terminal shows a progress bar. While a
            graph is traced, they are one batch.
          condition: int [B] for `conditions.Classes`, -1 for no class; float [B, D] for `conditions.Vector`;
            None for no class, or zeros.
          by: "numpy" or "graph", the backend; None for the default.

        Returns:
          float [B] of the model's dtype, in nats.

        Raises:
          ValueError: for images or a condition of another dtype or shape, or if a factor is not trained yet.
        """
        return sum(self.log_probs(images, condition, by).values())

    @_accepts_single
    def log_probs(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """Each factor's log-likelihood of its image, in nats: dict, name -> float [B]."""
        pixels, labels = self._checked(images, condition)
        return self._by_factor(batches.sum_tiles, Factor.batch_nats, pixels, labels, by)

    @_accepts_single
    def bits_per_dim(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """Negative log-likelihoods in bits per dimension of the full image, by factor, and their "total".

        Each is float [B] of the model's dtype. All, also those of auxiliary images, are divided by H * W * C
        of the full image, so that they add up (section 4.1). Raises ValueError as `log_prob`.
        """
        pixels, labels = self._checked(images, condition)
        nats = self._by_factor(batches.sum_tiles, Factor.batch_nats, pixels, labels, by)
        return in_bits_per_dim(nats, pixels.shape[1:])

    @_accepts_single
    def bound_and_exact(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`bits_per_dim` as if no factor were exact, and of the model itself: two dicts.

        Networks are evaluated once. Call it on `with_exact(True)` for both values of any model.
        """
        pixels, labels = self._checked(images, condition)
        function = Factor.batch_bound_and_exact
        both = self._by_factor(batches.sum_tiles, function, pixels, labels, by)
        parts = ({name: nats[i] for name, nats in both.items()} for i in range(2))
        bounds, exact = (in_bits_per_dim(nats, pixels.shape[1:]) for nats in parts)
        return bounds, exact

    @_accepts_single
    def pixel_nats(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, PixelNats]:
        """`PixelNats` of each factor's image: dict, name -> float [B, h, w] each.

        Raises ValueError as `log_prob`, and NotImplementedError for a likelihood that does not give the
        probabilities of a channel's values.
        """
        pixels, labels = self._checked(images, condition)
        return self._by_factor(batches.map_tiles, Factor.batch_pixel_nats, pixels, labels, by)

    def _checked(self, images, condition):
        """Full images and their condition, for likelihoods."""
        self.require(self.factors)
        images = self.checked(images)
        self._warn_of_size(tuple(images.shape[1:3]))
        return images, self.checked_condition(condition, images.shape[0])

    def _warn_of_size(self, size):
        """Logs once per size that networks that see whole images were trained on another size."""
        own = self.image_size
        see_whole = own and any(factor.radius is None for factor in self.factors.values())
        if not see_whole or None in size or size in self._logged_sizes | {own}:
            return
        self._logged_sizes.add(size)
        message = (
            "Expected images of %d x %d, on which the model was trained. Received: %d x %d, whose bits mean "
            "little. Cut or resize them."
        )
        logging.warning(message, *own, *size)

    def _by_factor(self, over_tiles, function, images, condition, by):
        """dict, name -> a function of a factor and a batch of `Inputs`, summed over tiles or not."""
        evaluate = self.evaluator(by, images, condition)

        def of_batch(images, condition):
            inputs = self._inputs(images, condition)
            self._check_shapes(inputs)
            results = {}
            for name, factor in self.factors.items():
                results[name] = over_tiles(evaluate, function, factor, inputs[name])
            return results

        return evaluate.in_batches(of_batch, (images, condition), images.shape[1:3])

    def evaluator(self, by: str | None, *images: Tensor) -> batches.Evaluator:
        """`batches.evaluator` of the factors, by the model's default."""
        return batches.evaluator(self.by if by is None else by, self.factors.values(), *images)

    @_accepts_single
    def params(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """The parameters of every pixel's distribution, given the pixels before it.

        Returns a dict, name -> float [B, h, w, P] of the model's dtype. Raises ValueError as `log_prob`.
        """
        pixels, labels = self._checked(images, condition)
        return self._by_factor(batches.map_tiles, Factor.batch_params, pixels, labels, by)

    @_accepts_single
    def class_log_probs(self, images: ArrayLike, by: str | None = None) -> Tensor:
        """log p(y | X) of each class y, by Bayes' rule with a uniform prior: a classifier.

        Images are evaluated given each class. Networks take it in their first block: a tenth of the
        arithmetic in graphs, less in deeper networks, is done once for all classes. Raises ValueError as
        `log_prob`, and for a model without `conditions.Classes`.

        Returns:
          float [B, num_classes] of the model's dtype, in nats.
        """
        return arrays.log_softmax(sum(self.log_probs_by_class(images, by).values()), axis=-1)

    @_accepts_single
    def log_probs_by_class(self, images: ArrayLike, by: str | None = None) -> dict[str, Tensor]:
        """`log_probs` given each class: dict, name -> float [B, num_classes]; see `class_log_probs`."""
        condition = arguments.instance("the model's condition", self.condition, conditions.Classes)
        checked, _ = self._checked(images, None)
        classes = np.arange(condition.num_classes, dtype=np.int32)
        height, width = checked.shape[1:3]
        at_once = max(1, batches.MAX_PIXELS // (height * width))  # classes per group
        starts = range(0, len(classes), at_once)
        groups = [classes[first : first + at_once] for first in starts]
        evaluate = self.evaluator(by, checked)

        def of_factor(factor, inputs):
            given = (
                evaluate(Factor.batch_log_prob_by_condition, factor, inputs, group)
                for group in groups
            )
            return arrays.concatenate([*given], axis=-1)

        def of_batch(images):
            inputs = self._inputs(images, None)
            self._check_shapes(inputs)
            return {name: of_factor(x, inputs[name]) for name, x in self.factors.items()}

        return evaluate.in_batches(of_batch, (checked,), (len(groups[0]) * height, width))

    # Draws.

    @_accepts_single
    def sample(
        self,
        seeds: Seeds,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        method: str = "incremental",
        given: dict[str, Any] | None = None,
        known: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
        image_size: Size | None = None,
        particles: int = 1,
        by: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Draws images: each factor in turn, given the image drawn by the one before.

        Any number of images are drawn in batches, with a progress bar as of `log_prob`.

        Args:
          seeds: int32 [B, 2]. Image b depends on seeds[b] alone, up to rounding. Or B, an int: [0, b].
          log_scale_shift: float, or float32 [B]: added to the mixtures' log-scales (figure 4).
          mode: "sample", or "map" for the paper's MAP sampling: a drawn component's location.
          method: "incremental", every activation evaluated once; or "full", networks evaluated whole for
            every pixel, some hundred times slower. Parallel networks go group by group in both.
          given: dict with one auxiliary image, name -> [B, h, w, c], to start from. The result lacks the
            images before it in the order of sampling.
          known, mask: full images [B, H, W, C], and uint8 [B, H, W, 1], 1 at the pixels to keep and 0 at
            those to draw: completion. An auxiliary image's pixel is kept if all pixels that it is computed
            from are kept. A pixel is drawn given the auxiliary image and the known pixels before it in raster
            order. With one factor, this is a draw from the distribution given all known pixels if they
            precede all others; otherwise auxiliary images do not depend on known pixels of larger images. An
            exact model always agrees with its auxiliary images: values are drawn within the bounds left by
            known pixels, also later ones of their block and of larger images.
          jit_compile: bool, whether XLA compiles the graph that draws. This takes minutes for deep networks,
            once for each of `batches.COMPILED_SIZES` in use; later draws are faster.
          condition: int [B] or float [B, D], the condition of each image to draw, or None.
          image_size: (H, W) of images that the factors accept; None for the model's size, or for a model of
            images of any size, for that of `known` or the one that `given` implies.
          particles: int, 1 to 1024: images drawn per image with known pixels. They are weighted by the
            probabilities of known pixels after drawn ones, without `log_scale_shift`, and resampled on the
            way; one is chosen in the end. More particles come closer to the distribution given all known
            pixels.
          by: "numpy" or "graph", the backend; None for NumPy, or a graph with `jit_compile`.

        Returns:
          dict, name -> NumPy array [B, h, w, c], in the order of sampling, including the image of `given`.

        Raises:
          ValueError: while a graph is traced; for invalid arguments; for particles without known pixels, or
            in graphs; for a factor that is not trained yet; if an image
            given to an exact model contradicts known pixels (the message has the place); or for known pixels
            that a model cannot keep: a factor below an exact one has a likelihood without bounds, or the sum
            of an exact one is not `dense`.
        """
        request = DrawRequest(
            seeds, log_scale_shift, condition, mode, method, jit_compile, by, image_size
        )
        return sampling.sample(self, request, given, known, mask, particles)

    # Pictures of any size, even larger than the model's.

    @_accepts_single
    def colorize(
        self,
        images: ArrayLike,
        seeds: Seeds | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
        num: int | None = None,
    ) -> np.ndarray:
        """Colors pictures of any size, by a model of colors given grays, such as `cifar10-grayscale`.

        Larger pictures than the model's images are reduced to about their size. Colors are the mean of 32
        draws, twice as strong, and follow the edges of the grays at full size. With `num`, they are those of
        clusters of 32 * max(num, 3) draws, so that colorings differ; the likeliest and the nearest to the
        mean of all draws come first. Others are single draws, the likeliest first.

        Args:
          images: uint8 [B, H, W, 1], grays from 0 to 255; or uint8 [B, H, W, 3], photographs, whose colors
            are ignored. The model's transform computes the auxiliary images of both.
          seeds: int32 [B, 2]: picture b depends on seeds[b] and images[b] alone, up to rounding. None:
            [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`.
          num: int, 1 to 64, colorings per picture; None for one, without clusters.

        Returns:
          uint8 [B, H, W, 3], or [B, num, H, W, 3]. Larger pictures keep the luma of `images`,
          `auxiliary.Grayscale(8)`, and those drawn by an exact model their auxiliary images.

        Raises:
          ValueError: as `sample`, for images of another dtype or shape, or a model of anything but colors
          given grays.
        """
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.colorize(self, images, request, num)

    @_accepts_single
    def enlarge(
        self,
        images: ArrayLike,
        times: int = 2,
        seeds: Seeds | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
    ) -> np.ndarray:
        """Enlarges pictures, by a model with auxiliary images of lower resolution, such as `photographs`.

        Args:
          images: uint8 or uint16 [B, h, w, C].
          times: int, the factor of height and width: 2 by the last factor of a pyramid, 4 by the last two.
          seeds: int32 [B, 2]; None: [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`. Intermediate scales are drawn at
            log-scales that are lower by 0.7, so that edges stay straight.

        Returns:
          Images [B, times * h, times * w, C]; by an exact model, pictures whose auxiliary images are
          `images`.

        Raises:
          ValueError: as `sample`, for images of another dtype or shape, or an unsupported `times`.
        """
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.enlarge(self, images, times, request)

    @_accepts_single
    def complete(
        self,
        images: ArrayLike,
        mask: ArrayLike,
        seeds: Seeds | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
        particles: int = 1,
        scenes: "AuxiliaryModel | None" = None,
    ) -> np.ndarray:
        """Draws the unknown pixels of pictures of any size: completion.

        Pictures are drawn at once, as by `sample`; a model of one size accepts sides of at most 2,048.

        With `scenes`, holes are filled at low resolution: a rectangle around the hole is reduced, by one of
        the model's enlargements, until the hole spans at most half of an image of `scenes`, or as far as the
        model enlarges. `scenes` fills it, and the model enlarges it, at log-scales that are lower by 0.7
        where nearby known pixels of the same brightness are smooth, and higher by up to 0.2, but not above 0,
        where they vary. Both respect the bounds of known pixels, if each reduction changes these by at most
        12 of 255. Several holes of a picture, with all between them, count as one.

        Args:
          images: uint8 or uint16 [B, H, W, C].
          mask: uint8 [B, H, W, 1], 1 at the pixels to keep and 0 at those to draw.
          seeds: int32 [B, 2]; None: [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`. Scenes have no class.
          particles: as for `sample`; with `scenes`, of the small picture, and only if it has known pixels
            after the first one to draw.
          scenes: a model of one factor, one size, and the same channels and values, such as
            `cifar10-pixelcnn`, for a model that enlarges, such as `photographs`; or None.

        Returns:
          Images [B, H, W, C].

        Raises:
          ValueError: as `sample`, for images or a mask of another dtype or shape, or scenes that do not fit.
        """
        arguments.instance("scenes", scenes, AuxiliaryModel, optional=True)
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.complete(self, images, mask, request, particles, scenes)

    # Gradients in images.

    def _moved_inputs(self, images, condition):
        """`inputs` for float images [B, H, W, C], differentiable in them: for `log_density`."""
        likelihood, dtype = self.likelihood, [*self.factors.values()][-1].dtype
        channels, num_values = likelihood.num_channels, likelihood.num_values
        checked = check_images(images, channels, num_values, floats=True)
        condition = self.checked_condition(condition, checked.shape[0])
        images = arrays.cast(arrays.tensor(checked), dtype)
        nearest = arrays.round(arrays.stop_gradient(images))
        nearest = arrays.clip(nearest, 0, num_values - 1)
        nearest = arrays.cast(nearest, arguments.pixel_dtype(num_values))
        whole = self._inputs(nearest, condition)
        self._check_shapes(whole)
        chain, move = [images], images - arrays.cast(nearest, dtype)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            auxiliary = arrays.cast(whole[name].auxiliary, dtype)
            fixed_sum = checks.declared_sum(transform, factor.likelihood)
            zeros = arrays.zeros_like(auxiliary)
            move = fixed_sum.sums(move) / fixed_sum.step if fixed_sum else zeros
            chain.append(auxiliary + move)
        below = [*chain[1:], None]
        moved = [Inputs(*x, condition) for x in zip(reversed(chain), reversed(below))]
        return dict(zip(self.factors, moved))

    @_accepts_single
    def log_density(self, images: ArrayLike, condition: ArrayLike | None = None) -> Tensor:
        """`log_prob` extended to images of real values, differentiable in the image: a prior.

        The density of a value x is the probability of the bin from x - 1/2 to x + 1/2. If the nearest integer
        is the first or last value, the bin is unbounded on that side, as in `log_prob`. Between two values of
        a `Categorical`, the log-probability is linear.

        Auxiliary images are those of the nearest integer image, plus the change from there in the sum that
        their transform declares, divided by its step: a half resolution moves with the mean, but keeps the
        rounding of the nearest integer image. So the density equals `log_prob` at integer images, and jumps
        where the nearest integer image changes. Auxiliary images of a transform without a declared sum do not
        move.

        Args:
          images: float32 or float64 [B, H, W, C], of any size that the factors accept, with values from 0 to
            num_values - 1. They are evaluated in one batch, so that TensorFlow and JAX can differentiate.
          condition: as for `log_prob`.

        Returns:
          float [B] of the model's dtype, in nats.

        Raises:
          NotImplementedError: for a likelihood that does not define `_log_density`. ValueError: as
          `log_prob`, for values out of range, and for an exact model, whose images have probability 0
            unless they fit their auxiliary images: use `with_exact(False)`.
        """
        self.require(self.factors)
        inputs = self._moved_inputs(images, condition)
        expected = "a model that is not exact, to evaluate its density"
        received = "an exact one: images have probability 0 unless they fit their auxiliary images"
        fits = not any(factor.exact for factor in self.factors.values())
        expect(fits, expected, received, "Use model.with_exact(False)")
        evaluate = batches.TRACED if arrays.is_symbolic(images) else batches.GRAPHS
        return sum(
            evaluate(Factor.batch_log_density, factor, inputs[name])
            for name, factor in self.factors.items()
        )
