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
    """The image distribution of an `AuxiliaryModel`: `pixelcnn_aux.distribution`.

    ```python
    dist = pa.distribution(pa.load("cifar10-pyramid"))
    images = dist.sample(4, seed=0)                   # uint8 [4, 32, 32, 3]
    dist.log_prob(images)                             # float32 [4], in nats
    pa.distribution(model, [1, 2, 7]).sample(4)       # uint8 [4, 3, 32, 32, 3], of these classes
    ```

    The `batch_shape` is the shape [...] of `condition`, classes int [...] or vectors float [..., D], such as
    labels drawn by a joint distribution. Without one, images have no class, or a vector of zeros, and it is
    [].

    `log_prob` takes uint8 or uint16 [..., H, W, C], as the model does, with leading dimensions that broadcast
    with the batch. It is a bound if the model is not exact.

    `sample` takes `seed`: a nonnegative int, for reproducible draws, or int32 [2] or a JAX key, as in TFP.
    `validate_args` is for TFP: values are always checked. Limitations:

    - `sample` runs on the host, also in a graph, but not in one that XLA compiles; it is not differentiable.
    - `cdf`, `quantile`, `mean`, `variance`, `mode`, `entropy` and closed-form divergences are missing.

    Raises ValueError for other objects than an `AuxiliaryModel`, for a model of images of any size, and for a
    condition that is not the model's. Methods raise it for images of another size, and for invalid seeds.
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
            received, remedy = "some, and a model without a condition", "Leave it out"
            own: Any = model.condition
            expect(own, "no condition", received, remedy)
            values = arguments.array("condition", condition)
            flat = conditions.checked(own, arrays.reshape(values, (-1, *own.shape)))
            shape = [-1 if side is None else side for side in values.shape]
            condition = keras.ops.reshape(keras.ops.convert_to_tensor(flat), shape)
        self.model, self.condition = model, condition
        self.image_shape = (*(model.image_size or ()), model.likelihood.num_channels)
        dtype = np.dtype(arguments.pixel_dtype(model.likelihood.num_values))
        options = tfd.NOT_REPARAMETERIZED, validate_args, True, parameters
        super().__init__(dtype, *options, name=name)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"condition": ParameterProperties(lambda dist: len(dist.model.condition.shape))}

    def _event_shape(self):
        return type(self.batch_shape)(self.image_shape)

    def _call_log_prob(self, value, name, **kwargs):
        value = arguments.array("value", value)  # TFP would round floats
        shape, batch = [*value.shape], [*self.batch_shape]
        fits = shape[-3:] == [*self.image_shape]
        expected = f"images [..., {', '.join(map(str, self.image_shape))}]"
        expect(fits, expected, f"shape {shape}", "Give images of the distribution's event_shape")
        pairs = zip(reversed(shape[:-3]), reversed(batch))
        fits = all(a == b or None in (a, b) or 1 in (a, b) for a, b in pairs)
        expected = f"leading dimensions of images that broadcast with the conditions' {batch}"
        expect(fits, expected, shape[:-3], "Give one condition, or one per image")
        return super()._call_log_prob(keras.ops.convert_to_tensor(value), name, **kwargs)

    _call_unnormalized_log_prob = _call_log_prob

    def _call_prob(self, value, name, **kwargs):
        return keras.ops.exp(self._call_log_prob(value, name, **kwargs))

    def _log_prob(self, value):
        ops, condition, shape = keras.ops, self.condition, keras.ops.shape(value)[:-3]
        if condition is not None:
            shape = ops.shape(ops.zeros(shape) + ops.zeros(self.batch_shape_tensor()))
            own = self.model.condition.shape
            condition = ops.reshape(ops.broadcast_to(condition, (*shape, *own)), (-1, *own))
            value = ops.broadcast_to(value, (*shape, *self.image_shape))
        images = ops.reshape(value, (-1, *self.image_shape))
        return ops.reshape(self.model.log_prob(images, condition), shape)

    def _sample_n(self, n, seed=None):
        is_int = arguments.is_whole(seed, 0, 2**63)
        fits = is_int or not arrays.is_plain(seed) or np.shape(seed) == (2,)
        expected, received = "seed as an int from 0 on, or two", arguments.short_repr(seed)
        expect(fits, expected, received, "Give such a seed, or None for random draws")
        seed = np.array([seed]).view(np.int32) if is_int else seed_words(seed)
        condition = () if self.condition is None else (self.condition,)
        shape = None if arrays.is_symbolic(n) else int(n), *self.batch_shape, *self.image_shape
        draw = functools.partial(self._draw, int(not is_int))
        return backend.on_host(draw, shape, self.dtype, n, seed, *condition)

    def _draw(self, stream, n, seed, condition=None):
        """Draws NumPy images, in stream 0 for ints as seeds, and 1 for others."""
        shape, words = (int(n),), [stream, *np.ravel(seed).view(np.uint32).tolist()]
        if condition is not None:
            own = self.model.condition.shape
            shape += condition.shape[: condition.ndim - len(own)]
            condition = np.broadcast_to(condition, (n, *condition.shape)).reshape(-1, *own)
        count = math.prod(shape)
        seeds = np.random.SeedSequence(words).generate_state(2 * count).view(np.int32)
        *_, images = self.model.sample(seeds.reshape(count, 2), condition=condition).values()
        return images.reshape(*shape, *self.image_shape)


distribution = ImageDistribution
