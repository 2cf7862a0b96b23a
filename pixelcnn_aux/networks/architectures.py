"""The paper's networks, as the arguments of `PixelCNN` and of `Embedding`."""

import functools
from collections.abc import Callable, Sequence

from pixelcnn_aux.base.arguments import Config
from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.masked import MaskedPixelCNN
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.parallel import ParallelPixelCNN


def pixelcnn_pp(blocks: int, resolutions: int, *, filters: int, dropout: float) -> Config:
    """PixelCNN++ (Salimans et al., 2017), of Grayscale PixelCNN: see `topology.pixelcnn_pp`."""
    shape = topology.pixelcnn_pp(blocks, resolutions)
    return {"topology": shape, "filters": filters, "dropout": dropout}


def light(blocks: int, *, filters: int, dropout: float) -> Config:
    """Pyramid PixelCNN's network of each scale (section 4.2), with the kernels of the authors' code."""
    kernels = {"vertical_kernel": (3, 3), "horizontal_kernel": (3, 3)}
    return {"topology": topology.flat(blocks), "filters": filters, "dropout": dropout, **kernels}


def super_resolution(
    blocks: int, depth: int, resolutions: int = 1, *, filters: int, dropout: float
) -> Config:
    """Pyramid PixelCNN's embedding (section 4.2): see `topology.super_resolution`."""
    shape = topology.super_resolution(blocks, depth, resolutions)
    return {"topology": shape, "filters": filters, "dropout": dropout}


def parallel(
    blocks: int | Sequence[int], parts: Sequence[int], *, filters: int, dropout: float
) -> Callable[..., Network]:
    """A function that makes a `ParallelPixelCNN`, for images of twice their auxiliary image."""
    return functools.partial(
        ParallelPixelCNN, blocks=blocks, filters=filters, parts=parts, dropout=dropout
    )


def masked(blocks: int, *, filters: int, dropout: float) -> Callable[..., Network]:
    """A function that makes a `MaskedPixelCNN`, for images of twice their auxiliary image."""
    return functools.partial(MaskedPixelCNN, blocks=blocks, filters=filters, dropout=dropout)


def trunk(blocks: int, *, filters: int, dropout: float) -> Config:
    """The embedding of a `parallel` or `masked` network, at the resolution of the auxiliary image."""
    shape = topology.flat(blocks)
    return {"topology": shape, "filters": filters, "dropout": dropout, "gated": False}
