"""Factors in NumPy: nothing to trace, and the same under TensorFlow and JAX.

`Evaluation` has the networks of a factor (`networks`), which are evaluated whole, pixel by pixel (`raster`) or
group by group (`groups`).
"""

import math
import os

import numpy as np
from keras import ops

from pixelcnn_aux import arguments, networks as kinds
from pixelcnn_aux.engine import networks
from pixelcnn_aux.engine.groups import TileScan
from pixelcnn_aux.engine.raster import RasterScan
from pixelcnn_aux.networks import DecidesGroups
from pixelcnn_aux.sums import Remainders

_KINDS = {
    kinds.PixelCNN: networks.PixelCNN,
    kinds.ParallelPixelCNN: networks.ParallelPixelCNN,
    kinds.Embedding: networks.Embedding,
}
# Exponentials may overflow on purpose.
_QUIET = np.errstate(over="ignore", divide="ignore", invalid="ignore")


def supports(factor):
    """Whether a `Factor` can be evaluated in NumPy: one of this package's networks, of one precision."""
    known = all(type(part) in _KINDS for part in factor.parts())
    return known and factor.compute_dtype == factor.variable_dtype


class Evaluation:
    """The networks of a `Factor` in NumPy, with its weights of now.

    Args:
      factor: `Factor` that this module `supports`.
      condition: [B, ...], as in `Inputs`; None for none.
    """

    def __init__(self, factor, condition=None):
        self.factor = factor
        if condition is not None:
            condition = factor.condition.encode(np.asarray(condition))
        how = {"condition": condition, "rounded": factor.rounded}
        self.network, *others = (_converted(part, how) for part in factor.parts())
        self._embedding = others[0] if others else None

    @_QUIET
    def features(self, auxiliary):
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h, w, F]; empty without an embedding."""
        if self._embedding is None:
            return []
        kind = self.factor.auxiliary_likelihood
        return self._embedding(self.factor.scaled(np.asarray(auxiliary), kind))

    @_QUIET
    def params(self, inputs):
        """The parameters of all pixels of `Inputs`, which have this condition: float [B, H, W, P]."""
        return self.network(self.factor.seen(inputs), self.features(inputs.auxiliary))

    def known_at_first(self, ones, auxiliary):
        """`ParallelPixelCNN.known_at_first` of a tile: `ones` is [B, h, w, 1], of its blocks."""
        return self.network.known_at_first(ones.shape[:3], self.features(auxiliary))

    @_QUIET
    def decide_each_pixel(self, request, decider, batch):
        """Decides the pixels of B images for a `DrawRequest`: uint8 [B, H, W, C].

        `decider` is as in `scanning.groups`.
        """
        if isinstance(self.network, DecidesGroups):
            scan = TileScan(self, request, batch, batch * math.prod(request.size))
            return scan.decide_each_pixel(decider)
        factor, (height, width), kind = self.factor, request.size, self.factor.likelihood
        shape = batch, height, width, kind.num_channels
        images = np.zeros(shape, arguments.pixel_dtype(kind.num_values))
        scan = RasterScan(self.network, self.features(request.auxiliary), images.shape[:3])
        remainders = factor.fixed_sum and Remainders(
            factor.fixed_sum, request.auxiliary, request.within
        )
        state = remainders and remainders.initial_state()
        for row in range(height):
            scan.begin_row(row)
            of_row = remainders and remainders.row(row, state)
            here = of_row and of_row.pixels(0)
            decide = decider(lambda x, row=row: x[:, row])
            for column in range(width):

                def pick(x, column=column):
                    return x[:, column]

                pixel = decide(scan.params(column), pick, here and here.bounds(column))
                images[:, row, column] = pixel
                scan.decided(column, factor.network_inputs(pixel, here and here.center(column)))
                if here:
                    here.decided(column, pixel)
            scan.end_row()
            if of_row:
                _, state = of_row.after(images[:, row])
        return images


def _converted(part, how):
    prefix, _, _ = os.path.commonprefix([x.path for x in part.variables]).rpartition("/")
    weights = {
        x.path.removeprefix(f"{prefix}/"): np.asarray(ops.convert_to_tensor(x))
        for x in part.variables
    }
    return _KINDS[type(part)](part.get_config(), weights, how)
