"""A model as a distribution of TensorFlow Probability."""

import math
from typing import Any

import keras
import numpy as np

from pixelcnn_aux import arguments, arrays
from pixelcnn_aux.errors import expect
from pixelcnn_aux.likelihoods.distributions import random, tfd
from pixelcnn_aux.model import AuxiliaryModel

_Distribution: Any = tfd.Distribution


class ImageDistribution(_Distribution):
    """The distribution of images by an `AuxiliaryModel`: `pixelcnn_aux.distribution`.

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
    `sample_shape`. Not all of a distribution applies:

    - `sample` works eagerly alone, not in a graph that is traced, such as those of joint distributions, and
      is not differentiable.
    - There are no `cdf`, `quantile`, `mean`, `variance`, `mode`, `entropy`, nor divergences in closed form.
    - There are no batches of distributions: `batch_shape` is [], and parameters are no tensors.

    Raises ValueError for anything but an `AuxiliaryModel`, and for one of images of any size.
    """

    def __init__(self, model: AuxiliaryModel):
        model = arguments.instance("model", model, AuxiliaryModel)
        expected, remedy = "a model of images of one size", "Give model.with_image_size((H, W))"
        expect(model.image_size is not None, expected, "one of images of any size", remedy)
        self.model, kind = model, model.likelihood
        self.image_shape = (*(model.image_size or ()), kind.num_channels)
        dtype, how = np.dtype(arguments.pixel_dtype(kind.num_values)), tfd.NOT_REPARAMETERIZED
        given = {"parameters": {"model": model}, "name": "ImageDistribution"}
        super().__init__(dtype, how, validate_args=False, allow_nan_stats=True, **given)

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

    def _call_log_prob(self, value, name, **kwargs):
        value = arguments.array("value", value)  # of which TFP would turn floats into whole numbers
        return super()._call_log_prob(keras.ops.convert_to_tensor(value), name, **kwargs)

    def _call_prob(self, value, name, **kwargs):
        return keras.ops.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value, conditional_input=None):
        ops, condition, shape = keras.ops, None, tuple(value.shape[:-3])
        if conditional_input is not None:
            condition, own, event = self._conditions(conditional_input)
            shape = np.broadcast_shapes(shape, own)
            condition = ops.reshape(ops.broadcast_to(condition, (*shape, *event)), (-1, *event))
            value = ops.broadcast_to(value, (*shape, *value.shape[-3:]))
        found = self.model.log_prob(ops.reshape(value, (-1, *value.shape[-3:])), condition)
        return ops.reshape(found, shape)

    def _sample_n(self, n, seed=None, conditional_input=None):
        condition, n, words = None, int(n), [0, seed]
        if conditional_input is not None:
            condition, own, event = self._conditions(conditional_input)
            count = math.prod(own)
            expected = f"as many conditions as the last sides of the sample shape, of {n} in all"
            expect(count and n % count == 0, expected, count, "Give one, or one for each of these")
            condition = np.broadcast_to(condition, (n // count, *own, *event)).reshape(n, *event)
        if not arguments.is_whole(seed, 0, 2**63):
            seed, remedy = random.sanitize_seed(seed), "Draw outside of tf.function"
            is_known = not arrays.is_symbolic(seed)
            expect(is_known, "to draw eagerly", "a graph", remedy, kind=NotImplementedError)
            words = [1, *np.asarray(seed).view(np.uint32).tolist()]
        seeds = np.random.SeedSequence(words).generate_state(2 * n).view(np.int32)
        *_, images = self.model.sample(seeds.reshape(n, 2), condition=condition).values()
        return keras.ops.convert_to_tensor(images)

    def _conditions(self, given):
        """Conditions as a tensor, their leading sides, and the shape of one."""
        kind, given = self.model.condition, keras.ops.convert_to_tensor(given)
        received, remedy = "some, and a model without a condition", "Leave it out"
        expect(kind, "no conditional_input", received, remedy)
        return given, tuple(given.shape[: len(given.shape) - len(kind.shape)]), tuple(kind.shape)


distribution = ImageDistribution
