"""A model as a distribution of TensorFlow Probability."""

import functools
import math
from typing import Any

import keras
import numpy as np

from pixelcnn_aux import conditions
from pixelcnn_aux.base import arguments, arrays, backend
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.likelihoods.distributions import ParameterProperties, seed_words, tfd
from pixelcnn_aux.model import AuxiliaryModel

_Distribution: Any = tfd.Distribution


class ImageDistribution(_Distribution):
    """The distribution of images by an `AuxiliaryModel`: `pixelcnn_aux.distribution`.

    ```python
    dist = pa.distribution(pa.load("cifar10-pyramid"))
    images = dist.sample(4, seed=0)                   # uint8 [4, 32, 32, 3]
    dist.log_prob(images)                             # float32 [4], in nats
    pa.distribution(model, [1, 2, 7]).sample(4)       # uint8 [4, 3, 32, 32, 3], of these classes
    ```

    The `batch_shape` is [...] of a `condition`, int [...] of classes or float [..., D] of vectors, such as
    labels that a joint distribution draws. None is no class, or zeros, and the batch shape [].

    `log_prob` takes uint8 or uint16 [..., H, W, C], as the model does, whose leading sides broadcast with the
    batch. It is differentiable in `trainable_variables`, evaluates networks without dropout, and is a bound
    if the model is not exact.

    `sample` takes `seed`: an int from 0 on, which always draws the same, or int32 [2] or a key of JAX, as TFP
    does. `validate_args` is for TFP: values are checked in any case. Not all of a distribution applies:

    - `sample` is computed on the host, also within a graph, where XLA cannot; and is not differentiable.
    - There are no `cdf`, `quantile`, `mean`, `variance`, `mode`, `entropy`, nor divergences in closed form.

    Raises ValueError for anything but an `AuxiliaryModel`, for one of images of any size, and for another
    condition than the model's. Methods do for images of another size, and for other seeds.
    """

    def __init__(
        self,
        model: AuxiliaryModel,
        condition: ArrayLike | None = None,
        validate_args: bool = False,
        name: str = "ImageDistribution",
    ):
        parameters = {"model": model, "condition": condition}
        parameters |= {"validate_args": validate_args, "name": name}
        model = arguments.instance("model", model, AuxiliaryModel)
        expected, remedy = "a model of images of one size", "Give model.with_image_size((H, W))"
        expect(model.image_size is not None, expected, "one of images of any size", remedy)
        if condition is not None:
            kind: Any = model.condition
            received, remedy = "some, and a model without a condition", "Leave it out"
            expect(kind, "no condition", received, remedy)
            given = arguments.array("condition", condition)
            flat = conditions.checked(kind, arrays.reshape(given, (-1, *kind.shape)))
            shape = [-1 if side is None else side for side in given.shape]
            condition = keras.ops.reshape(keras.ops.convert_to_tensor(flat), shape)
        self.model, self.condition, kind = model, condition, model.likelihood
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
        return {"condition": ParameterProperties(lambda dist: len(dist.model.condition.shape))}

    def _event_shape(self):
        return type(self.batch_shape)(self.image_shape)

    def _call_log_prob(self, value, name, **kwargs):
        value = arguments.array("value", value)  # of which TFP would turn floats into whole numbers
        shape, batch = [*value.shape], [*self.batch_shape]
        fits = shape[-3:] == [*self.image_shape]
        expected = f"images [..., {', '.join(map(str, self.image_shape))}]"
        expect(fits, expected, f"shape {shape}", "Give images of the distribution's event_shape")
        pairs = zip(reversed(shape[:-3]), reversed(batch))
        fits = all(a == b or None in (a, b) or 1 in (a, b) for a, b in pairs)
        expected = f"leading sides of images that broadcast with the conditions' {batch}"
        expect(fits, expected, shape[:-3], "Give one condition, or one for each of these")
        return super()._call_log_prob(keras.ops.convert_to_tensor(value), name, **kwargs)

    _call_unnormalized_log_prob = _call_log_prob

    def _call_prob(self, value, name, **kwargs):
        return keras.ops.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value):
        ops, condition, shape = keras.ops, self.condition, keras.ops.shape(value)[:-3]
        if condition is not None:
            shape = ops.shape(ops.zeros(shape) + ops.zeros(self.batch_shape_tensor()))
            kind = self.model.condition.shape
            condition = ops.reshape(ops.broadcast_to(condition, (*shape, *kind)), (-1, *kind))
            value = ops.broadcast_to(value, (*shape, *self.image_shape))
        images = ops.reshape(value, (-1, *self.image_shape))
        return ops.reshape(self.model.log_prob(images, condition), shape)

    def _sample_n(self, n, seed=None):
        whole = arguments.is_whole(seed, 0, 2**63)
        fits = whole or not arrays.is_plain(seed) or np.shape(seed) == (2,)
        expected, received = "seed as an int from 0 on, or two", arguments.short_repr(seed)
        expect(fits, expected, received, "Give such a seed, or None for draws that differ")
        seed = np.array([seed]).view(np.int32) if whole else seed_words(seed)
        given = () if self.condition is None else (self.condition,)
        shape = None if arrays.is_symbolic(n) else int(n), *self.batch_shape, *self.image_shape
        draw = functools.partial(self._draw, int(not whole))
        return backend.on_host(draw, shape, self.dtype, n, seed, *given)

    def _draw(self, kind, n, seed, condition=None):
        """Images, and arguments, of NumPy: a seed that is a whole number, kind 0, or not, 1."""
        shape, words = (int(n),), [kind, *np.ravel(seed).view(np.uint32).tolist()]
        if condition is not None:
            own = self.model.condition.shape
            shape += condition.shape[: condition.ndim - len(own)]
            condition = np.broadcast_to(condition, (n, *condition.shape)).reshape(-1, *own)
        count = math.prod(shape)
        seeds = np.random.SeedSequence(words).generate_state(2 * count).view(np.int32)
        *_, images = self.model.sample(seeds.reshape(count, 2), condition=condition).values()
        return images.reshape(*shape, *self.image_shape)


distribution = ImageDistribution
