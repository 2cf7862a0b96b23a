"""The paper's networks, as the arguments of `PixelCNN` and of `Embedding`; and networks made of arguments."""

import functools
from collections.abc import Callable, Sequence

from pixelcnn_aux.arguments import Config
from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.embedding import Embedding
from pixelcnn_aux.networks.network import Network
from pixelcnn_aux.networks.parallel import ParallelPixelCNN
from pixelcnn_aux.networks.pixelcnn import PixelCNN


def pixelcnn_pp(blocks: int, resolutions: int, filters: int, dropout: float) -> Config:
    """PixelCNN++ (Salimans et al., 2017), of Grayscale PixelCNN: dict; see `topology.pixelcnn_pp`."""
    shape = topology.pixelcnn_pp(blocks, resolutions)
    return {"topology": shape, "filters": filters, "dropout": dropout}


def light(blocks: int, filters: int, dropout: float) -> Config:
    """Pyramid PixelCNN's network of each scale (section 4.2), with the kernels of the authors' code: dict."""
    shape, kernel = topology.flat(blocks), (3, 3)
    kernels = {"vertical_kernel": kernel, "horizontal_kernel": kernel}
    return {"topology": shape, "filters": filters, "dropout": dropout, **kernels}


def of_scale(blocks: int, resolutions: int, filters: int, dropout: float) -> Config:
    """A network of a scale of a pyramid: `light`, or `pixelcnn_pp` for several resolutions: dict."""
    if resolutions == 1:
        return light(blocks, filters, dropout)
    return pixelcnn_pp(blocks, resolutions, filters, dropout)


def super_resolution(
    blocks: int, depth: int, filters: int, dropout: float, resolutions: int = 1
) -> Config:
    """Pyramid PixelCNN's embedding (section 4.2): dict; see `topology.super_resolution`."""
    shape = topology.super_resolution(blocks, depth, resolutions)
    return {"topology": shape, "filters": filters, "dropout": dropout}


def parallel(
    blocks: int | Sequence[int], filters: int, dropout: float, parts: Sequence[int] = (1, 1, 1, 1)
) -> Callable[..., Network]:
    """A `ParallelPixelCNN`, for images of twice their auxiliary image: a function, as `network` takes."""
    return functools.partial(
        ParallelPixelCNN, blocks=blocks, filters=filters, parts=parts, dropout=dropout
    )


def trunk(blocks: int, filters: int, dropout: float) -> Config:
    """The embedding of a `parallel` network, at the resolution of the auxiliary image: dict."""
    shape = topology.flat(blocks)
    return {"topology": shape, "filters": filters, "dropout": dropout, "gated": False}


def network(
    arguments: Config | Callable[..., Network], num_params: int, dtype: str | None = None
) -> Network:
    """A `Network`.

    Args:
      arguments: dict, of `PixelCNN` but for `num_params` and `dtype`; or a function of these two that returns
        another `Network`.
      num_params: int, the channels that it puts out.
      dtype: str, as for `chain`.
    """
    if callable(arguments):
        return arguments(num_params=num_params, dtype=dtype)
    return PixelCNN(num_params=num_params, dtype=dtype, **arguments)


def embedding(arguments: Config, dtype: str | None = None) -> Embedding:
    """An `Embedding` of a dict of its arguments but for `dtype`."""
    return Embedding(dtype=dtype, **arguments)
