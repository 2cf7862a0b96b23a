"""A model as a distribution of TensorFlow Probability."""

import functools
import math
from typing import Any

import keras
import numpy as np

from pixelcnn_aux import arguments, arrays, backend
from pixelcnn_aux.errors import expect
from pixelcnn_aux.likelihoods.distributions import seed_words, tfd
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

    `sample` takes `seed`: an int, which always draws the same, or int32 [2] or a key of JAX, as TFP does; and
    `conditional_input` of one image, or of as many as the last sides of `sample_shape`. `validate_args` is
    for TFP: values are checked in any case. Not all of a distribution applies:

    - `sample` is computed on the host, also within a graph, where XLA cannot; and is not differentiable.
    - There are no `cdf`, `quantile`, `mean`, `variance`, `mode`, `entropy`, nor divergences in closed form.
    - There are no batches of distributions: `batch_shape` is [], and parameters are no tensors.

    Raises ValueError for anything but an `AuxiliaryModel`, and for one of images of any size.
    """

    def __init__(
        self, model: AuxiliaryModel, validate_args: bool = False, name: str = "ImageDistribution"
    ):
        parameters = {"model": model, "validate_args": validate_args, "name": name}
        model = arguments.instance("model", model, AuxiliaryModel)
        expected, remedy = "a model of images of one size", "Give model.with_image_size((H, W))"
        expect(model.image_size is not None, expected, "one of images of any size", remedy)
        self.model, kind = model, model.likelihood
        self.image_shape = (*(model.image_size or ()), kind.num_channels)
        dtype, how = np.dtype(arguments.pixel_dtype(kind.num_values)), tfd.NOT_REPARAMETERIZED
        super().__init__(dtype, how, validate_args, True, parameters, name=name)

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables of all factors, those of the backend."""
        return tuple(x.value for y in self.model.factors.values() for x in y.variables)

    @property
    def trainable_variables(self) -> tuple[Any, ...]:
        """The weights of all factors, likewise."""
        return tuple(x.value for y in self.model.factors.values() for x in y.trainable_variables)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return self.batch_shape.concatenate(self.image_shape)

    def _call_log_prob(self, value, name, **kwargs):
        value = arguments.array("value", value)  # of which TFP would turn floats into whole numbers
        return super()._call_log_prob(keras.ops.convert_to_tensor(value), name, **kwargs)

    _call_unnormalized_log_prob = _call_log_prob

    def _call_prob(self, value, name, **kwargs):
        return keras.ops.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value, conditional_input=None):
        ops, condition, event = keras.ops, None, value.shape[-3:]
        shape = ops.shape(value)[:-3]
        if conditional_input is not None:
            condition, own, kind = self._conditions(conditional_input)
            shape = ops.shape(ops.zeros(shape) + ops.zeros(own))  # of sides of graphs, too
            condition = ops.reshape(ops.broadcast_to(condition, (*shape, *kind)), (-1, *kind))
            value = ops.broadcast_to(value, (*shape, *event))
        return ops.reshape(self.model.log_prob(ops.reshape(value, (-1, *event)), condition), shape)

    def _sample_n(self, n, seed=None, conditional_input=None):
        whole = arguments.is_whole(seed, 0, 2**63)
        seed = np.array([seed]).view(np.int32) if whole else seed_words(seed)
        given = () if conditional_input is None else self._conditions(conditional_input)[:1]
        shape = None if arrays.is_symbolic(n) else int(n), *self.image_shape
        draw = functools.partial(self._draw, int(not whole))
        return backend.on_host(draw, shape, self.dtype, n, seed, *given)

    def _draw(self, kind, n, seed, condition=None):
        """Images, and arguments, of NumPy: a seed that is a whole number, kind 0, or not, 1."""
        n, words = int(n), [kind, *np.ravel(seed).view(np.uint32).tolist()]
        if condition is not None:
            condition, own, event = self._conditions(condition)
            count = math.prod(own)
            expected = f"as many conditions as the last sides of the sample shape, of {n} in all"
            expect(count and n % count == 0, expected, count, "Give one, or one for each of these")
            condition = np.broadcast_to(condition, (n // count, *own, *event)).reshape(n, *event)
        seeds = np.random.SeedSequence(words).generate_state(2 * n).view(np.int32)
        return [*self.model.sample(seeds.reshape(n, 2), condition=condition).values()][-1]

    def _conditions(self, given):
        """Conditions as a tensor, their leading sides, and the shape of one."""
        kind, given = self.model.condition, keras.ops.convert_to_tensor(given)
        received, remedy = "some, and a model without a condition", "Leave it out"
        expect(kind, "no conditional_input", received, remedy)
        own = keras.ops.shape(given)[: len(given.shape) - len(kind.shape)]
        return given, own, tuple(kind.shape)


distribution = ImageDistribution
