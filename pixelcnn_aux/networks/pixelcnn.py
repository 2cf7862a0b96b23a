"""PixelCNN: the causal network of one factor of the model, equation (3)."""

import keras
from keras import ops

from pixelcnn_aux import arguments, layers
from pixelcnn_aux.networks.stream import Stream, check_sides
from pixelcnn_aux.networks.topology import Topology
from pixelcnn_aux.serialization import register


@register()
class PixelCNN(keras.Model):
    """Parameters of every pixel's distribution, from the pixels before it in raster order.

    Two streams (Salimans et al., 2017): the vertical one sees all rows above a pixel, the horizontal
    one sees, through the vertical one, those and the pixels to the left. Features of the auxiliary
    image condition every block: the vertical skip is [skip, features], the horizontal one
    [vertical, skip, features].

    Args:
      topology: a `Topology`, what follows the first convolutions.
      filters: int, the channels of both streams.
      num_params: int, the channels of the output.
      vertical_kernel, horizontal_kernel: (height, width) of the two streams' convolutions.
      dropout: float, the rate in the blocks.

    Raises:
      ValueError: for arguments of other types, or out of range.
    """

    def __init__(
        self,
        topology,
        filters,
        num_params,
        vertical_kernel=(2, 3),
        horizontal_kernel=(2, 2),
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.autocast = False
        filters = arguments.whole("filters", filters)
        num_params = arguments.whole("num_params", num_params, 1, arguments.MAX_PER_PIXEL)
        dropout = arguments.rate("dropout", dropout, layers.MAX_DROPOUT)
        vertical_kernel = arguments.size("vertical_kernel", vertical_kernel)
        horizontal_kernel = arguments.size("horizontal_kernel", horizontal_kernel)
        self.topology = Topology.make(topology)
        levels = self.topology.levels()
        if levels[-1] != 0 or min(levels) < 0:
            raise ValueError(
                "Expected a topology that goes down from the image's resolution, and ends there. "
                f"Received: sides divided by {[2.0**level for level in levels]}. Choose such steps."
            )
        self._arguments = {"filters": filters, "num_params": num_params, "dropout": dropout}
        self._arguments["vertical_kernel"] = list(vertical_kernel)
        self._arguments["horizontal_kernel"] = list(horizontal_kernel)
        # Under a policy of mixed precision the streams alone are: pixels and parameters would not survive it.
        full, dtype = self.variable_dtype, self.dtype_policy
        self.above = layers.DownShiftedConv2D(filters, (2, 3), dtype=full, name="above")
        self.row_above = layers.DownShiftedConv2D(filters, (1, 3), dtype=full, name="row_above")
        self.left = layers.DownRightShiftedConv2D(filters, (2, 1), dtype=full, name="left")
        self.vertical, self.horizontal = (
            Stream(self.topology, stream, filters, kernel, dropout, dtype=dtype, name=stream)
            for stream, kernel in (("vertical", vertical_kernel), ("horizontal", horizontal_kernel))
        )
        self.last = layers.WeightNormDense(num_params, dtype=full, name="last")

    def parts(self):
        """The layers that the network consists of."""
        return [self.above, self.row_above, self.left, self.vertical, self.horizontal, self.last]

    def num_parameters(self, channels, features=0):
        """int, of all weights that it has or will have.

        Args:
          channels: int, of the images.
          features: int, the channels of the features that condition it; 0 for none.
        """
        filters = self._arguments["filters"]
        first = (self.above, self.row_above, self.left)
        return (
            sum(layer.num_parameters(channels + 1) for layer in first)
            + self.vertical.num_parameters(after=features)
            + self.horizontal.num_parameters(before=filters, after=features)
            + self.last.num_parameters(filters)
        )

    def get_config(self):
        return {**super().get_config(), "topology": self.topology, **self._arguments}

    def get_build_config(self):
        """What its weights were made for, which Keras saves beside the arguments; None without weights."""
        if not self.above.built:
            return None
        channels, count = self.above.v.shape[2] - 1, self.count_params()
        # Parameters grow with the features, which blocks alone take.
        numbers = range(arguments.LARGEST + 1)
        features = next(n for n in numbers if self.num_parameters(channels, n) >= count)
        return {"channels": channels, "features": features}

    def build_from_config(self, config):
        """Makes such weights: Keras, before it loads them."""
        channels = arguments.whole("channels", config["channels"])
        features = arguments.whole("features", config["features"], 0)
        halvings = max(self.topology.levels())
        sides = [2**k for k in range(halvings, -1, -1)]
        given = [ops.zeros([1, side, side, features], self.compute_dtype) for side in sides]
        x = ops.zeros([1, sides[0], sides[0], channels], self.variable_dtype)
        self(x, given if features else ())

    def call(self, x, features=(), training=None):
        """Evaluates the network on whole images.

        Args:
          x: float [B, H, W, C], pixels as the network sees them: `Factor.seen`.
          features: list of float [B, h, w, F], f_w of the auxiliary image at each of the network's
            resolutions, finest first; empty for an unconditional network.

        Returns:
          float [B, H, W, num_params]; the values at a pixel depend on earlier pixels only.

        Raises:
          ValueError: where the down-sampling does not divide H or W, or the features are not one for
            each resolution.
        """
        check_sides(x, self.topology)
        x, given = self.append_ones(x), self.activate(features)
        first = layers.shift_down(self.above(x))
        _, vertical = self.vertical(first, after=given, training=training)
        first = layers.shift_down(self.row_above(x)) + layers.shift_right(self.left(x))
        return self.params(first, vertical, given, training=training)

    def append_ones(self, x):
        """Adds a channel of ones, which tells pixels of value zero from the zeros outside the image."""
        return ops.concatenate([x, ops.ones_like(x[..., :1])], axis=-1)

    def activate(self, features):
        """The concat_elu of the features that condition each activation of a stream; None for none."""
        levels = self.topology.levels()
        if features and len(features) != max(levels) + 1:
            raise ValueError(
                f"Expected features at {max(levels) + 1} resolutions. Received: {len(features)}. "
                "Give an embedding of as many outputs."
            )
        features = [f if f is None else layers.concat_elu(f) for f in features]
        return [features[level] for level in levels] if features else None

    def params(self, first, vertical, given, cache=None, training=None):
        """Evaluates what follows the vertical stream, on whole images or on a pixel against a cache."""
        horizontal, _ = self.horizontal(
            first, before=vertical, after=given, cache=cache, training=training
        )
        return self.last(ops.elu(horizontal[-1]), cache=cache)
