"""AuxiliaryModel: a chain of factors, p(X) >= p(x_n) p(x_{n-1} | x_n) ... p(X | x_1), equations (2), (5).

Nothing here knows which of the paper's models a chain is: their constructors are in `models`.
"""

import copy
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from absl import logging

from pixelcnn_aux import conditions, sampling, summaries
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.base import arguments, arrays, serialization
from pixelcnn_aux.base.arguments import ArrayLike, Config, PathLike, Size, Tensor
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.base.inputs import DrawRequest, Inputs, check_images, takes_one
from pixelcnn_aux.batches import MAX_PIXELS, by_graph, in_batches
from pixelcnn_aux.factors import checks
from pixelcnn_aux.factors.conditional import Conditional, PixelNats, in_bits_per_dim
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.runs.folder import RunFolder

if TYPE_CHECKING:
    from pixelcnn_aux.factors.factor import Factor


@serialization.register()
class AuxiliaryModel(serialization.Configured):
    """A chain of factors over images of one size.

    Methods of images [B, H, W, C] also take one, [H, W, C], with its condition without B, and two numbers as
    its seeds. Then what they return has no B. They return arrays of NumPy; tensors while a graph is being
    traced, as in tf.function or jax.jit, where weights are constants, and while gradients of weights are
    recorded.

    `by` says what computes: "numpy", or "graph", of TensorFlow or JAX. By default graphs evaluate likelihoods
    of many images (`batches.by_graph`), where one of these is installed, and NumPy all else.

    Args:
      factors: list of `Conditional`, such as `Factor`, in the order of sampling, each with a name of its own:
        the first one is unconditional, each other one is conditioned on the image of the one before it, and
        the last one models the full image.
      transforms: list of `auxiliary.Transform` from the full image down: transforms[0] computes the
        auxiliary image of the full image, transforms[1] that one's, and so on.
      image_size: (H, W) of the full image, which `sample` draws; `log_prob` takes any size. None for a model
        of images of any size, whose `sample` takes one.

    Attributes:
      factors: dict, name -> factor, in the order of sampling.
      exact: bool, whether `log_prob` is log p(X) itself and not a bound: whether every factor that is given
        an auxiliary image rules out the images that contradict it (`Factor.exact`).
      centered: bool, whether any factor's likelihood is centered on the sum that its auxiliary image fixes.
      likelihood: `Likelihood` of the full image, given its auxiliary image.
      condition: `conditions.Condition`, the same of all factors; None for none.
      untrained: tuple of str, the names of the factors that `load` found no weights for.
      loaded_from: str, the run, as `load` was given it; None for a model that was not loaded.
      by: str or None, as `computing` sets it.
      notes: tuple of str, lines for `summary`.

    Raises:
      ValueError: for factors and transforms that do not fit each other; a transform whose output is not
        what it declares is named.
    """

    def __init__(
        self,
        factors: Iterable[Any],
        transforms: Iterable[Transform],
        image_size: Size | None = None,
    ):
        factors = [arguments.instance("a factor", x, Conditional) for x in factors]
        checks.check_names([factor.name for factor in factors])
        self.factors: dict[str, Factor] = {factor.name: factor for factor in factors}
        self.transforms = list(transforms)
        self.image_size = None if image_size is None else arguments.size("image_size", image_size)
        self.untrained: tuple[str, ...] = ()
        self.loaded_from: str | None = None
        self.notes: tuple[str, ...] = ()  # for `summary`
        self.by: str | None = None  # as `computing` sets it
        self._known_sizes = set[Any]()
        checks.check_chain(factors, self.transforms, self.image_size)

    def __repr__(self):
        return summaries.model_lines(self)

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints a table of the factors by `print_fn`: their images, likelihoods and parameters."""
        print_fn(summaries.model_table(self))

    @property
    def likelihood(self) -> Likelihood:
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

    def computing(self, by: str | None) -> Self:
        """A model of the same factors that computes by "numpy" or "graph" where a call does not say it."""
        model = copy.copy(self)
        model.by = by
        return model

    def with_exact(self, exact: bool) -> Self:
        """A model of the same networks, not copies, whose factors are exact if they can be; or none is.

        A factor can be if its transform declares the sum that it fixes, and its likelihood has bounds.
        """
        model = copy.copy(self)  # with whatever a subclass has
        model.factors = dict(self.factors)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            known = checks.known_sum(transform, factor.likelihood, exact)
            model.factors[name] = factor.with_fixed_sum(known)
        return model

    def with_image_size(self, image_size: Size | None) -> Self:
        """A model of the same factors, not copies, that draws images of (H, W). Raises as `sizes`."""
        model = copy.copy(self)
        *_, model.image_size = self.sizes(image_size).values()
        return model

    def sizes(self, image_size: Size | None = None) -> dict[str, tuple[int, int]]:
        """dict, factor name -> (H, W) of the image that the factor draws.

        Args:
          image_size: (H, W) of the full image, of at most `arguments.MAX_PIXELS` for a model of images of any
            size; None for the model's.

        Raises ValueError for a size that the factors do not take, or for None of a model of images of any
        size.
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
        """The place of a factor in the order of sampling. Raises ValueError for an unknown name."""
        names = list(self.factors)
        if name not in names:
            remedy = did_you_mean(name, names, "Choose one of them")
            expect(False, f"a factor of {names}", repr(name), remedy)
        return names.index(name)

    def require(self, names: Iterable[str]) -> None:
        """Raises ValueError, which names them, if factors of these names are not trained yet."""
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
        from pixelcnn_aux.factors.factor import Factor

        factors = [serialization.deserialize(part, Factor) for part in config["factors"]]
        transforms = [serialization.deserialize(part, Transform) for part in config["transforms"]]
        return cls(**{**config, "factors": factors, "transforms": transforms})

    def description(self) -> Config:
        """dict that JSON can hold, from which `load` builds the model again; without its weights.

        Raises ValueError for a part of a class that is not registered, or that would not come back as it is.
        """
        likelihoods = (factor.likelihood for factor in self.factors.values())
        for part in filter(None, (*self.transforms, *likelihoods, self.condition)):
            serialization.check_comes_back(part)
        described = serialization.serialize(self)
        serialization.check(described["config"]["transforms"])
        return described

    def save(self, path: PathLike) -> None:
        """Writes the model, as after `fit` of its factors, for `pa.load`.

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

    def new_factor(self, name: str, dtype: str | None = None) -> "Factor":
        """A factor like that of this name, randomly initialized; of another dtype or policy if given one."""
        self.position(name)
        factor = self.factors[name]
        config = factor.get_config()
        if dtype is not None:
            arrays.backend().check_dtype(dtype)
            arrays.backend().set_dtype(config, dtype)
        return factor.keras_class().from_config(config)

    # The images of the factors.

    def checked(self, images: ArrayLike) -> Tensor:
        """Full images, NumPy's or a tensor. Raises ValueError for another dtype, shape or range."""
        return check_images(images, self.likelihood.num_channels, self.likelihood.num_values)

    def checked_condition(self, condition: ArrayLike | None, batch: int | None) -> Tensor:
        """The condition of `batch` images, as `conditions.checked`; None becomes no class, or zeros."""
        if condition is None and self.condition is not None and batch is not None:
            condition = self.condition.unknown(batch)
        return conditions.checked(self.condition, condition, batch)

    @takes_one
    def auxiliaries(self, images: ArrayLike) -> dict[str, Tensor]:
        """The image that each factor models.

        Args:
          images: uint8 [B, H, W, C], full images.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling; the last is `images`.

        Raises:
          ValueError: for images of another dtype or number of channels, or of a size that a transform or a
            factor does not take.
        """
        inputs = self._inputs(self.checked(images), None)
        self._check_shapes(inputs)
        return {name: x.images for name, x in inputs.items()}

    def images_of(self, images: Tensor) -> dict[str, Tensor]:
        """`auxiliaries` of full images that have been checked: NumPy's arrays of one, tensors of a tensor."""
        plain, chain = arrays.is_plain(images), [images]
        for transform in self.transforms:
            height, width = chain[-1].shape[1:3]
            if None not in (height, width):
                transform.size((height, width))
            image = transform(chain[-1])  # a tensor, by a transform of one's own
            chain.append(np.asarray(image) if plain else image)
        return dict(zip(self.factors, reversed(chain)))

    def inputs(self, images: ArrayLike, condition: ArrayLike | None = None) -> dict[str, Inputs]:
        """The `Inputs` of each factor for full images, uint8 [B, H, W, C], and their condition: dict.

        Networks are trained on these: for a conditional model, None is an error and not "no class". Raises
        ValueError for images or a condition of another dtype or shape.
        """
        checked = self.checked(images)
        condition = conditions.checked(self.condition, condition, checked.shape[0])
        return self._inputs(checked, condition)

    def _inputs(self, images, condition):
        chain = self.images_of(images)
        below = [None, *chain.values()]
        return {
            name: Inputs(image, given, condition)
            for (name, image), given in zip(chain.items(), below)
        }

    def _check_shapes(self, inputs):
        for name, factor in self.factors.items():
            factor.check_shapes(inputs[name])

    # Likelihoods.

    @takes_one
    def log_prob(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> Tensor:
        """log p(X, X_hat): log p(X) itself if `exact`; if not, it bounds that from below, equation (5).

        Args:
          images: uint8 [B, H, W, C], of any size that the factors take, not only of `image_size`. B may be
            any number: images are evaluated in batches, and after a few seconds a terminal shows a progress
            bar. While a graph is traced, as in tf.function or jax.jit, they are one batch.
          condition: int [B] for a model with `conditions.Classes`, -1 for no class; float [B, D] with
            `conditions.Vector`; None for no class, or vectors of zeros.
          by: "numpy" or "graph", which computes; None for the default.

        Returns:
          float [B] of the model's dtype, in nats.

        Raises:
          ValueError: for images or a condition of another dtype or shape, or if a factor is not trained yet.
        """
        return sum(self.log_probs(images, condition, by).values())

    @takes_one
    def log_probs(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """Each factor's log-likelihood of its own image, in nats: dict, name -> as `log_prob`."""
        return self._by_factor("batch_log_prob", *self._checked(images, condition), by)

    @takes_one
    def bits_per_dim(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """Negative log-likelihood of each factor and of the chain, in bits per dimension of the full image.

        Takes and raises what `log_prob` does.

        Returns:
          dict, factor name -> float [B] of the model's dtype, and "total", their sum. Every entry is divided
          by H * W * C of the full image, auxiliary factors' too: so the entries add up (section 4.1).
        """
        checked = self._checked(images, condition)
        nats = self._by_factor("batch_log_prob", *checked, by)
        return in_bits_per_dim(nats, checked[0].shape[1:])

    @takes_one
    def bound_and_exact(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`bits_per_dim` as if no factor were exact, and of the model: two dicts.

        Networks are evaluated once. To have both of any model, ask `with_exact(True)`. Takes and raises what
        `log_prob` does.
        """
        checked = self._checked(images, condition)
        both, shape = self._by_factor("bound_and_exact", *checked, by), checked[0].shape[1:]
        each = ({name: nats[i] for name, nats in both.items()} for i in range(2))
        bounds, exact = (in_bits_per_dim(nats, shape) for nats in each)
        return bounds, exact

    @takes_one
    def pixel_nats(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, PixelNats]:
        """`PixelNats` of each factor's image: dict, name -> float [B, h, w] each; for `scores`.

        Takes and raises what `log_prob` does, and NotImplementedError for a likelihood without the
        probabilities of a channel's values.
        """
        return self._by_factor("pixel_nats", *self._checked(images, condition), by)

    def _checked(self, images, condition):
        """Full images and their condition, for likelihoods."""
        self.require(self.factors)
        images = self.checked(images)
        self._warn_of_size(tuple(images.shape[1:3]))
        return images, self.checked_condition(condition, images.shape[0])

    def _warn_of_size(self, size):
        """Logs, once a size, that networks that see whole images were trained on others."""
        own = self.image_size
        whole = own and any(factor.radius is None for factor in self.factors.values())
        if not whole or None in size or size in self._known_sizes | {own}:
            return
        self._known_sizes.add(size)
        message = (
            "Expected images of %d x %d, on which the model was trained. Received: %d x %d, whose bits mean "
            "little. Cut or resize them."
        )
        logging.warning(message, *own, *size)

    def _by_factor(self, method, images, condition, by, *args, size=None):
        """dict, name -> a method of `Inputs` in batches, as many at once as of images of `size`."""
        in_graphs, factors = by_graph(by or self.by, self.factors.values(), images), self.factors
        if in_graphs and not arrays.is_symbolic(images):
            factors = {name: factor.as_keras() for name, factor in factors.items()}

        def of_batch(rows):
            inputs = self._inputs(*rows)
            self._check_shapes(inputs)
            return {
                name: getattr(factor, method)(inputs[name], *args)
                for name, factor in factors.items()
            }

        size = size or images.shape[1:3]
        found = in_batches(of_batch, (images, condition), size, by_tensors=in_graphs)
        return self._own(found)

    def _own(self, found):
        """A structure of arrays as methods return it: NumPy's, unless they are recorded."""
        if any(factor.is_recording() for factor in self.factors.values()):
            return found
        return arrays.mapped(lambda x: x if arrays.is_symbolic(x) else np.asarray(x), found)

    @takes_one
    def params(
        self, images: ArrayLike, condition: ArrayLike | None = None, by: str | None = None
    ) -> dict[str, Tensor]:
        """The parameters of every pixel's distribution, given the pixels before it.

        Takes and raises what `log_prob` does.

        Returns:
          dict, factor name -> float [B, h, w, P] of the model's dtype, in the order of sampling.
        """
        return self._by_factor("batch_params", *self._checked(images, condition), by)

    @takes_one
    def class_log_probs(self, images: ArrayLike, by: str | None = None) -> Tensor:
        """log p(y | X) of each class y, by Bayes' rule from classes that are alike a priori. A classifier.

        Images are evaluated given each class. Networks take a class from their first block on: graphs do a
        tenth of the arithmetic once for all classes, less in deeper networks.

        Takes and raises what `log_prob` does, and ValueError for a model without `conditions.Classes`.

        Returns:
          float [B, num_classes] of the model's dtype, in nats.
        """
        return arrays.log_softmax(sum(self.log_probs_by_class(images, by).values()), axis=-1)

    @takes_one
    def log_probs_by_class(self, images: ArrayLike, by: str | None = None) -> dict[str, Tensor]:
        """`log_probs` given each class: dict, name -> float [B, num_classes]; as `class_log_probs`."""
        kind = arguments.instance("the model's condition", self.condition, conditions.Classes)
        checked, _ = self._checked(images, None)
        classes = np.arange(kind.num_classes, dtype=np.int32)
        height, width = checked.shape[1:3]
        at_once = max(1, MAX_PIXELS // (height * width))  # of many classes, some after others
        starts = range(0, len(classes), at_once)
        groups = [classes[first : first + at_once] for first in starts]

        size = len(groups[0]) * height, width
        return self._by_factor("log_prob_given", checked, None, by, groups, size=size)

    # Draws.

    @takes_one
    def sample(
        self,
        seeds: ArrayLike,
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
        """Draws images, each factor in turn given the image that the one before it drew.

        Any number of images are drawn in batches, with a progress bar as of `log_prob`.

        Args:
          seeds: int32 [B, 2]. Image b depends on seeds[b] alone, but for rounding. Or B, an int: [0, b].
          log_scale_shift: float, or float32 [B]: added to the mixtures' log-scales (figure 4).
          mode: "sample", or "map" for the paper's MAP sampling: a drawn component's location.
          method: "incremental", every activation evaluated once; or "full", networks evaluated whole for
            every pixel, some hundred times slower. Parallel networks go group by group either way.
          given: dict with one auxiliary image, name -> uint8 [B, h, w, c], to start from. The images before
            it in the order of sampling are absent from the result.
          known, mask: uint8 [B, H, W, C], full images, and uint8 [B, H, W, 1], 1 at the pixels of theirs to
            keep and 0 at those to draw: completion. An auxiliary image's pixel is kept if all pixels
            that it is computed from are. A pixel is drawn given the known ones of its own image before it in
            raster order, and the auxiliary image. With one factor alone that is a draw from the distribution
            given all known pixels if they precede all others; auxiliary images do not depend on known pixels
            of larger images otherwise. Of an exact model the image agrees with its auxiliary images, whatever
            is known: values are drawn within the bounds that known pixels leave for them, later ones of their
            block and those of larger images too.
          jit_compile: bool, whether to draw by a graph that XLA compiles, which takes minutes for deep
            networks: once for each of a few sizes of batch, `batches.COMPILED_SIZES`. Drawing takes less time
            from then on.
          condition: int [B] or float [B, D], the condition of each image to draw; None for none.
          image_size: (H, W), of images that the factors take; None for the model's size. For a model of
            images of any size, None for the size of `known`, or the one to which `given` is enlarged.
          particles: int, 1 to 1024: how many images are drawn for each one of which pixels are known. They
            are weighed by the probabilities of known pixels after drawn ones, without `log_scale_shift`, and
            drawn anew by their weights on the way; one is taken in the end. The more there are, the closer it
            is to a draw from the distribution given all known pixels.
          by: "numpy" or "graph", which computes; None for NumPy, or a graph with `jit_compile`.

        Returns:
          dict, name -> uint8 [B, h, w, c], NumPy's, in the order of sampling, the image given included.

        Raises:
          ValueError: while a graph is traced, for seeds of another shape or dtype, an image given or known, a
            mask or a condition that does not fit, a log_scale_shift that is not finite or of another shape,
            an unknown mode or method, particles without known pixels or by graphs, a model in mixed
            precision, if a factor is not trained yet, if an image given to an exact model contradicts pixels
            that are known: the place is named; or for known pixels of a model that cannot be held to them: a
            factor below an exact one has a likelihood without bounds, or the sum of an exact one is not
            `dense`.
        """
        request = DrawRequest(
            seeds, log_scale_shift, condition, mode, method, jit_compile, by, image_size
        )
        return sampling.sample(self, request, given, known, mask, particles)

    # Pictures of any size, also larger than the model's.

    @takes_one
    def colorize(
        self,
        images: ArrayLike,
        seeds: ArrayLike | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
        num: int | None = None,
    ) -> np.ndarray:
        """Colors pictures of any size, by a model of colors given grays, such as `cifar10-grayscale`.

        Pictures larger than the model's images are reduced to about their size. Colors are the mean of 32
        draws, twice as strong, and follow the edges of the grays at full size. With `num` they are those of
        clusters of 32 * max(num, 3) draws, so that colorings differ; the likeliest and the nearest to the
        mean of all draws come first. Others are single draws, the likeliest first.

        Args:
          images: uint8 [B, H, W, 1], grays from 0 to 255; or uint8 [B, H, W, 3], photographs, of which only
            the grays are used. The model's transform computes the auxiliary images of both.
          seeds: int32 [B, 2]: picture b depends on seeds[b] and images[b] alone, but for rounding. None:
            [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`.
          num: int, 1 to 64, colorings of each picture; None for one, without clusters.

        Returns:
          uint8 [B, H, W, 3], or [B, num, H, W, 3]: larger pictures have the luma of `images`,
          `auxiliary.Grayscale(8)`, and those drawn by an exact model their auxiliary images.

        Raises:
          ValueError: as `sample`, for images of another dtype or shape, or a model of no colors given grays.
        """
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.colorize(self, images, request, num)

    @takes_one
    def enlarge(
        self,
        images: ArrayLike,
        times: int = 2,
        seeds: ArrayLike | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
    ) -> np.ndarray:
        """Enlarges pictures, by a model with auxiliary images of lower resolution, such as `photographs`.

        Args:
          images: uint8 [B, h, w, C].
          times: int, how many times as high and wide: 2 by the last factor of a pyramid, 4 by the last two.
          seeds: int32 [B, 2]; None: [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`. Scales in between are drawn at
            log-scales that are lower by 0.7, so that edges stay straight.

        Returns:
          uint8 [B, times * h, times * w, C]; by an exact model, pictures whose auxiliary images are `images`.

        Raises:
          ValueError: as `sample`, for images of another dtype or shape, or times that the model does not
            enlarge by.
        """
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.enlarge(self, images, times, request)

    @takes_one
    def complete(
        self,
        images: ArrayLike,
        mask: ArrayLike,
        seeds: ArrayLike | None = None,
        *,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
        particles: int = 1,
        scenes: "AuxiliaryModel | None" = None,
    ) -> np.ndarray:
        """Draws the unknown pixels of pictures of any size: completion.

        They are drawn whole, as by `sample`; a model of one size takes sides of at most 2,048.

        With `scenes`, what is drawn is decided small: a rectangle around the hole is reduced, by one of the
        model's enlargements, until the hole spans at most half of the images of `scenes`, or as far as the
        model enlarges. They draw it, and the model enlarges it: at log-scales that are lower by 0.7 where
        known pixels nearby of the same brightness are smooth, and higher by up to 0.2, if that is not above
        0, where they vary. Both are held to what known pixels leave possible, if each step from these changes
        a color by 12 of 255 at most. Several holes of a picture are one hole, with all between them.

        Args:
          images: uint8 [B, H, W, C].
          mask: uint8 [B, H, W, 1], 1 at the pixels to keep and 0 at those to draw.
          seeds: int32 [B, 2]; None: [0, b].
          log_scale_shift, mode, jit_compile, condition: as for `sample`. Scenes are of no class.
          particles: as for `sample`: of the small picture, if there are `scenes`. They are one where nothing
            is known after the first of its pixels to draw.
          scenes: a model of one factor and one size of the same channels and values, such as
            `cifar10-pixelcnn`, for a model that enlarges, such as `photographs`; None for none.

        Returns:
          uint8 [B, H, W, C].

        Raises:
          ValueError: as `sample`, for images or a mask of another dtype or shape, or scenes that do not fit.
        """
        arguments.instance("scenes", scenes, AuxiliaryModel, optional=True)
        request = DrawRequest(seeds, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        return sampling.complete(self, images, mask, request, particles, scenes)

    # Gradients in images.

    def _moved_inputs(self, images, condition):
        """As `inputs`, of float images [B, H, W, C], and differentiable in them: for `log_density`."""
        likelihood, dtype = self.likelihood, [*self.factors.values()][-1].variable_dtype
        kind = likelihood.num_channels, likelihood.num_values
        checked = check_images(images, *kind, floats=True)
        condition = self.checked_condition(condition, checked.shape[0])
        images = arrays.cast(arrays.tensor(checked), dtype)
        nearest = arrays.clip(
            arrays.round(arrays.stop_gradient(images)), 0, likelihood.num_values - 1
        )
        nearest = arrays.cast(nearest, arguments.pixel_dtype(likelihood.num_values))
        whole = self._inputs(nearest, condition)
        self._check_shapes(whole)
        chain, move = [images], images - arrays.cast(nearest, dtype)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            given = arrays.cast(whole[name].auxiliary, dtype)
            fixed_sum = checks.declared_sum(transform, factor.likelihood)
            move = fixed_sum.sums(move) / fixed_sum.step if fixed_sum else arrays.zeros_like(given)
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
        return sum(factor.density(inputs[name]) for name, factor in self.factors.items())
