"""Weight-normalized layers of NumPy arrays, or of tensors in a graph: on whole images, rows and pixels.

Kernels are normalized once. All are [height, width, C, filters], also those of transposed convolutions.
"""

import copy
import functools
import itertools

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pixelcnn_aux.base import arrays, rounding, threads
from pixelcnn_aux.networks import kernels

_CHUNK = 2**17  # numbers of a copy with neighborhoods side by side, which stays in a cache


def _unchanged(x):
    return x


class ArrayMaker:
    """A `networks.LayerMaker` of layers of arrays, from the weights of a network.

    Args:
      arrays: dict, path -> np.ndarray; a layer has "<path>/v", "<path>/g", "<path>/b", and maybe "<path>/h".
      rounded: bool, whether layers compute with whole numbers: see `rounding`.
      condition: float [B, D], an encoded condition of each image, or None.
    """

    def __init__(self, arrays, rounded, condition=None):
        self.arrays, self.rounded, self.condition = arrays, rounded, condition
        self.layers = []  # made so far
        self.kept = {}  # path -> normalized kernel and bias
        self._path = ""  # of the current module

    def made(self, module):
        """A copy of a module, with layers."""
        module = copy.copy(module)
        module.make(self)
        return module

    def part(self, name, module):
        inner = copy.copy(self)
        inner._path += f"{name}/"
        return inner.made(module)

    def _layer(self, cls, name, filters, kernel_size=(), conditional=False, **options):
        """A layer; None without weights, as for the projection of a block without skips."""
        path = self._path + name
        return cls(self, path, **options) if f"{path}/v" in self.arrays else None

    def convolution(self, name, filters, kernel_size, stream, strides=1, itself=True, **options):
        own = {"stream": stream, "stride": strides, "itself": itself}
        conditional = options.get("conditional")
        return self._layer(Convolution, name, filters, kernel_size, conditional, **own)

    def transposed(self, name, filters, kernel_size, stream):
        return self._layer(ConvolutionTranspose, name, filters, kernel_size, stream=stream)

    def dense(self, name, filters, **options):
        return self._layer(Dense, name, filters, (), options.get("conditional"))

    def projection(self, name, filters):
        return self._layer(Projection, name, filters)

    def dropout(self, name, rate):
        return _unchanged

    def with_condition(self, condition):
        """A maker of layers given another condition, with the same normalized kernels."""
        maker = ArrayMaker(self.arrays, self.rounded, condition)
        maker.kept = self.kept
        return maker

    def mapped(self, function):
        """A maker of layers whose arrays are a function of these."""
        maker = copy.copy(self)
        maker.kept = {path: tuple(map(function, pair)) for path, pair in self.kept.items()}
        maker.arrays = {p: function(x) if p.endswith("/h") else x for p, x in self.arrays.items()}
        return maker

    def in_order(self):
        """All arrays, in the order in which layers were made."""
        made = [f"{path}/{name}" for path in self.kept for name in "vgbh"]
        paths = dict.fromkeys([*(path for path in made if path in self.arrays), *self.arrays])
        return [self.arrays[path] for path in paths]

    def raw(self, path, layer):
        """(v, g, b) of a layer: [..., C, filters], [filters], [filters]."""
        v, g, bias = (self.arrays[f"{path}/{name}"] for name in "vgb")
        return layer.arranged(v), g, bias

    def normalized(self, path, layer):
        """The kernel of a layer, [..., C, filters], and its bias, [filters] or [B, filters]."""
        if path not in self.kept:
            v, g, bias = self.raw(path, layer)
            with np.errstate(all="ignore"):  # zeros, which trained weights will replace
                kernel = v * (g / np.sqrt(np.square(v).sum(axis=tuple(range(v.ndim - 1)))))
            if self.rounded:
                units = rounding.kernel_units(kernel, bias)
                kernel = np.round(kernel * units) / units
                units = rounding.ACTIVATIONS * units
                bias = np.round(bias * units) / units
            self.kept[path] = kernel, bias
        kernel, bias = self.kept[path]
        h = self.arrays.get(f"{path}/h")
        if h is not None and self.condition is not None:
            bias = bias + arrays.matmul(arrays.cast(self.condition, h.dtype), h)
        return kernel, bias


class CheckingMaker(ArrayMaker):
    """Makes layers that check the shapes of their arrays, and return zeros; `kept` are the arrays' paths."""

    def _layer(self, cls, name, filters, kernel_size=(), conditional=False, **options):
        path = self._path + name

        def zeros(x):
            parts = x if isinstance(x, (list, tuple)) else [x]
            batch, *size, _ = parts[0].shape
            channels = sum(part.shape[-1] for part in parts)
            ends = (filters, channels) if cls.transposed else (channels, filters)
            shapes = {"v": (*kernel_size, *ends), "g": (filters,), "b": (filters,)}
            if conditional and self.condition is not None:
                shapes["h"] = self.condition.shape[-1], filters
            for kind, shape in shapes.items():
                found = getattr(self.arrays.get(f"{path}/{kind}"), "shape", "nothing")
                if found != shape:
                    raise ValueError(f"{found} instead of {shape} as {path}/{kind}")
                self.kept[f"{path}/{kind}"] = shape
            times, stride = 1 + cls.transposed, options.get("stride", 1)
            size = (times * side // stride for side in size)
            return np.zeros((batch, *size, filters), parts[0].dtype)

        return zeros


class Dense:
    """A product over channels: [..., C] -> [..., filters], with the weights at a path of an `ArrayMaker`."""

    transposed = False

    def __init__(self, maker, path):
        self.path, self.rounded = path, maker.rounded
        maker.layers.append(self)
        self.kernel, self.bias = maker.normalized(path, self)
        *self.sides, self.channels, self.filters = self.kernel.shape

    def arranged(self, v):
        """The `v` of a layer in the order of its kernel: [..., C, filters]."""
        return v.swapaxes(-1, -2) if self.transposed else v

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
        return self.biased(arrays.product(x, self.kernel))

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
        pairs = zip(skips, self.kernels([skip.shape[-1] for skip in skips]))
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
            v = v * kernels.raster_mask(*v.shape[:2], self.itself).astype(v.dtype)
        return v

    @functools.cached_property
    def row_kernels(self):
        """The rows of the kernel, for columns side by side: list of [width * C, filters]."""
        rows = arrays.reshape(self.kernel, (self.height, -1, self.filters))
        return arrays.unstack(rows, self.height)

    def __call__(self, x):
        if not arrays.is_plain(x):
            convolution = arrays.backend().convolution
            return self.biased(convolution(x, self.kernel, self.stride, self.margins))
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

    def __init__(self, *args, **kwargs):
        super().__init__(*args, stride=2, **kwargs)

    def __call__(self, x):
        if not arrays.is_plain(x):
            convolution = arrays.backend().transposed_convolution
            return self.biased(convolution(x, self.kernel, self.margins))
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
