"""Networks as arguments of models: of `PixelCNN` and `Embedding` (the paper's), and of lighter networks."""

import functools
from collections.abc import Callable, Sequence

from pixelcnn_aux.base.arguments import Config
from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.masked import MaskedPixelCNN
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.parallel import ParallelPixelCNN


def pixelcnn_pp(blocks: int, resolutions: int, *, filters: int, dropout: float) -> Config:
    """PixelCNN++ (Salimans et al., 2017), the network of Grayscale PixelCNN."""
    steps = topology.pixelcnn_pp(blocks, resolutions)
    return {"topology": steps, "filters": filters, "dropout": dropout}


def light(blocks: int, *, filters: int, dropout: float) -> Config:
    """The network of each scale of Pyramid PixelCNN (section 4.2), with the kernels of the authors' code."""
    kernels = {"vertical_kernel": (3, 3), "horizontal_kernel": (3, 3)}
    return {"topology": topology.flat(blocks), "filters": filters, "dropout": dropout, **kernels}


def super_resolution(
    blocks: int, depth: int, resolutions: int = 1, *, filters: int, dropout: float
) -> Config:
    """The embedding of Pyramid PixelCNN (section 4.2)."""
    steps = topology.super_resolution(blocks, depth, resolutions)
    return {"topology": steps, "filters": filters, "dropout": dropout}


def parallel(
    blocks: int | Sequence[int], parts: Sequence[int], *, filters: int, dropout: float
) -> Callable[..., Network]:
    """A `ParallelPixelCNN`, for auxiliary images of half the size, without its `num_params`."""
    return functools.partial(
        ParallelPixelCNN, blocks=blocks, filters=filters, parts=parts, dropout=dropout
    )


def masked(blocks: int, *, filters: int, dropout: float) -> Callable[..., Network]:
    """A `MaskedPixelCNN`, for auxiliary images of half the size, without its `num_params`."""
    return functools.partial(MaskedPixelCNN, blocks=blocks, filters=filters, dropout=dropout)


def trunk(blocks: int, *, filters: int, dropout: float, differences: bool = False) -> Config:
    """The embedding of a `parallel` or `masked` network, at the resolution of the auxiliary image."""
    steps = topology.flat(blocks)
    options = {"gated": False, "differences": differences}
    return {"topology": steps, "filters": filters, "dropout": dropout, **options}
