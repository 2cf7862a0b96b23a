"""A model as a distribution of TensorFlow Probability."""

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from pixelcnn_aux import arguments, arrays
from pixelcnn_aux.arguments import ArrayLike, Tensor
from pixelcnn_aux.errors import expect
from pixelcnn_aux.likelihoods.distributions import tfd, tfp
from pixelcnn_aux.model import AuxiliaryModel

if TYPE_CHECKING:
    Base: Any = object
else:
    Base = tfd.Distribution


class ImageDistribution(Base):
    """The distribution of images by an `AuxiliaryModel`: `pixelcnn_aux.distribution` makes it.

    ```python
    dist = pa.distribution(pa.load("cifar10-pyramid"))
    images = dist.sample(4, seed=0)                   # uint8 [4, 32, 32, 3]
    dist.log_prob(images)                             # float32 [4], in nats
    dist.sample([4, 3], seed=[0, 1], conditional_input=[1, 2, 7])
    ```

    `log_prob` takes uint8 or uint16 [..., H, W, C], as the model does, of any leading sides, and
    `conditional_input`, int [...] of classes or float [..., D], which broadcasts with them. It is
    differentiable in `trainable_variables`, evaluates networks without dropout, and is a bound if the model
    is not exact.

    `sample` takes `seed`, an int, which always draws the same, or int32 [2], as of
    `tfp.random.sanitize_seed`; and `conditional_input` of one image, or of as many as the last sides of
    `sample_shape`.

    As of `tfd.PixelCNN`, not all of a distribution applies:

    - `sample` works eagerly alone, not in a graph that is traced, such as those of joint distributions, and
      is not differentiable.
    - There are no `cdf`, `quantile`, `mean`, `variance`, `mode`, `entropy`, nor divergences in closed form.
    - There are no batches of distributions: `batch_shape` is [], and parameters are no tensors.
    """

    def __init__(self, model: AuxiliaryModel, name: str = "ImageDistribution"):
        parameters = dict(locals())
        model = arguments.instance("model", model, AuxiliaryModel)
        expected, remedy = "a model of images of one size", "Give model.with_image_size((H, W))"
        expect(model.image_size is not None, expected, "one of images of any size", remedy)
        self.model, kind = model, model.likelihood
        self.image_shape = (*(model.image_size or ()), kind.num_channels)
        super().__init__(
            dtype=np.dtype(arguments.pixel_dtype(kind.num_values)),
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        """The weights of all factors, variables of the backend."""
        factors = self.model.factors.values()
        return tuple(x.value for factor in factors for x in factor.trainable_variables)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return self.batch_shape.concatenate(self.image_shape)

    # TFP would turn floats into whole numbers.

    def _call_log_prob(self, value, name, **kwargs):
        return super()._call_log_prob(self._as_it_is(value), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return super()._call_prob(self._as_it_is(value), name, **kwargs)

    def _as_it_is(self, value):
        return keras.ops.convert_to_tensor(arguments.array("value", value))

    def _log_prob(self, value: Tensor, conditional_input: ArrayLike | None = None) -> Tensor:
        ops, condition, shape = keras.ops, None, tuple(value.shape[:-3])
        if conditional_input is not None:
            condition = ops.convert_to_tensor(conditional_input)
            event = self._condition_shape()
            own = tuple(condition.shape[: condition.ndim - len(event)])
            shape = np.broadcast_shapes(shape, own)
            condition = ops.reshape(ops.broadcast_to(condition, (*shape, *event)), (-1, *event))
            value = ops.broadcast_to(value, (*shape, *value.shape[-3:]))
        found = self.model.log_prob(ops.reshape(value, (-1, *value.shape[-3:])), condition)
        return ops.reshape(found, shape)

    def _sample_n(self, n, seed=None, conditional_input: ArrayLike | None = None) -> Tensor:
        condition, n = None, int(n)
        if conditional_input is not None:
            event = self._condition_shape()
            condition = np.asarray(conditional_input)
            count = math.prod(condition.shape[: condition.ndim - len(event)])
            expected = f"as many conditions as the last sides of the sample shape, of {n} in all"
            expect(count and n % count == 0, expected, count, "Give one, or one for each of these")
            condition = np.tile(condition.reshape(-1, *event), (n // count, *[1] * len(event)))
        words = [0, seed]
        if not arguments.is_whole(seed, 0, 2**63):
            seed = tfp.random.sanitize_seed(seed)
            expected, remedy = "to draw eagerly", "Draw outside of tf.function"
            expect(
                not arrays.is_symbolic(seed), expected, "a graph", remedy, kind=NotImplementedError
            )
            words = [1, *np.asarray(seed).view(np.uint32).tolist()]
        seeds = np.random.SeedSequence(words).generate_state(2 * n).view(np.int32).reshape(n, 2)
        *_, images = self.model.sample(seeds, condition=condition).values()
        return keras.ops.convert_to_tensor(images)

    def _condition_shape(self):
        kind = self.model.condition
        expected = "no conditional_input, since the model has no condition"
        expect(kind is not None, expected, "some", "Leave it out, or build the model with one")
        return tuple(kind.shape)


def distribution(model: AuxiliaryModel) -> ImageDistribution:
    """A model as a `tfp.distributions.Distribution` over its images: `ImageDistribution`.

    Raises ValueError for anything but an `AuxiliaryModel`, and for one of images of any size.
    """
    return ImageDistribution(model)
