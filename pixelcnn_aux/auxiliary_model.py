"""AuxiliaryModel: a chain of factors, p(X) >= p(x_n) p(x_{n-1} | x_n) ... p(X | x_1), equations (2), (5).

The paper's models are constructors in `models`; nothing here knows which is which.
"""

import copy
import math

from keras import ops

from pixelcnn_aux import arguments, auxiliary, backend, checks, declarations, dtypes, serialization
from pixelcnn_aux.factor import Factor
from pixelcnn_aux.inputs import Inputs, check_images


@serialization.register()
class AuxiliaryModel(serialization.Configured):
    """A chain of factors over images of one size.

    Args:
      factors: list of `Factor` in the order of sampling, each with a name of its own: the first one is
        unconditional, each other one is conditioned on the image of the one before it, and the last one
        models the full image.
      transforms: list of `auxiliary.Transform` from the full image down: transforms[0] gives the
        auxiliary image of the full image, transforms[1] that one's, and so on.
      image_size: (H, W) of the full image, which `sample` draws; `log_prob` takes any size.

    Attributes:
      exact: bool, whether `log_prob` is log p(X) itself and no bound: whether every factor that is given an
        auxiliary image rules out the images that contradict it. Which do, `Factor.exact` says.
      centered: bool, whether any factor's likelihood is centered on what its auxiliary image says.

    Raises:
      ValueError: for factors and transforms that do not fit each other; a transform whose output is not
        what it declares is named.
    """

    def __init__(self, factors, transforms, image_size):
        factors = [arguments.instance("a factor", factor, Factor) for factor in factors]
        checks.check_names([factor.name for factor in factors])
        self.factors = {factor.name: factor for factor in factors}
        self.transforms = list(transforms)
        self.image_size = arguments.size("image_size", image_size)
        self.untrained = ()  # names of the factors that `load` found no weights for
        self.loaded_from: str | None = None  # the run, as `load` was given it
        checks.check_chain(factors, self.transforms, self.image_size)

    @property
    def likelihood(self):
        """`Likelihood` of the full image, given its auxiliary image."""
        return list(self.factors.values())[-1].likelihood

    @property
    def exact(self):
        return all(factor.exact for factor in self.factors.values() if factor.embedding is not None)

    @property
    def centered(self):
        return any(factor.likelihood.centered for factor in self.factors.values())

    def with_exact(self, exact):
        """A model of the same networks, not copies, whose factors are exact where they can be; or none is.

        A factor can be where its transform declares the sum that it fixes, and its likelihood has bounds.
        """
        model = copy.copy(self)  # with whatever a subclass has
        model.factors = dict(self.factors)
        for transform, (name, factor) in zip(self.transforms, reversed(self.factors.items())):
            known = declarations.known_sum(transform, factor.likelihood, exact)
            model.factors[name] = factor.with_fixed_sum(known)
        return model

    def get_config(self):
        return {
            "factors": [serialization.serialize(factor) for factor in self.factors.values()],
            "transforms": [serialization.serialize(transform) for transform in self.transforms],
            "image_size": list(self.image_size),
        }

    @classmethod
    def from_config(cls, config):
        factors = [serialization.deserialize(part, Factor) for part in config["factors"]]
        kind = auxiliary.Transform
        transforms = [serialization.deserialize(part, kind) for part in config["transforms"]]
        return cls(**{**config, "factors": factors, "transforms": transforms})

    def description(self):
        """dict that JSON can hold, from which `load` builds the model again; without its weights.

        Raises ValueError for a part of a class that is not registered, or that would not come back as it is.
        """
        for part in (*self.transforms, *(factor.likelihood for factor in self.factors.values())):
            serialization.check_comes_back(part)
        return serialization.serialize(self)

    def auxiliaries(self, images):
        """The image that each factor models.

        Args:
          images: uint8 [B, H, W, C], full images.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling; the last is `images`.

        Raises:
          ValueError: for images of another dtype or number of channels, or whose height or width a transform
            does not divide.
        """
        chain = [check_images(images, self.likelihood.num_channels, self.likelihood.num_values)]
        for transform in self.transforms:
            height, width = chain[-1].shape[1:3]
            if None not in (height, width):
                transform.size((height, width))
            chain.append(transform(chain[-1]))
        return dict(zip(self.factors, reversed(chain)))

    def inputs(self, images):
        """What each factor sees of full images, uint8 [B, H, W, C].

        Returns:
          dict, name -> `Inputs`: its image, uint8 [B, h, w, c], and its auxiliary image, None for the first.

        Raises:
          ValueError: for images of another dtype or shape.
        """
        chain = self.auxiliaries(images)
        return dict(zip(chain, map(Inputs, chain.values(), [None, *chain.values()])))

    def new_factor(self, name, dtype=None):
        """A factor like that of this name, randomly initialized; of another dtype or policy if given one."""
        self.position(name)
        factor = self.factors[name]
        config = factor.get_config()
        if dtype is not None:
            dtypes.check(dtype)
            dtypes.give(config, dtype)
        return type(factor).from_config(config)

    def position(self, name):
        """The place of a factor in the order of sampling. Raises ValueError for an unknown name."""
        if name not in self.factors:
            raise ValueError(
                f"Expected a factor of {list(self.factors)}. Received: {name!r}. Choose one of them."
            )
        return list(self.factors).index(name)

    def require(self, names):
        """Raises ValueError, which names them, where factors of these names are not trained yet."""
        missing = [name for name in names if name in self.untrained]
        if missing:
            raise ValueError(
                f"Expected trained factors. Received: {', '.join(map(repr, missing))} not trained yet. "
                f"Train with --factor {missing[0]}."
            )

    def log_probs(self, images):
        """Each factor's log-likelihood of its own image, in nats: dict, name -> as `log_prob`."""
        self.require(self.factors)
        inputs = self.inputs(images)
        return {name: factor.log_prob(inputs[name]) for name, factor in self.factors.items()}

    def log_prob(self, images):
        """log p(X, X_hat): log p(X) itself if `exact`; if not, it bounds that from below, equation (5).

        Args:
          images: uint8 [B, H, W, C].

        Returns:
          float [B] of the model's dtype, in nats.

        Raises:
          ValueError: for images of another dtype or shape, or where a factor is not trained yet.
        """
        return sum(self.log_probs(images).values())

    def bits_per_dim(self, images):
        """Negative log-likelihood of each factor and of the chain, in bits per dimension of the full image.

        Args:
          images: uint8 [B, H, W, C].

        Returns:
          dict, factor name -> float [B] of the model's dtype, and "total", their sum. Every entry is divided
          by H * W * C of the full image, auxiliary factors' too: so the entries add up (section 4.1).

        Raises:
          ValueError: as `log_prob`.
        """
        images = ops.convert_to_tensor(images)
        return in_bits_per_dim(self.log_probs(images), images.shape[1:])

    def bound_and_exact(self, images):
        """`bits_per_dim` as if no factor were exact, and of the model, evaluating the networks once.

        Args:
          images: uint8 [B, H, W, C].

        Returns:
          Two dicts as of `bits_per_dim`. To have both of any model, ask `with_exact(True)`.

        Raises:
          ValueError: as `log_prob`.
        """
        self.require(self.factors)
        images, inputs = ops.convert_to_tensor(images), self.inputs(images)
        both = {name: factor.bound_and_exact(inputs[name]) for name, factor in self.factors.items()}
        return tuple(
            in_bits_per_dim({name: nats[i] for name, nats in both.items()}, images.shape[1:])
            for i in range(2)
        )

    def sizes(self):
        """dict, factor name -> (H, W) of the image that the factor draws."""
        sizes = [self.image_size]
        for transform in self.transforms:
            sizes.append(tuple(transform.size(sizes[-1])))
        return dict(zip(self.factors, reversed(sizes)))

    def sample(
        self,
        seeds,
        log_scale_shift=0.0,
        mode="sample",
        method="incremental",
        given=None,
        known=None,
        mask=None,
        jit_compile=False,
    ):
        """Draws images, each factor in turn given what the one before it drew. Needs TensorFlow.

        More images than fit in memory are drawn in several batches, with a progress bar.

        Args:
          seeds: int32 [B, 2]. Image b depends on seeds[b] alone, but for rounding.
          log_scale_shift: float, or float32 [B]: added to the mixtures' log-scales (figure 4).
          mode: "sample", or "map" for the paper's MAP sampling: a drawn component's location.
          method: "incremental", every activation evaluated once; or "full", all networks evaluated again
            for every pixel, which is some hundred times slower.
          given: dict with one auxiliary image, name -> uint8 [B, h, w, c], to start from. What comes before
            it in the order of sampling is absent from the result.
          known, mask: uint8 [B, H, W, C], full images, and uint8 [B, H, W, 1], 1 at the pixels of theirs to
            keep and 0 at those to draw: completion. An auxiliary image's pixel is kept where all pixels
            that it is computed from are. A pixel is drawn given the known ones of its own image before it in
            raster order, and the auxiliary image. With one factor alone that is a draw from the distribution
            given all known pixels where they precede all others; auxiliary images are not told what known
            pixels of larger images say of the rest. Of an exact model the image agrees with its auxiliary
            images, whatever is known: values are drawn within what known pixels leave for them, later ones
            of their block and those of larger images too.
          jit_compile: bool, whether XLA compiles the drawing: once for each batch size, which takes
            minutes for deep networks. Drawing takes less time from then on.

        Returns:
          dict, name -> uint8 [B, h, w, c], in the order of sampling, the image given included.

        Raises:
          RuntimeError: under another backend than TensorFlow.
          ValueError: while a graph is traced, for seeds of another shape or dtype, an image given or known or
            a mask that does not fit, a log_scale_shift that is not finite or of another shape, an unknown
            mode or method, a model in mixed precision, where a factor is not trained yet, where an image
            given to an exact model contradicts pixels that are known: the place is named; or for known pixels
            of a model that cannot be held to them: a factor below an exact one has a likelihood without
            bounds, or the sum of an exact one is not `dense`.
        """
        backend.require_tensorflow("sampling")
        from pixelcnn_aux import sampling  # here, since it needs TensorFlow and nothing above does

        return sampling.sample(
            self, seeds, log_scale_shift, mode, method, given, known, mask, jit_compile
        )


def in_bits_per_dim(log_probs, shape):
    """dict, name -> nats [B] -> bits per dimension of full images of (H, W, C), and "total", their sum."""
    bits = math.log(2.0) * math.prod(shape)
    result = {name: -nats / bits for name, nats in log_probs.items()}
    return {**result, "total": sum(result.values())}
