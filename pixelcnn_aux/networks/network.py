"""The interface of networks and of their parts, each written once for arrays and tensors."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pixelcnn_aux.base import arguments, arrays, serialization
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_multiple
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.networks.topology import Topology

MAX_DROPOUT = 255 / 256


class Module(serialization.Configured):
    """A network or a part of one: which layers it has, and how they are evaluated.

    The constructor keeps each argument in an attribute of its name. `forward` calls the layers, and computes
    with functions of `arrays`, so that it takes NumPy arrays and tensors.
    """

    ignored = serialization.OF_KERAS  # entries of descriptions from when networks were Keras layers
    is_block: ClassVar[bool] = (
        False  # whether it is evaluated again in a backward pass that saves memory
    )

    def make(self, layers: Layers) -> None:
        """Sets attributes to layers."""
        raise NotImplementedError

    def forward(self, x: Tensor, *args: Any) -> Any:
        """Evaluates the layers."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)


class Network(Module):
    """Maps the pixels of an image to the parameters of their distributions, each from earlier pixels alone.

    A subclass is registered (`serialization.register`), and defines `make`, `forward` and the attributes;
    docs/extending.md has an example.

    Attributes:
      num_params: int, the channels of the output.
      multiple: int; H and W must be multiples of it.
      num_resolutions: int, resolutions of the features, each half of the one before.
      side: int, the height of images over the height of the finest features.
      radius: int, the receptive field in each direction, in blocks of side x side pixels; None if unknown.
      period: int, the number of rows of blocks after which the network repeats itself.
      check_causality: bool, whether a `Factor` checks the network's dependencies on small images; False for
        networks too large for a few extra evaluations.
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
          x: float [B, H, W, C], pixels from `Factor.network_input`.
          features: list of float [B, h, w, F], the embedding of the auxiliary image at each resolution,
            finest first; empty for an unconditional network.

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

    def _init_common(self, filters: int, num_params: int, dropout: float) -> None:
        """Checks and keeps arguments that most networks have."""
        self.filters = arguments.whole("filters", filters)
        self.num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        self.dropout = arguments.rate("dropout", dropout, MAX_DROPOUT)

    def _init_topology(self, topology: Topology | Sequence) -> None:
        """Checks and keeps the topology of a network whose output has the image's size."""
        self.topology = Topology.make(topology)
        levels = self.topology.levels()
        expected = "a topology that goes down from the image's resolution, and ends there"
        received = f"resolutions divided by {[2.0**level for level in levels]}"
        expect(levels[-1] == min(levels) == 0, expected, received, "Choose such steps")
        self.multiple, self.num_resolutions = 2 ** max(levels), max(levels) + 1


def append_ones(x: Tensor) -> Tensor:
    """Adds a channel of ones, which tells pixels of value zero from zero padding."""
    return arrays.concatenate([x, arrays.ones_like(x[..., :1])], axis=-1)


def shift_down(x: Tensor) -> Tensor:
    """Moves an image one row down, zeros entering above: [B, H, W, C] -> [B, H, W, C]."""
    return arrays.concatenate([arrays.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def shift_right(x: Tensor) -> Tensor:
    """Moves an image one column right, zeros entering on the left: [B, H, W, C] -> [B, H, W, C]."""
    return arrays.concatenate([arrays.zeros_like(x[:, :, :1]), x[:, :, :-1]], axis=2)
