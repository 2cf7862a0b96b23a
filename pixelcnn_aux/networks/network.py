"""The interface of networks, and of their parts, each written once for Keras and for arrays."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, arrays, serialization
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import check_multiple
from pixelcnn_aux.networks.topology import Topology

MAX_DROPOUT = 255 / 256


class Module(serialization.Configured):
    """A network, or a part of one: which layers it has, and how they are evaluated.

    The constructor keeps each argument in an attribute of its name. `make` sets attributes to layers, which
    it asks a maker for: `layers.Maker` makes Keras's, which are trained; `array_layers.Weights` those of
    arrays, which draw and score without a framework. `forward` calls the layers, and computes with functions
    of `arrays`, so that it takes NumPy's arrays and tensors.
    """

    ignored = serialization.OF_KERAS  # of layers, which a factor describes

    def make(self, layers: Any) -> None:
        """Sets attributes to layers, by methods of a maker.

        `convolution(name, filters, kernel_size, stream)`, `dense(name, filters)`, and
        `part(name, module)` for modules in this one, such as `blocks.GatedResidualBlock`.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, *args: Any) -> Any:
        """Evaluates the layers, which `make` set."""
        raise NotImplementedError

    def __call__(self, *args: Any, **how: Any) -> Any:
        return self.forward(*args, **how)


class Network(Module):
    """From the pixels of an image to the parameters of their distributions, each from earlier pixels alone.

    A subclass is registered (`serialization.register`), and defines `make`, `forward` and the attributes;
    docs/extending.md has one.

    Attributes:
      num_params: int, the channels of the output.
      multiple: int; H and W must be multiples of it.
      num_resolutions: int, the number of resolutions at which it takes features, each half of the one before.
      side: int, the height of images over that of the finest features.
      radius: int, how many blocks of side x side pixels it sees in each direction; None if that is unknown.
      period: int, the number of rows of blocks after which it repeats itself.
      check_causality: bool, whether a `Factor` of it checks, on small images, what its parameters depend on;
        False for networks that are too large to be evaluated a few times.
    """

    num_params: int
    multiple: int = 1
    num_resolutions: int = 1
    side: int = 1
    radius: int | None = None
    period: int = 1
    check_causality: bool = True

    def forward(self, x: Tensor, features: Sequence[Tensor] = ()) -> Tensor:
        """Evaluates the network on whole images.

        Args:
          x: float [B, H, W, C], the pixels as `Factor.network_inputs` scales them.
          features: list of float [B, h, w, F], the embedding of the auxiliary image at each of the network's
            resolutions, finest first; empty for an unconditional network.

        Returns:
          float [B, H, W, num_params]. The parameters of a pixel depend on pixels of earlier `turns` alone.
        """
        raise NotImplementedError

    def turns(self, size: Size) -> np.ndarray:
        """The turn in which each pixel of (H, W) is decided, int [H, W]: here, raster order."""
        return np.arange(math.prod(size)).reshape(size)

    def check_inputs(self, x: Tensor, features: Sequence[Tensor]) -> None:
        """Raises ValueError for H or W that `multiple` does not divide, or features of other resolutions."""
        check_multiple(x, self.multiple)
        expected = f"features at {self.num_resolutions} resolutions"
        fits, remedy = len(features) in (0, self.num_resolutions), "Give an output for each"
        expect(fits, expected, len(features), remedy)

    def keep_common(self, filters: int, num_params: int, dropout: float) -> None:
        """Sets these arguments, which most networks have, after checks."""
        self.filters = arguments.whole("filters", filters)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.dropout = arguments.rate("dropout", dropout, MAX_DROPOUT)

    def follow(self, topology: Topology | Sequence) -> None:
        """Sets `topology`, and the attributes that follow from it, of a network that has the image's size."""
        self.topology = Topology.make(topology)
        levels = self.topology.levels()
        expected = "a topology that goes down from the image's resolution, and ends there"
        received = f"resolutions divided by {[2.0**level for level in levels]}"
        expect(levels[-1] == min(levels) == 0, expected, received, "Choose such steps")
        self.multiple, self.num_resolutions = 2 ** max(levels), max(levels) + 1


def append_ones(x: Tensor) -> Tensor:
    """Adds a channel of ones, by which pixels of value zero differ from the zeros outside the image."""
    return arrays.concatenate([x, arrays.ones_like(x[..., :1])], axis=-1)


def shift_down(x: Tensor) -> Tensor:
    """Moves an image one row down, zeros entering above: [B, H, W, C] -> [B, H, W, C]."""
    return arrays.concatenate([arrays.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def shift_right(x: Tensor) -> Tensor:
    """Moves an image one column right, zeros entering on the left: [B, H, W, C] -> [B, H, W, C]."""
    return arrays.concatenate([arrays.zeros_like(x[:, :, :1]), x[:, :, :-1]], axis=2)
