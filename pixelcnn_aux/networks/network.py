"""What a factor, a chain, the sampler and exports ask of a network."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from pixelcnn_aux.arguments import Tensor
from pixelcnn_aux.scanning import FullScan

METHODS = ("incremental", "full")  # how a network is evaluated pixel by pixel


class LazilyBuilt(keras.Model):
    """A Keras model whose layers are built as they are called, also where it is saved by itself."""

    def build(self, x_shape):
        """Leaves it to the layers. Keras keeps the shapes."""

    def build_from_config(self, config):
        """Makes weights for inputs of the shapes that Keras recorded: before it loads them."""
        shapes = config.get("shapes_dict") or {"x_shape": config["input_shape"]}
        self(*(keras.tree.map_shape_structure(ops.zeros, shape) for shape in shapes.values()))


class Network(LazilyBuilt):
    """From the pixels of an image to the parameters of their distributions, each from earlier pixels alone.

    A subclass, which is registered, defines `call` and the attributes; see docs/extending.md for one.

    Attributes:
      num_params: int, the channels that it puts out.
      multiple: int, which H and W must be multiples of.
      num_resolutions: int, at how many resolutions it takes features, each half of the one before.
      side: int, the height of images over that of the finest features.
      radius: int, how many blocks of side x side pixels it sees in each direction; None where that is not
        known.
      period: int, after so many rows of blocks it does the same again.
    """

    num_params: int
    multiple: int = 1
    num_resolutions: int = 1
    side: int = 1
    radius: int | None = None
    period: int = 1

    def build(self, x_shape, features_shape=()):
        """As `LazilyBuilt.build`."""

    def call(
        self, x: Tensor, features: Sequence[Tensor] = (), training: bool | None = None
    ) -> Tensor:
        """Evaluates the network on whole images.

        Args:
          x: float [B, H, W, C], pixels as the network sees them: `Factor.network_inputs`.
          features: list of float [B, h, w, F], the embedding of the auxiliary image at each of the network's
            resolutions, finest first; empty for an unconditional network.
          training: bool, whether to drop out.

        Returns:
          float [B, H, W, num_params]. A pixel's depend on the pixels before it alone: in raster order, or
          that in which `scan` decides them.
        """
        raise NotImplementedError

    def parts(self) -> list[Any]:
        """The layers that the network consists of."""
        return self.layers

    def scan(
        self,
        network_inputs: Callable[..., Tensor],
        shape: tuple[int, int, int],
        batch: Tensor,
        remainders: Any = None,
        keep_params: bool = False,
        method: str = "incremental",
    ) -> Any:
        """What evaluates the network pixel by pixel: here, as a whole again for each one.

        A network that can be evaluated step by step at a lower price returns another scan (`scanning`).

        Args:
          network_inputs: function from pixel values [..., C] and their centers, None without `remainders`, to
            the floats that the network sees.
          shape: (H, W, C) of the images, ints.
          batch: B, an int or a scalar tensor.
          remainders: `sums.Remainders`, which tell what auxiliary images say of each pixel; None where
            they do not.
          keep_params: bool, whether to return the parameters that the pixels were decided from.
          method: "incremental"; or "full", as a whole again for each step.
        """
        del method  # both are the same here
        return FullScan(self, network_inputs, shape, batch, remainders, keep_params)
