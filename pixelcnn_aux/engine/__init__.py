"""Factors in NumPy: nothing to trace, and the same under TensorFlow and JAX.

`Evaluation` has the networks of a factor (`networks`), which are evaluated whole, pixel by pixel (`raster`)
or group by group (`groups`).
"""

import functools
import math
import os

import numpy as np
import threadpoolctl
from keras import ops

from pixelcnn_aux import arguments, networks as kinds
from pixelcnn_aux.engine import layers, networks
from pixelcnn_aux.engine.groups import TileScan
from pixelcnn_aux.engine.raster import RasterScan
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.networks import DecidesGroups
from pixelcnn_aux.sums import Remainders

_KINDS = {
    kinds.PixelCNN: networks.PixelCNN,
    kinds.ParallelPixelCNN: networks.ParallelPixelCNN,
    kinds.Embedding: networks.Embedding,
}
# Pixels that are evaluated at once: the activations of so many stay in a processor's cache.
_CACHED = 2**12


@functools.cache
def _pools():
    return threadpoolctl.ThreadpoolController()


def _by_own_threads(method):
    """A method that computes in NumPy: exponentials may overflow, and BLAS has no threads of its own.

    Those wait for each other by computing: beside other programs, products would take ten times as long.
    """

    @functools.wraps(method)
    def call(*args):
        with np.errstate(all="ignore"), _pools().limit(limits=1, user_api="blas"):
            return method(*args)

    return call


def supports(factor):
    """Whether a `Factor` can be evaluated in NumPy: one of this package's networks, of one precision."""
    known = all(type(part) in _KINDS for part in factor.parts())
    return known and factor.compute_dtype == factor.variable_dtype


class Evaluation:
    """The networks of a `Factor` in NumPy, with its weights of now; `supports` says of which factors."""

    def __init__(self, factor):
        self.factor, self._conditional = factor, []
        self.network, *others = map(self._converted, factor.parts())
        self._embedding = others[0] if others else None

    def _converted(self, part):
        prefix, _, _ = os.path.commonprefix([x.path for x in part.weights]).rpartition("/")
        found = {
            x.path.removeprefix(f"{prefix}/"): np.asarray(ops.convert_to_tensor(x))
            for x in part.weights
        }
        weights = layers.Weights(found, self.factor.rounded, self._conditional)
        return _KINDS[type(part)](part.get_config(), weights)

    def given(self, condition):
        """This evaluation, of images that have a condition, [B, ...] as in `Inputs`; None for none."""
        if condition is not None:
            encoded = self.factor.condition.encode(np.asarray(condition))
            for layer in self._conditional:
                layer.give(encoded)
        return self

    @_by_own_threads
    def features(self, auxiliary):
        """f_w(x_hat): uint8 [B, h, w, c] -> list of float [B, h, w, F]; empty without an embedding."""
        if self._embedding is None:
            return []
        kind = self.factor.auxiliary_likelihood
        return self._embedding(self.factor.scaled(np.asarray(auxiliary), kind))

    @_by_own_threads
    def params(self, inputs):
        """The parameters of all pixels of `Inputs`: float [B, H, W, P]."""
        count, height, width, _ = inputs.images.shape
        at_once, parts = max(1, _CACHED // (height * width)), []
        for first in range(0, max(count, 1), at_once):
            some = Inputs(*(x if x is None else x[first : first + at_once] for x in inputs))
            features = self.given(some.condition).features(some.auxiliary)
            parts.append(self.network(self.factor.seen(some), features))
        return np.concatenate(parts)

    def known_at_first(self, ones, auxiliary):
        """`ParallelPixelCNN.known_at_first` of a tile: `ones` is [B, h, w, 1], of its blocks."""
        return self.network.known_at_first(ones.shape[:3], self.features(auxiliary))

    @_by_own_threads
    def group_params(self, k, known):
        """`ParallelPixelCNN.group_params` of a tile."""
        return self.network.group_params(k, known)

    @_by_own_threads
    def decide_each_pixel(self, request, decider, batch):
        """Decides the pixels of B images by a decider, as in `scanning.groups`: uint8 [B, H, W, C]."""
        if isinstance(self.network, DecidesGroups):
            scan = TileScan(self, request, batch, batch * math.prod(request.size))
            return scan.decide_tiles(decider)
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
            here = remainders and remainders.row(row, state)
            decide = decider(lambda x, row=row: x[:, row])
            for column in range(width):

                def pick(x, column=column):
                    return x[:, column]

                pixel = decide(scan.params(column), pick, here and here.bounds(column, column))
                images[:, row, column] = pixel
                scan.decided(column, factor.network_inputs(pixel, here and here.center(column)))
                if here:
                    here.decided(column, pixel)
            scan.end_row()
            if here:
                _, state = here.after(images[:, row])
        return images
