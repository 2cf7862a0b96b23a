"""The paper's models: a few lines each over `building.chain`."""

from collections.abc import Sequence
from typing import Any

from pixelcnn_aux import arguments, rounded_factor
from pixelcnn_aux.annotations import Size
from pixelcnn_aux.auxiliary import Grayscale, HalfResolution
from pixelcnn_aux.auxiliary_model import AuxiliaryModel
from pixelcnn_aux.building import chain
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.networks import architectures

# What factors of a `parallel_pyramid` are called, whose images are halved once, twice, ...
_FRACTIONS = ("half", "quarter", "eighth", "sixteenth", "32nd", "64th", "128th", "256th")


def pixelcnn_pp(
    image_size: Size = (32, 32),
    filters: int = 160,
    blocks: int = 5,
    resolutions: int = 3,
    num_components: int = 10,
    dropout: float = 0.5,
    dtype: str | None = None,
    exact: bool = True,
    centered: bool = True,
    channels: int = 3,
    bits: int = 8,
    condition: Condition | None = None,
) -> AuxiliaryModel:
    """Plain PixelCNN++ (Salimans et al., 2017): a chain of one factor, "image".

    Args:
      image_size: (H, W), multiples of 2 ** (resolutions - 1).
      filters: int, the channels of both streams.
      blocks: int, gated blocks in each segment between resamplings.
      resolutions: int.
      num_components: int, logistics in the mixture.
      dropout: float, the rate in the blocks.
      dtype: str, of every float in the model.
      exact, centered: bool, as for `chain`. There is no auxiliary image here that they could be about.
      channels, bits: int, of the images, as for `chain`.
      condition: `conditions.Condition`, as for `chain`.
    """
    network = architectures.pixelcnn_pp(blocks, resolutions, filters, dropout)
    return chain(
        [],
        image_size,
        network,
        None,
        None,
        num_components,
        exact,
        centered,
        dtype,
        channels,
        bits,
        condition,
    )


def grayscale(
    image_size: Size = (32, 32),
    filters: int = 160,
    gray_blocks: int = 5,
    image_blocks: int = 3,
    embedding_blocks: int = 3,
    resolutions: int = 3,
    num_components: int = 10,
    dropout: float = 0.5,
    dtype: str | None = None,
    bits: int = 4,
    exact: bool = True,
    centered: bool = True,
    condition: Condition | None = None,
) -> AuxiliaryModel:
    """Grayscale PixelCNN (section 3.1): "grayscale", `bits` a pixel, then "image" given it.

    Args:
      gray_blocks, image_blocks, embedding_blocks: int, gated blocks in each segment between
        resamplings, of p(X_hat), of p(X | X_hat) and of f_w.
      image_size, filters, resolutions, num_components, dropout, dtype: as for `pixelcnn_pp`.
      bits: int, of a gray pixel.
      exact, centered: bool, as for `chain`: False for the paper's bound.
      condition: as for `pixelcnn_pp`.
    """
    _check_counts(
        gray_blocks=gray_blocks, image_blocks=image_blocks, embedding_blocks=embedding_blocks
    )
    grays, image, embedding = (
        architectures.pixelcnn_pp(blocks, resolutions, filters, dropout)
        for blocks in (gray_blocks, image_blocks, embedding_blocks)
    )
    return chain(
        [Grayscale(bits)],
        image_size,
        [grays, image],
        embedding,
        None,
        num_components,
        exact,
        centered,
        dtype,
        condition=condition,
    )


def pyramid(
    image_size: Size = (128, 128),
    base_size: Size = (8, 8),
    filters: int | Sequence[int] = 100,
    blocks: int | Sequence[int] = 3,
    embedding_blocks: int = 3,
    depth: int = 2,
    num_components: int = 10,
    dropout: float = 0.5,
    dtype: str | None = None,
    exact: bool = True,
    centered: bool = True,
    channels: int = 3,
    bits: int = 8,
    condition: Condition | None = None,
    resolutions: int | Sequence[int] = 1,
) -> AuxiliaryModel:
    """Pyramid PixelCNN (section 3.2): half-resolutions, each given the one before, the smallest first.

    The factors are named by their sizes, "8x8", "16x16", ... (height x width).

    Args:
      image_size: (H, W); halvings must take it to `base_size`.
      base_size: (H, W) of the first factor's image.
      filters: int, the channels of all streams. The same for every scale, or a list with one for each,
        the smallest first.
      blocks: int, gated blocks of p(x | x_hat), in each segment between resamplings; or a list likewise.
      embedding_blocks: int, gated blocks in a group of f_w, of which there are 2 `depth` + 1.
      depth: int, the resolutions of f_w below that of the image; `base_size` must be a multiple of
        2 ** (depth - 1).
      num_components, dropout, dtype: as for `pixelcnn_pp`.
      exact, centered: bool, as for `chain`: False for the paper's bound.
      channels, bits: int, of the images, as for `chain`.
      condition: as for `pixelcnn_pp`.
      resolutions: int, of p(x | x_hat), or a list with one for each scale: 1, as in the paper, for its light
        networks, or more for those of `pixelcnn_pp`, to which f_w goes down with them.
    """
    _check_counts(embedding_blocks=embedding_blocks, depth=depth)
    sizes = _halvings(image_size, base_size)
    each_filters = arguments.whole_each("filters", filters, len(sizes), "scale")
    each_blocks = arguments.whole_each("blocks", blocks, len(sizes), "scale")
    each_resolutions = arguments.whole_each("resolutions", resolutions, len(sizes), "scale")
    names = [_name(size) for size in reversed(sizes)]
    return chain(
        [HalfResolution() for _ in sizes[1:]],
        image_size,
        [
            architectures.of_scale(*scale, dropout)
            for scale in zip(each_blocks, each_resolutions, each_filters)
        ],
        [
            architectures.super_resolution(
                embedding_blocks, max(depth, levels - 1), channels, dropout, levels
            )
            for levels, channels in zip(each_resolutions, each_filters)
        ],
        names,
        num_components,
        exact,
        centered,
        dtype,
        channels,
        bits,
        condition,
    )


def parallel_pyramid(
    image_size: Size | None = None,
    halvings: int = 4,
    filters: int | Sequence[int] = 64,
    blocks: int | Sequence[int] = 3,
    trunk_blocks: int = 2,
    parts: Sequence[int] = (1, 1, 1, 1),
    base_filters: int = 32,
    base_blocks: int = 3,
    base_parts: int | None = None,
    num_components: int = 10,
    dropout: float = 0.0,
    dtype: str | None = None,
    exact: bool = True,
    centered: bool = True,
    channels: int = 3,
    bits: int = 8,
    condition: Condition | None = None,
    whole_numbers: bool = False,
) -> AuxiliaryModel:
    """A pyramid that decides a pixel of every block at once (Reed et al., 2017): four evaluations a scale.

    The smallest image, the base, is modeled pixel by pixel, as in `pyramid`, or in groups too. The factors
    are named by the sides of their images over those of the full one: "sixteenth", "eighth", "quarter",
    "half", "image".

    Args:
      image_size: (H, W) of the images; None for images of any size from 1 x 1.
      halvings: int, how often images are halved down to the base: half of an odd side is rounded up.
      filters: int, the channels of each network above the base; or a list with one for each, the smallest
        first.
      blocks: int, residual blocks of each group of pixels; or a list with one for each place of a block.
      trunk_blocks: int, residual blocks that see the auxiliary image, for all groups.
      parts: as for `networks.ParallelPixelCNN`.
      base_filters, base_blocks: int, of the base, as `filters` and `blocks` of `pyramid`.
      base_parts: int, into how many groups the pixels of the base are divided, by diagonals: then all of the
        chain is decided in groups. None for pixel by pixel.
      num_components, dropout, dtype, exact, centered, channels, bits, condition: as for `pyramid`.
      whole_numbers: bool, whether factors compute with whole numbers, as `RoundedFactor`. Such a model is
        trained on from the weights of one that does not.
    """
    halvings = arguments.whole("halvings", halvings, 1, len(_FRACTIONS))
    each_filters = arguments.whole_each("filters", filters, halvings, "scale")
    if base_parts is None:
        base: Any = architectures.light(base_blocks, base_filters, dropout)
    else:
        base = architectures.parallel(base_blocks, base_filters, dropout, [base_parts])
    model = chain(
        [HalfResolution() for _ in range(halvings)],
        image_size,
        [
            base,
            *(architectures.parallel(blocks, each, dropout, parts) for each in each_filters),
        ],
        [None, *(architectures.trunk(trunk_blocks, each, dropout) for each in each_filters)],
        [*reversed(_FRACTIONS[:halvings]), "image"],
        num_components,
        exact,
        centered,
        dtype,
        channels,
        bits,
        condition,
    )
    if arguments.flag("whole_numbers", whole_numbers):
        return rounded_factor.untrained(model)
    return model


def grayscale_pyramid(
    image_size: Size = (32, 32),
    base_size: Size = (8, 8),
    filters: int = 100,
    blocks: int = 3,
    embedding_blocks: int = 3,
    depth: int = 2,
    image_filters: int = 160,
    image_blocks: int = 3,
    image_embedding_blocks: int = 3,
    resolutions: int = 3,
    num_components: int = 10,
    dropout: float = 0.5,
    dtype: str | None = None,
    bits: int = 4,
    exact: bool = True,
    centered: bool = True,
    condition: Condition | None = None,
) -> AuxiliaryModel:
    """The combination that the paper leaves as future work: a pyramid of grays, then the colors.

    The factors are "grayscale_8x8", "grayscale_16x16", ..., "grayscale" of the full size, and "image".

    Args:
      image_size, base_size, filters, blocks, embedding_blocks, depth: of the grays, as for `pyramid`.
      image_filters, image_blocks, image_embedding_blocks, resolutions, num_components: of the image given
        the grays, as `filters`, `image_blocks`, ... of `grayscale`.
      dropout, dtype, bits, exact, centered, condition: as for `grayscale`.
    """
    _check_counts(
        embedding_blocks=embedding_blocks,
        image_filters=image_filters,
        image_blocks=image_blocks,
        image_embedding_blocks=image_embedding_blocks,
    )
    _, *smaller = _halvings(image_size, base_size)
    image, embedding = (
        architectures.pixelcnn_pp(n, resolutions, image_filters, dropout)
        for n in (image_blocks, image_embedding_blocks)
    )
    grays = architectures.light(blocks, filters, dropout)
    doubling = architectures.super_resolution(embedding_blocks, depth, filters, dropout)
    names = [f"grayscale_{_name(size)}" for size in reversed(smaller)]
    return chain(
        [Grayscale(bits), *(HalfResolution() for _ in smaller)],
        image_size,
        [*(grays for _ in smaller), grays, image],
        [None, *(doubling for _ in smaller), embedding],
        [*names, "grayscale", "image"],
        num_components,
        exact,
        centered,
        dtype,
        condition=condition,
    )


def _check_counts(**counts):
    """Raises ValueError for a count out of range, under the name that its constructor has for it."""
    for name, count in counts.items():
        arguments.whole(name, count)


def _name(size):
    return f"{size[0]}x{size[1]}"


def _halvings(image_size, base_size):
    """The (H, W) of a pyramid's images from the full one down to the base."""
    base_size = arguments.size("base_size", base_size)
    sizes = [arguments.size("image_size", image_size)]
    while sizes[-1] != base_size:
        height, width = sizes[-1]
        if height <= base_size[0] or height % 2 or width % 2:
            raise ValueError(
                "Expected an image size that halvings take to the base size. "
                f"Received: image_size={sizes[0]}, base_size={base_size}. "
                "Choose a base size times a power of two."
            )
        sizes.append((height // 2, width // 2))
    return sizes
