"""Weight-normalized layers over arrays, tensors or variables: on whole images, rows and pixels.

`Layers` makes the layers of a network over its weights. Kernels are normalized once, and all are [height,
width, C, filters], also those of transposed convolutions.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pixelcnn_aux.base import arrays, rounding, threads
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.networks import kernels

_CHUNK = 2**17  # numbers of a copy with neighborhoods side by side, which stays in a cache


class Weight(NamedTuple):
    """The shape of a weight and its first values, or the same one for all; None for random ones."""

    shape: tuple[int, ...]
    first: Any = 0.0

    def drawn(self, random: np.random.Generator) -> np.ndarray:
        """First values: float32."""
        if self.first is None:
            return random.normal(0.0, 0.05, self.shape).astype(np.float32)
        return np.full(self.shape, self.first, np.float32)


def _unchanged(x):
    return x


class Layers:
    """Makes the layers of modules over weights that may be arrays, tensors or variables.

    Args:
      weights: mapping, path -> weight. A layer has "<path>/v", "<path>/g" and "<path>/b"; or, from
        `normalized`, "<path>/kernel" and "<path>/bias"; and "<path>/h" if it takes the condition.
      rounded: bool, whether layers compute with whole numbers: see `rounding`.
      condition: float [B, D], an encoded condition of each image, or None.
      seeds: dict, path of a dropout -> seed of its mask; None for no dropout.
      remat: bool, whether blocks keep only their inputs for the backward pass, and are evaluated again there.
      dtype: str, of layers that are not `precise`, in mixed precision; None for the dtype of the weights.
      keras_layers: mapping, path -> layer of Keras's that is built; see `keras`.

    Attributes:
      made_layers: dict, path -> layer, in the order in which layers were made.
    """

    def __init__(
        self,
        weights: Mapping[str, Any],
        rounded: bool = False,
        condition: Tensor | None = None,
        *,
        seeds: Mapping[str, Tensor] | None = None,
        remat: bool = False,
        dtype: str | None = None,
        keras_layers: Mapping[str, Any] | None = None,
    ):
        self.weights, self.rounded, self.condition = weights, rounded, condition
        self.keras_layers = {} if keras_layers is None else keras_layers
        self.seeds, self.remat, self.dtype = seeds or {}, remat, dtype
        self.made_layers: dict[str, Any] = {}
        self._kernels: dict[str, Any] = {}  # path -> kernel and bias, normalized
        self._of_keras: list[str] = []  # the paths of layers of Keras's
        self._path = ""  # of the current module

    def made(self, module: Any) -> Any:
        """A copy of a module, with layers."""
        module = copy.copy(module)
        module.make(self)
        return module

    def part(self, name: str, module: Any) -> Any:
        """The layers of another module, within this one."""
        inner = copy.copy(self)
        inner._path += f"{name}/"
        return (
            inner._evaluated_again(module) if self.remat and module.is_block else inner.made(module)
        )

    def _evaluated_again(self, block):
        def evaluate(*inputs):
            layers = copy.copy(self)
            layers._kernels = {}  # normalized within the part that is evaluated again
            return layers.made(block)(*inputs)

        return functools.partial(arrays.backend().remat, evaluate)

    def convolution(
        self, name: str, filters: int, kernel_size: Size, stream: str, **options: Any
    ) -> Any:
        """A `Convolution`; options are `stride`, `itself` and those of `dense`."""
        return self._layer(Convolution, name, filters, kernel_size, stream=stream, **options)

    def transposed(self, name: str, filters: int, kernel_size: Size, stream: str) -> Any:
        """A `ConvolutionTranspose`."""
        return self._layer(ConvolutionTranspose, name, filters, kernel_size, stream=stream)

    def dense(self, name: str, filters: int, **options: Any) -> Any:
        """A `Dense` layer.

        Args:
          filters: int, the number of output channels.
          init_scale: float, the first `g`, and the standard deviation of outputs fitted to data.
          conditional: bool, whether the layer adds a product of the condition to its bias, which is zero at
            first.
          precise: bool, whether the layer stays out of mixed precision.
        """
        return self._layer(Dense, name, filters, (), **options)

    def projection(self, name: str, filters: int) -> Any:
        """A `Projection`, or None if the weights have none, as of blocks without skips."""
        return self._layer(Projection, name, filters, ())

    def _layer(
        self,
        cls,
        name,
        filters,
        kernel_size,
        init_scale=1.0,
        conditional=False,
        precise=False,
        **own,
    ):
        path = self._path + name
        if not {f"{path}/v", f"{path}/kernel"} & self.weights.keys():
            return None
        layer = cls(self, path, None if precise else self.dtype, **own)
        self.made_layers[path] = layer
        return layer

    def keras(self, name: str, layer: Any) -> Callable[..., Any]:
        """A layer or model of Keras's without state, as a function of arrays or tensors.

        It computes without dropout, in its own dtype. Its weights are those of the network, whatever values
        `layer` has, which serves for their shapes and first values.
        """
        path = self._path + name
        layer = self.keras_layers[path]
        self._of_keras.append(path)

        def call(*args, **kwargs):
            values = [arrays.value(self.weights[x]) for x in _paths_of_keras(path, layer)]
            outputs, _ = layer.stateless_call(values, [], *args, **kwargs)
            return arrays.mapped(np.asarray, outputs) if arrays.is_plain(*args) else outputs

        return call

    def dropout(self, name: str, rate: float) -> Callable[[Tensor], Tensor]:
        """Dropout at a rate, a multiple of 1 / 256; unchanged without a seed."""
        seed = self.seeds.get(self._path + name)
        if seed is None:
            return _unchanged
        return lambda x: arrays.backend().dropout(x, rate, seed)

    def with_condition(self, condition: Tensor | None) -> Self:
        """The same with another condition; normalized kernels are shared."""
        layers = copy.copy(self)
        layers.condition, layers.made_layers, layers._of_keras = condition, {}, []
        return layers

    def raw(self, path: str, layer: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(v, g, b) of a layer: [..., C, filters], [filters], [filters]."""
        v, g, bias = (arrays.value(self.weights[f"{path}/{name}"]) for name in "vgb")
        return layer.arranged(v), g, bias

    def kernel_and_bias(self, path: str, layer: Any, dtype: str | None) -> tuple[Tensor, Tensor]:
        """The kernel of a layer, [..., C, filters], and its bias, [filters] or [B, filters]."""
        if path not in self._kernels:
            self._kernels[path] = self._normalized(path, layer)
        kernel, bias = self._kernels[path]
        h = self.weights.get(f"{path}/h")
        if h is not None and self.condition is not None:
            h = arrays.value(h)
            bias = bias + arrays.matmul(arrays.cast(self.condition, h.dtype), h)
        return (
            (kernel, bias)
            if dtype is None
            else (arrays.cast(kernel, dtype), arrays.cast(bias, dtype))
        )

    def _normalized(self, path, layer):
        if f"{path}/kernel" in self.weights:
            return [arrays.value(self.weights[f"{path}/{name}"]) for name in ("kernel", "bias")]
        v, g, bias = self.raw(path, layer)
        with np.errstate(all="ignore"):  # zeros, which trained weights will replace
            kernel = kernels.normalized(v, g)
        if self.rounded:
            units = rounding.kernel_units(kernel, bias)
            kernel = rounding.straight(kernel, units)
            bias = rounding.straight(bias, rounding.ACTIVATIONS * units)
        return kernel, bias

    def normalized(self) -> dict[str, Tensor]:
        """Weights for other `Layers`, with normalized kernels: of all layers that were made."""
        weights = {}
        for path in self.made_layers:
            weights[f"{path}/kernel"], weights[f"{path}/bias"] = self._kernels[path]
            if f"{path}/h" in self.weights:
                weights[f"{path}/h"] = self.weights[f"{path}/h"]
        for path in self._of_keras:
            own = _paths_of_keras(path, self.keras_layers[path])
            weights |= {x: self.weights[x] for x in own}
        return weights


class ShapeRecorder(Layers):
    """Layers that record the shapes of their weights when they are called, and return zeros.

    Attributes:
      recorded: dict, path -> `Weight`, None for one that is not used, or the rate of a dropout; in the order
        in which layers were made.
    """

    def __init__(self, rounded: bool, condition: np.ndarray | None):
        super().__init__({}, rounded, condition)
        self.recorded: dict[str, Weight | float | None] = {}

    def _layer(
        self,
        cls,
        name,
        filters,
        kernel_size,
        init_scale=1.0,
        conditional=False,
        precise=False,
        **own,
    ):
        path = self._path + name
        _check_kernel(kernel_size, own.get("stream"), cls.transposed)
        self.recorded |= dict.fromkeys(f"{path}/{kind}" for kind in "vgbh")

        def zeros(x):
            parts = x if isinstance(x, (list, tuple)) else [x]
            batch, *size, _ = parts[0].shape
            channels = sum(part.shape[-1] for part in parts)
            ends = (filters, channels) if cls.transposed else (channels, filters)
            weights = {
                "v": Weight((*kernel_size, *ends), None),
                "g": Weight((filters,), init_scale),
            }
            weights["b"] = Weight((filters,))
            if conditional and self.condition is not None:
                weights["h"] = Weight((self.condition.shape[-1], filters))
            self.recorded |= {f"{path}/{kind}": weight for kind, weight in weights.items()}
            times, stride = 1 + cls.transposed, own.get("stride", 1)
            return np.zeros(
                (batch, *(times * side // stride for side in size), filters), np.float32
            )

        return zeros

    def keras(self, name, layer):
        path = self._path + name
        self.keras_layers[path] = layer

        def call(*args, **kwargs):
            with arrays.backend().eagerly():
                outputs = layer(*arrays.mapped(arrays.tensor, args), **kwargs)
            others = [x.name for x in layer.non_trainable_variables]
            remedy = "Leave out layers that normalize over a batch, and dropout"
            expect(not others, f"a layer of Keras's without state as {path}", others, remedy)
            for x, variable in zip(_paths_of_keras(path, layer), layer.trainable_variables):
                self.recorded[x] = Weight(tuple(variable.shape), np.asarray(variable.value))
            return arrays.mapped(np.asarray, outputs)

        return call

    def dropout(self, name, rate):
        if round(256 * rate):
            self.recorded[self._path + name] = rate
        return _unchanged


def _paths_of_keras(path, layer):
    """Paths of the weights of a layer of Keras's, whose names are not unique."""
    return [f"{path}/{k}_{x.name}" for k, x in enumerate(layer.trainable_variables)]


def _check_kernel(size, stream, transposed):
    """Raises ValueError for a kernel that its stream, or a transposed convolution, does not support."""
    remedy = "Choose another kernel_size"
    expected = "an odd kernel width of a vertical stream, which looks equally far to both sides"
    expect(stream != "vertical" or size[1] % 2, expected, f"kernel_size={size}", remedy)
    expected = (
        "a kernel of at least 2 x 2 of a transposed convolution, so that every pixel gets a tap"
    )
    expect(not transposed or min(size) >= 2, expected, f"kernel_size={size}", remedy)


class Fitting(Layers):
    """Layers that first fit `g` and `b` of `weights`, a dict of arrays, to the batch of their first call.

    Each output channel has mean 0 and standard deviation `init_scale`. The next layer sees this output: one
    evaluation without dropout initializes a network (Salimans & Kingma, 2016, section 3). A channel that is
    constant on the batch keeps ``g = init_scale``.
    """

    weights: dict[str, Any]

    def _layer(self, cls, name, filters, kernel_size, init_scale=1.0, **options):
        path, make = self._path + name, super()._layer
        if f"{path}/v" not in self.weights:
            return None

        def layer():
            self._kernels.pop(path, None)
            return make(cls, name, filters, kernel_size, **options)

        def fitted(x):
            rounded, self.rounded = self.rounded, False
            outputs = np.asarray(layer()(x), np.float64).reshape(-1, filters)
            self.rounded = rounded
            mean, std = outputs.mean(axis=0), outputs.std(axis=0)
            # Rounding errors give a constant channel a small spread, which must not be scaled up to 1.
            varies = std > 1e-5 * np.maximum(1.0, np.abs(mean))
            rescale = np.where(varies, init_scale / np.where(varies, std, 1.0), 1.0)
            g = self.weights[f"{path}/g"]
            self.weights[f"{path}/g"] = (g * rescale).astype(g.dtype)
            self.weights[f"{path}/b"] = (-mean * rescale).astype(g.dtype)
            return layer()(x)

        return fitted


class Dense:
    """A product over channels: [..., C] -> [..., filters], with the weights at a path of `Layers`."""

    transposed = False

    def __init__(self, layers, path, dtype=None):
        self.path, self.rounded = path, layers.rounded
        self.kernel, self.bias = layers.kernel_and_bias(path, self, dtype)
        *self.sides, self.channels, self.filters = self.kernel.shape

    def arranged(self, v):
        """The `v` of a layer in the order of its kernel: [..., C, filters]."""
        return arrays.swapaxes(v, -1, -2) if self.transposed else v

    def biased(self, y):
        """y [B, ..., filters] plus the bias, in place."""
        bias = self.bias
        if len(bias.shape) > 1:  # one for each image
            bias = arrays.reshape(bias, (-1, *[1] * (len(y.shape) - 2), self.filters))
        elif not arrays.is_plain(y):
            return self.rounding(arrays.backend().add_bias(y, bias))
        y += bias
        return self.rounding(y)

    def rounding(self, y):
        """Rounds sums y in place if the layer is rounded."""
        if not self.rounded:
            return y
        if not arrays.is_plain(y):
            return rounding.straight(y, rounding.SUMS)
        y *= rounding.SUMS
        np.rint(y, out=y)
        y /= rounding.SUMS
        return y

    def __call__(self, x):
        if len(x.shape) == 4 and arrays.is_plain(x):
            return self.product(x, self.kernel)
        return self.biased(arrays.product(self.cast(x), self.kernel))

    def cast(self, x):
        """x in the dtype of the kernel; an array as it is."""
        return x if arrays.is_plain(x) else arrays.cast(x, self.kernel.dtype)

    def product(self, x, kernel):
        """The output for receptive fields x, float [B, H, W, ...], by several threads if it is large."""
        batch, rows, columns, *_ = x.shape
        y = np.empty((batch, rows, columns, self.filters), x.dtype)

        def evaluate(chunk):
            part, out = x[:, chunk], y[:, chunk]
            part = part.reshape(*part.shape[:3], -1)[..., : len(kernel)]
            np.matmul(part, kernel, out=out)
            self.biased(out)

        threads.in_slices(evaluate, rows, max(1, _CHUNK // max(batch * columns * len(kernel), 1)))
        return y


class Projection(Dense):
    """A product over the channels of several skips: list of [..., 2 C_k] -> [..., filters]."""

    def kernels(self, channels):
        """The kernel of each skip: list of [2 C_k, filters]."""
        return kernels.of_parts(self.kernel, channels)

    def __call__(self, skips):
        pairs = zip(map(self.cast, skips), self.kernels([skip.shape[-1] for skip in skips]))
        return self.biased(sum(arrays.product(skip, kernel) for skip, kernel in pairs))


class Convolution(Dense):
    """A zero-padded convolution of images [B, H, W, C] -> [B, H / stride, W / stride, filters].

    `stream` is one of `kernels.STREAMS`. Masked entries of a kernel are 0.
    """

    def __init__(self, *args, stream, stride=1, itself=True):
        self.stream, self.stride, self.itself = stream, stride, itself
        super().__init__(*args)
        self.height, self.width = self.sides
        self.margins = kernels.margins(stream, self.sides, stride, self.transposed)
        (self.above, _), (self.left, _) = self.margins
        self.pads = self.left, self.width - 1 - self.left  # zeros beside a row of input, in a scan
        if self.transposed:
            self.pads = (self.width - 1) // 2, 0
        # Number of masked entries at the end of the kernel, for each output.
        self.masked = (stream == "masked") * (self.pads[1] + 1 - itself) * self.channels

    def arranged(self, v):
        v = super().arranged(v)
        if self.stream == "masked":
            mask = kernels.raster_mask(*v.shape[:2], self.itself)
            v = v * arrays.cast(mask, v.dtype)
        return v

    @functools.cached_property
    def row_kernels(self):
        """The rows of the kernel, for columns side by side: list of [width * C, filters]."""
        rows = arrays.reshape(self.kernel, (self.height, -1, self.filters))
        return arrays.unstack(rows, self.height)

    def __call__(self, x):
        if not arrays.is_plain(x):
            convolution = arrays.backend().convolution
            return self.biased(convolution(self.cast(x), self.kernel, self.stride, self.margins))
        batch, height, width, channels = x.shape
        rows, columns = height // self.stride, width // self.stride
        padded = np.zeros((batch, height + self.height, width + self.width, channels), x.dtype)
        padded[:, self.above : self.above + height, self.left : self.left + width] = x
        image, row, column, number = padded.strides
        shape = (batch, rows, columns, self.height, self.width * channels)
        strides = (image, row * self.stride, column * self.stride, row, number)
        fields = as_strided(padded, shape, strides, writeable=False)
        kernel = self.kernel.reshape(-1, self.filters)
        return self.product(fields, kernel[: len(kernel) - self.masked])

    def convolutions(self):
        """As of a block."""
        return [(self, None)]

    # Row by row, in a scan (`scanning.rows`). The latest rows of the input come newest first. `is_odd` refers
    # to the row or column of the output.

    @property
    def column_kernels(self):
        """The kernel of the current row: one, or one for even and one for odd columns of the output."""
        return self.row_kernels[-1:]

    def taps(self, is_odd):
        """Indices of the kernel's rows, in the order of the latest rows of the input."""
        return [] if is_odd and self.stride == 2 else [*reversed(range(self.height))]

    def over_rows(self, rows, is_odd=False, first=0):
        """A row of the output with its bias, [B, w, filters], from the latest rows without the `first`."""
        pairs = [*zip(rows, self.taps(is_odd))][first:]
        batch, width, _ = rows[0].shape
        if not arrays.is_plain(self.kernel) and pairs:
            xs = [row.x for row, _ in reversed(pairs)]
            convolution = arrays.backend().row_of_convolution
            return self.biased(convolution(xs, self.kernel[: len(pairs)], self.stride))
        y = arrays.zeros((batch, width // self.stride, self.filters), self.kernel)
        for row, tap in pairs:
            fields = row.fields(self.width)[:: self.stride].swapaxes(0, 1)
            y += arrays.product(np.ascontiguousarray(fields), self.row_kernels[tap])
        return self.biased(y)

    def over_columns(self, row):
        """A function of an output column, and if it is odd: its field, [B, n C], and kernel, [n C, F]."""
        [kernel] = self.column_kernels
        fields = row.fields(self.width)
        if fields is None:
            return lambda column, _: (row.field(self.stride * column, self.width), kernel)
        pairs = [(field, kernel) for field in fields[:: self.stride]]
        return lambda column, _: pairs[column]


class ConvolutionTranspose(Convolution):
    """The transpose of a convolution of stride 2: [B, H, W, C] -> [B, 2 H, 2 W, filters]."""

    transposed = True

    def __init__(self, *args, stream):
        super().__init__(*args, stream=stream, stride=2)

    def __call__(self, x):
        if not arrays.is_plain(x):
            convolution = arrays.backend().transposed_convolution
            return self.biased(convolution(self.cast(x), self.kernel, self.margins))
        batch, height, width, _ = x.shape
        sides = 2 * height + self.height, 2 * width + self.width
        y = np.zeros((batch, *sides, self.filters), x.dtype)
        for row, column in np.ndindex(self.height, self.width):
            taps = y[:, row : row + 2 * height : 2, column : column + 2 * width : 2]
            taps += x @ self.kernel[row, column]
        y = y[:, self.above :, self.left :]
        return self.biased(y[:, : 2 * height, : 2 * width])

    @functools.cached_property
    def column_kernels(self):
        # The latest column comes last.
        kernels = (self.kernel[0, first::2][::-1] for first in range(2))
        return [arrays.reshape(x, (-1, self.filters)) for x in kernels]

    def taps(self, is_odd):
        return [*range(int(is_odd), self.height, 2)]

    def over_rows(self, rows, is_odd=False, first=0):
        batch, width, _ = rows[0].shape
        y = arrays.zeros((batch, 2 * width + self.width, self.filters), self.kernel)
        for row, tap in [*zip(rows, self.taps(is_odd))][first:]:
            x = row.columns()
            for column in range(self.width):
                y = arrays.added(y, column, arrays.product(x, self.kernel[tap, column]))
        return self.biased(y[:, self.left : self.left + 2 * width])

    def over_columns(self, row):
        kernels = self.column_kernels
        counts = [x.shape[0] // self.channels for x in kernels]
        fields, (_, width, _) = [row.fields(count) for count in counts], row.shape
        if fields[0] is None:

            def field_and_kernel(column, is_odd):
                first = self.pads[0] + 1 - counts[is_odd] + column // 2
                return row.field(first, counts[is_odd]), kernels[is_odd]

            return field_and_kernel
        by_parity = [[(x, kernel) for x in xs[-width:]] for xs, kernel in zip(fields, kernels)]
        pairs = [*itertools.chain(*zip(*by_parity))]
        return lambda column, _: pairs[column]
