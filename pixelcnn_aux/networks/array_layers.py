"""Weight-normalized layers of arrays, NumPy's or tensors in a graph: on whole images, rows and single pixels.

Kernels are normalized once, and [height, width, C, filters], those of transposed convolutions too.
"""

import copy
import functools

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pixelcnn_aux.base import arrays, rounding, threads
from pixelcnn_aux.networks import kernels

# Numbers that are copied to lay neighborhoods side by side: few, to stay in a cache.
_AT_ONCE = 2**17


class Weights:
    """The weights of a network: a maker of its layers (`networks.Module.make`), given a condition or not.

    Args:
      arrays: dict, path -> np.ndarray; a layer has "<path>/v", "<path>/g", "<path>/b", and maybe "<path>/h".
      rounded: bool, whether layers compute with whole numbers: see `rounding`.
      condition: float [B, D], an encoded condition of each image, or None.
    """

    def __init__(self, arrays, rounded, condition=None):
        self.arrays, self.rounded, self.condition = arrays, rounded, condition
        self.layers = []  # that were made of them
        self.kept = {}  # path -> normalized kernel and bias
        self._path = ""  # of the module whose layers are made

    def made(self, module):
        """A module with its layers."""
        found = copy.copy(module)
        found.make(self)
        return found

    def part(self, name, module):
        """A module in the one whose layers are made."""
        inside = copy.copy(self)
        inside._path += f"{name}/"
        return inside.made(module)

    def _layer(self, cls, name, **how):
        """A layer; None if there are no weights of it, as of a projection of skips that there are not."""
        path = self._path + name
        return cls(self, path, **how) if f"{path}/v" in self.arrays else None

    # As of `layers.Maker`, without what arrays say.

    def convolution(self, name, filters, kernel_size, stream, strides=1, itself=True, **how):
        how = {"kind": stream, "stride": strides, "itself": itself}
        return self._layer(Convolution, name, **how)

    def transposed(self, name, filters, kernel_size, stream):
        return self._layer(ConvolutionTranspose, name, kind=stream)

    def dense(self, name, filters, **how):
        return self._layer(Dense, name)

    def projection(self, name, filters):
        return self._layer(Projection, name)

    def dropout(self, name, rate):
        return _unchanged

    def with_condition(self, condition):
        """The same weights given another condition, with kernels that are normalized once for all."""
        found = Weights(self.arrays, self.rounded, condition)
        found.kept = self.kept
        return found

    def mapped(self, function):
        """The same weights by a function of their normalized arrays."""
        found = copy.copy(self)
        found.kept = {path: tuple(map(function, pair)) for path, pair in self.kept.items()}
        found.arrays = {
            path: function(x) if path.endswith("/h") else x for path, x in self.arrays.items()
        }
        return found

    def in_order(self):
        """All arrays, in the order in which layers asked for them."""
        asked = [f"{path}/{name}" for path in self.kept for name in "vgbh"]
        paths = dict.fromkeys([*(path for path in asked if path in self.arrays), *self.arrays])
        return [self.arrays[path] for path in paths]

    def raw(self, path, layer):
        """(v, g, b) of a layer: [..., C, filters], [filters], [filters]."""
        v, g, bias = (self.arrays[f"{path}/{name}"] for name in "vgb")
        v = layer.arranged(v)
        if not v.shape[-1:] == g.shape == bias.shape:  # NumPy would broadcast them
            raise ValueError(f"{v.shape}, {g.shape} and {bias.shape} as {path}/v, /g and /b")
        return v, g, bias

    def normalized(self, path, layer):
        """The kernel of a layer, [..., C, filters], and its bias, [filters] or [B, filters]."""
        if path not in self.kept:
            v, g, bias = self.raw(path, layer)
            with np.errstate(invalid="ignore"):  # of zeros, which trained weights will replace
                kernel = v * (g / np.sqrt(np.square(v).sum(axis=tuple(range(v.ndim - 1)))))
            if self.rounded:
                units = rounding.kernel_units(kernel, bias)
                kernel = np.round(kernel * units) / units
                bias = np.round(bias * (rounding.ACTIVATIONS * units))
                bias /= rounding.ACTIVATIONS * units
            self.kept[path] = kernel, bias
        kernel, bias = self.kept[path]
        h = self.arrays.get(f"{path}/h")
        if h is not None and self.condition is not None:
            bias = bias + arrays.matmul(arrays.cast(self.condition, h.dtype), h)
        return kernel, bias


def _unchanged(x):
    return x


class Dense:
    """A product over channels: [..., C] -> [..., filters]; `path` is the layer's in `Weights`."""

    transposed = False

    def __init__(self, weights, path):
        self.path, self.rounded = path, weights.rounded
        weights.layers.append(self)
        self.kernel, self.bias = weights.normalized(path, self)
        *self.sides, self.channels, self.filters = self.kernel.shape

    def arranged(self, v):
        """The `v` of a layer as its kernel is used: [..., C, filters]."""
        return v.swapaxes(-1, -2) if self.transposed else v

    def biased(self, y):
        """y [B, ..., filters] plus the bias, in place."""
        bias = self.bias
        if len(bias.shape) > 1:  # of each image
            bias = arrays.reshape(bias, (-1, *[1] * (len(y.shape) - 2), self.filters))
        elif not arrays.is_plain(y):
            return self.rounding(arrays.backend().add_bias(y, bias))
        y += bias
        return self.rounding(y)

    def rounding(self, y):
        """Sums y, rounded in place if the layer is."""
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
        """The layer's output from what it sees, float [B, H, W, ...], in several threads if that is large."""
        batch, rows, columns, *_ = x.shape
        y = np.empty((batch, rows, columns, self.filters), x.dtype)

        def evaluate(here):
            part, out = x[:, here], y[:, here]
            part = part.reshape(*part.shape[:3], -1)[..., : len(kernel)]
            np.matmul(part, kernel, out=out)
            self.biased(out)

        threads.in_slices(evaluate, rows, max(1, _AT_ONCE // max(batch * columns * len(kernel), 1)))
        return y


class Projection(Dense):
    """A product over the channels of several skips: list of [..., 2 C_k] -> [..., filters]."""

    def kernels(self, channels):
        """The kernel of each skip, of so many channels: list of [2 C_k, filters]."""
        return kernels.of_parts(self.kernel, channels)

    def __call__(self, skips):
        pairs = zip(skips, self.kernels([skip.shape[-1] for skip in skips]))
        return self.biased(sum(arrays.product(skip, kernel) for skip, kernel in pairs))


class Convolution(Dense):
    """A convolution of images [B, H, W, C] -> [B, H / stride, W / stride, filters], zeros outside of them.

    `kind` is the stream's: "unshifted", "vertical", "horizontal" or "masked". What is masked is 0.
    """

    def __init__(self, *args, kind, stride=1, itself=True, **kwargs):
        self.kind, self.stride, self.itself = kind, stride, itself
        super().__init__(*args, **kwargs)
        self.height, self.width = self.sides
        # Rows and columns of zeros, or of the output that are cut off.
        self.margins = kernels.margins(kind, self.sides, stride, self.transposed)
        (self.above, _), (self.left, _) = self.margins
        self.pads = self.left, self.width - 1 - self.left  # zeros beside a row of input, in a scan
        if self.transposed:
            self.pads = (self.width - 1) // 2, 0
        # The last numbers of the kernel that are masked, of each output.
        self.masked = (kind == "masked") * (self.pads[1] + 1 - itself) * self.channels

    def arranged(self, v):
        v = super().arranged(v)
        if self.kind == "masked":
            v = v * kernels.raster_mask(*v.shape[:2], self.itself).astype(v.dtype)
        return v

    @functools.cached_property
    def row_kernels(self):
        """Each row of the kernel, for several columns side by side: [height, width * C, filters]."""
        rows = arrays.reshape(self.kernel, (self.height, -1, self.filters))
        return arrays.unstack(rows, self.height)

    def __call__(self, x):
        """The convolution of x, in NumPy in several threads if it is large."""
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
        near = as_strided(padded, shape, strides, writeable=False)
        kernel = self.kernel.reshape(-1, self.filters)
        return self.product(near, kernel[: len(kernel) - self.masked])

    # In a scan, row by row. The latest rows of the input (`scanning.rows`) come newest first, and `is_odd`
    # tells which row or column of the output is evaluated.

    @functools.cached_property
    def kernel_above(self):
        """The kernel without its last row."""
        return self.kernel[:-1]

    @property
    def column_kernels(self):
        """The kernel of the current row, for even columns of the output and odd ones, if they differ."""
        return self.row_kernels[-1:]

    def taps(self, is_odd):
        """The rows of the kernel that meet the latest rows."""
        return [] if is_odd and self.stride == 2 else [*reversed(range(self.height))]

    def over_rows(self, rows, is_odd=False, first=0):
        """A row of the output, [B, w, filters], from the latest rows but the `first` ones, and the bias."""
        pairs = [*zip(rows, self.taps(is_odd))][first:]
        batch, width, _ = rows[0].shape
        if not arrays.is_plain(self.kernel) and pairs:
            seen = [row.x for row, _ in reversed(pairs)]
            kernel = self.kernel if len(pairs) == self.height else self.kernel_above
            return self.biased(arrays.backend().row_of_convolution(seen, kernel, self.stride))
        y = arrays.zeros((batch, width // self.stride, self.filters), self.kernel)
        for row, tap in pairs:
            near = row.near(self.width)[:: self.stride].swapaxes(0, 1)
            y += np.ascontiguousarray(near) @ self.row_kernels[tap]
        return self.biased(y)

    def over_columns(self, row):
        """A function of a column of the output, and whether it is odd, within a `Row` of input.

        It returns what the column sees, [B, n C], and its kernel, [n C, filters].
        """
        [kernel] = self.column_kernels
        near = row.near(self.width)
        if near is None:
            return lambda column, _: (row.near_column(self.stride * column, self.width), kernel)
        pairs = [(x, kernel) for x in near[:: self.stride]]
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
        y = np.zeros(
            (batch, 2 * height + self.height, 2 * width + self.width, self.filters), x.dtype
        )
        for row, column in np.ndindex(self.height, self.width):
            y[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += (
                x @ self.kernel[row, column]
            )
        y = y[:, self.above :, self.left :]
        return self.biased(y[:, : 2 * height, : 2 * width])

    @functools.cached_property
    def column_kernels(self):
        # The latest column last.
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
        near, (_, width, _) = [row.near(count) for count in counts], row.shape
        if near[0] is None:

            def seen(column, is_odd):
                first = self.pads[0] + 1 - counts[is_odd] + column // 2
                return row.near_column(first, counts[is_odd]), kernels[is_odd]

            return seen
        pairs = [[(x, kernel) for x in xs[-width:]] for xs, kernel in zip(near, kernels)]
        pairs = [x for pair in zip(*pairs) for x in pair]
        return lambda column, _: pairs[column]
