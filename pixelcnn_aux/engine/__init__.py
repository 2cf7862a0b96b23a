"""Factors in NumPy: nothing to trace, and the same under TensorFlow and JAX.

`Evaluation` has the networks of a factor, evaluated whole, pixel by pixel (`raster`) or group by group
(`scanning.TileScan`).
"""

import os

import numpy as np
from keras import ops

from pixelcnn_aux import networks as kinds
from pixelcnn_aux.engine import networks
from pixelcnn_aux.engine.raster import RasterScan
from pixelcnn_aux.sums import Remainders

_KINDS = {
    kinds.PixelCNN: networks.PixelCNN,
    kinds.ParallelPixelCNN: networks.ParallelPixelCNN,
    kinds.Embedding: networks.Embedding,
}


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
        self._factor = factor
        if condition is not None:
            condition = factor.condition.encode(np.asarray(condition))
        how = {"condition": condition, "rounded": factor.rounded}
        self.network, *others = (_converted(part, how) for part in factor.parts())
        self._embedding = others[0] if others else None

    def features(self, auxiliary):
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h, w, F]; empty without an embedding."""
        if self._embedding is None:
            return []
        factor = self._factor
        return self._embedding(factor.scaled(auxiliary, factor.auxiliary_likelihood))

    def params(self, inputs):
        """The parameters of all pixels of `Inputs`, of which the condition is left out: float [B, H, W, P]."""
        x = self._factor.seen(inputs)
        return self.network(x, self.features(inputs.auxiliary))

    def decide_each_pixel(self, request, batch, decider, params=None):
        """Decides the pixels of a `PixelCNN`'s images in raster order, for a `DrawRequest`: int32 [B, H, W, C].

        `decider` is as in `scanning.groups`. Parameters are written to `params`, [B, H, W, P], if it is given.
        """
        factor, (height, width) = self._factor, request.size
        images = np.zeros((batch, height, width, factor.likelihood.num_channels), np.int32)
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
                found = scan.params(column)
                if params is not None:
                    params[:, row, column] = found
                bounds = here and here.bounds(column)
                pixel = decide(found, lambda x, column=column: x[:, column], bounds)
                images[:, row, column] = pixel
                center = here and here.center(column)
                scan.decided(column, factor.network_inputs(pixel, center))
                if here:
                    here.decided(column, pixel)
            scan.end_row()
            if of_row:
                _, state = of_row.after(images[:, row])
        return images


def _converted(part, how):
    prefix, _, _ = os.path.commonprefix([x.path for x in part.variables]).rpartition("/")
    weights = {
        x.path.removeprefix(f"{prefix}/"): ops.convert_to_numpy(x.value) for x in part.variables
    }
    return _KINDS[type(part)](part.get_config(), weights, how)
