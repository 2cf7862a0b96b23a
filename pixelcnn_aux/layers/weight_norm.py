"""Weight-normalized layers: every kernel is ``g * v / |v|``, with a length `g` and a bias `b` per channel.

The convolutions of this module see all neighbors of a pixel; `shifted.py` derives causal ones from them.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pixelcnn_aux.base import arguments, backend, rounding
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.serialization import register
from pixelcnn_aux.layers.contexts import current
from pixelcnn_aux.networks import kernels


def normalized_layers(layer: Any) -> list["WeightNorm"]:
    """The weight-normalized layers within a layer, without unused ones."""
    if isinstance(layer, WeightNorm):
        return [layer] if layer.built else []  # a block without skips never calls its projection
    parts = layer._flatten_layers(include_self=False, recursive=False)
    return [normalized for part in parts for normalized in normalized_layers(part)]


class WeightNorm(keras.layers.Layer):
    """A weight-normalized layer. A subclass defines the shape of the kernel, and how to apply it.

    Args:
      filters: int, the number of output channels.
      init_scale: float, the initial `g`, and the standard deviation of outputs after data-dependent
        initialization.
      conditional: bool, whether a layer that is built with a condition (`layers.Context`) adds the product
        of the condition and `h` to its bias; `h` is zero at first.
      rounded: bool, whether the layer computes with whole numbers: see `rounding`.
    """

    kernel_output_axis = -1

    def __init__(
        self,
        filters: int,
        *,
        init_scale: float = 1.0,
        conditional: bool = False,
        rounded: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.rounded = arguments.flag("rounded", rounded)
        self.conditional = arguments.flag("conditional", conditional)
        self.h = None  # [D, filters] if the layer is built with a condition
        self.filters = arguments.whole("filters", filters, 1, arguments.MAX_PER_PIXEL)
        self.init_scale = arguments.positive("init_scale", init_scale)

    def kernel_shape(self, input_channels: int) -> tuple[int, ...]:
        """The shape of `v` for inputs of `input_channels`."""
        raise NotImplementedError

    def apply_kernel(self, x: Tensor, kernel: Tensor) -> Tensor:
        """float [..., C] -> float [..., filters], without the bias."""
        raise NotImplementedError

    def __call__(self, *args, **kwargs):
        counts = current().counts
        if counts is None:
            return super().__call__(*args, **kwargs)
        # Counts parameters instead of computing.
        x = args[0] if args else kwargs["x"]
        shapes = keras.tree.map_structure(lambda part: tuple(part.shape), x)
        channels = sum(shape[-1] for shape in shapes) if isinstance(x, list) else shapes[-1]
        vectors = 2 + self._condition_size()  # g and b, and the rows of h
        count = math.prod(self.kernel_shape(channels)) + vectors * self.filters
        self._open_name_scope()  # Keras keeps the path for `build`
        counts[self] = count, shapes
        return ops.zeros(self.compute_output_shape(shapes), self.compute_dtype)

    def build(self, input_shape):
        # Weights stay in float32 under a mixed-precision policy: a kernel is cast after normalization.
        def add(name, shape, initializer=np.zeros):
            initializer = np.zeros if current().zeros else initializer
            return self.add_weight(shape, initializer, autocast=False, name=name)

        normal = keras.initializers.RandomNormal(stddev=0.05)
        self.v = add("v", self.kernel_shape(input_shape[-1]), normal)
        self.g = add("g", (self.filters,), keras.initializers.Constant(self.init_scale))
        self.b = add("b", (self.filters,))
        if size := self._condition_size():
            self.h = add("h", (size, self.filters))

    def _condition_size(self):
        condition = current().condition if self.conditional else None
        return 0 if condition is None else condition.shape[-1]

    def kernel(self) -> Tensor:
        """The normalized kernel, in the shape of `v` and the compute dtype."""
        return self.normalize(self.v)

    def normalized(self) -> tuple[Tensor, Tensor]:
        """The normalized kernel and the bias in the compute dtype, rounded if the layer is rounded."""
        kernel, bias = self.kernel(), self.bias()
        if self.rounded:
            units = rounding.kernel_units(kernel, bias)
            kernel = rounding.straight(kernel, units)
            bias = rounding.straight(bias, rounding.ACTIVATIONS * units)
        return kernel, bias

    def normalize(self, v: Tensor) -> Tensor:
        """g v / |v| in the compute dtype."""
        axes = range(-len(v.shape), 0)
        input_axes = [axis for axis in axes if axis != self.kernel_output_axis]
        inverse_norm = ops.rsqrt(ops.sum(ops.square(v), axis=input_axes, keepdims=True))
        g = ops.reshape(self.g, [self.filters if axis not in input_axes else 1 for axis in axes])
        return ops.cast(v * (inverse_norm * g), self.compute_dtype)

    def bias(self) -> Tensor:
        """`b` in the compute dtype."""
        return ops.cast(self.b, self.compute_dtype)

    def call(self, x: Tensor) -> Tensor:
        if current().initialize_from_data:
            self._fit_to(x)
        kernel, bias = self.normalized()
        y = backend.add_bias(self.apply_kernel(x, kernel), bias)
        condition = current().condition
        if condition is not None and self.h is not None:
            condition, h = (ops.cast(x, self.compute_dtype) for x in (condition, self.h))
            y += ops.expand_dims(ops.matmul(condition, h), tuple(range(1, len(y.shape) - 1)))
        return rounding.straight(y, rounding.SUMS) if self.rounded else y

    def _fit_to(self, x):
        outputs = ops.convert_to_numpy(self.apply_kernel(x, self.kernel()))
        outputs = outputs.reshape(-1, self.filters).astype("float64")
        mean, std = outputs.mean(axis=0), outputs.std(axis=0)
        # Rounding errors give a constant channel a small spread, which must not be scaled up to 1.
        varies = std > 1e-5 * np.maximum(1.0, np.abs(mean))
        rescale = np.where(varies, self.init_scale / np.where(varies, std, 1.0), 1.0)
        self.g.assign(ops.convert_to_numpy(self.g) * rescale)
        self.b.assign(-mean * rescale)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        names = "filters", "init_scale", "conditional", "rounded"
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@register()
class WeightNormDense(WeightNorm):
    """A product over the channels of each pixel, as a 1 x 1 convolution: [..., C] -> [..., filters]."""

    def kernel_shape(self, input_channels: int) -> tuple[int, ...]:
        return (input_channels, self.filters)

    def apply_kernel(self, x: Tensor, kernel: Tensor) -> Tensor:
        return backend.product(x, kernel)


@register()
class Projection(WeightNormDense):
    """A 1 x 1 projection of concat_elu(concat(parts)), given the concat_elu of each part.

    List of [..., 2 C_k] -> [..., filters]. Adding the products of the parts saves the concatenation, and a
    part that conditions many blocks is activated only once.
    """

    def build(self, shapes):
        self.channels = [shape[-1] for shape in shapes]
        super().build((sum(self.channels),))

    def apply_kernel(self, parts: Sequence[Tensor], kernel: Tensor) -> Tensor:
        pairs = zip(parts, kernels.of_parts(kernel, self.channels), strict=True)
        return sum(backend.product(*pair) for pair in pairs)  # [..., filters]

    def compute_output_shape(self, shapes):
        return (*shapes[0][:-1], self.filters)


@register()
class WeightNormConv2D(WeightNorm):
    """A zero-padded convolution that keeps the image's size, or divides it by its stride.

    [B, H, W, C] -> [B, H / strides, W / strides, filters].

    Args: as for `WeightNorm`, and
      kernel_size: (height, width).
      strides: int, 1 or 2. H and W must be multiples of it.
    """

    stream = "unshifted"

    def __init__(self, filters: int, kernel_size: Size, strides: int = 1, **kwargs: Any):
        super().__init__(filters, **kwargs)
        self.kernel_size = arguments.size("kernel_size", kernel_size)
        self.strides = arguments.whole("strides", strides, 1, 2)

    def kernel_shape(self, input_channels: int) -> tuple[int, ...]:
        return (*self.kernel_size, input_channels, self.filters)

    def apply_kernel(self, x: Tensor, kernel: Tensor) -> Tensor:
        margins = kernels.margins(self.stream, self.kernel_size, self.strides)
        return backend.convolution(x, kernel, self.strides, margins)

    def compute_output_shape(self, input_shape):
        size = [side and side // self.strides for side in input_shape[1:-1]]
        return (input_shape[0], *size, self.filters)

    def get_config(self):
        size = {"kernel_size": self.kernel_size, "strides": self.strides}
        return {**super().get_config(), **size}


@register()
class WeightNormConv2DTranspose(WeightNormConv2D):
    """The transpose of a stride-2 convolution: [B, H, W, C] -> [B, 2 H, 2 W, filters].

    The kernel is [height, width, filters, C], normalized over all axes but that of `filters`.

    Args: as for `WeightNormConv2D`; the kernel is at least 2 x 2, and strides are 2.
    """

    kernel_output_axis = -2

    def __init__(self, filters: int, kernel_size: Size, strides: int = 2, **kwargs: Any):
        expected, received = "strides of 2, which double H and W", arguments.short_repr(strides)
        expect(strides == 2, expected, f"strides={received}", "Leave them out")
        super().__init__(filters, kernel_size, strides, **kwargs)
        expected = "a kernel of at least 2 x 2, so that every output pixel gets a tap"
        received, remedy = f"kernel_size={self.kernel_size}", "Choose a larger kernel"
        expect(min(self.kernel_size) >= 2, expected, received, remedy)

    def kernel_shape(self, input_channels: int) -> tuple[int, ...]:
        return (*self.kernel_size, self.filters, input_channels)

    def apply_kernel(self, x: Tensor, kernel: Tensor) -> Tensor:
        margins = kernels.margins(self.stream, self.kernel_size, 2, transposed=True)
        return backend.transposed_convolution(x, ops.swapaxes(kernel, -1, -2), margins)

    def compute_output_shape(self, input_shape):
        size = [side and side * self.strides for side in input_shape[1:-1]]
        return (input_shape[0], *size, self.filters)
