"""The paper's models: a few lines each over `chain`."""

import functools

from pixelcnn_aux.chain import chain


def _pixelcnn_pp(blocks, resolutions, filters, dropout):
    shape = ["pixelcnn_pp", {"blocks": blocks, "resolutions": resolutions}]
    return {"topology": shape, "filters": filters, "dropout": dropout}


def _rgb(num_components, network, **conditioning):
    """The description of a stage of color images, of the full size unless it is given another name."""
    likelihood = ["LogisticMixture", {"num_components": num_components}]
    return {"name": "image", "likelihood": likelihood, "network": network, **conditioning}


def _colored(num_components, network, embedding):
    """The description of the stage of full images given their grays."""
    return _rgb(num_components, network, embedding=embedding, psi=["Grayscale", {"bits": 4}])


def _grays(network, **conditioning):
    """The description of a stage of 4-bit grays, likewise."""
    likelihood = ["Categorical", {"num_values": 16}]
    return {"name": "grayscale", "likelihood": likelihood, "network": network, **conditioning}


def _light(blocks, filters, dropout):
    """Pyramid PixelCNN's network of each scale (section 4.2)."""
    kernels = {"vertical_kernel": [3, 3], "horizontal_kernel": [3, 3]}
    shape = ["flat", {"blocks": blocks}]
    return {"topology": shape, "filters": filters, "dropout": dropout, **kernels}


def _super_resolution(blocks, depth, filters, dropout):
    shape = ["super_resolution", {"blocks": blocks, "depth": depth}]
    return {"topology": shape, "filters": filters, "dropout": dropout}


def _scales(stage, image_size, base_size, network, embedding):
    """The descriptions of a pyramid's stages, the base first, and each one's (H, W).

    Args:
      stage: function of a stage's network and conditioning to its description.
      image_size, base_size: (H, W).
      network, embedding: descriptions of all scales' networks.
    """
    sizes = [tuple(image_size)]
    while sizes[-1] != tuple(base_size):
        height, width = sizes[-1]
        if height <= base_size[0] or height % 2 or width % 2:
            raise ValueError(
                "Expected an image size that halvings take to the base size. "
                f"Received: image_size={tuple(image_size)}, base_size={tuple(base_size)}"
            )
        sizes.append((height // 2, width // 2))
    given = {"embedding": embedding, "psi": ["HalfResolution", {}]}
    stages = [stage(network, **(given if position else {})) for position in range(len(sizes))]
    return stages, sizes[::-1]


def pixelcnn_pp(
    image_size=(32, 32),
    filters=160,
    blocks=5,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
):
    """Plain PixelCNN++ (Salimans et al., 2017): a chain of one factor, "image".

    Args:
      image_size: (H, W), multiples of 2 ** (resolutions - 1).
      filters: int, the channels of both streams.
      blocks: int, gated blocks in each segment between resamplings.
      resolutions: int.
      num_components: int, logistics in the mixture.
      dropout: float, the rate in the blocks.
      dtype: str, of every float in the model.
    """
    image = _rgb(num_components, _pixelcnn_pp(blocks, resolutions, filters, dropout))
    return chain([image], image_size, dtype)


def grayscale(
    image_size=(32, 32),
    filters=160,
    gray_blocks=5,
    image_blocks=3,
    embedding_blocks=3,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
):
    """Grayscale PixelCNN (section 3.1): "grayscale", 4 bits a pixel, then "image" given it.

    Args:
      gray_blocks, image_blocks, embedding_blocks: int, gated blocks in each segment between
        resamplings, of p(X_hat), of p(X | X_hat) and of f_w.
      image_size, filters, resolutions, num_components, dropout, dtype: as for `pixelcnn_pp`.
    """
    grays = _grays(_pixelcnn_pp(gray_blocks, resolutions, filters, dropout))
    image = _colored(
        num_components,
        _pixelcnn_pp(image_blocks, resolutions, filters, dropout),
        _pixelcnn_pp(embedding_blocks, resolutions, filters, dropout),
    )
    return chain([grays, image], image_size, dtype)


def pyramid(
    image_size=(128, 128),
    base_size=(8, 8),
    filters=100,
    blocks=3,
    embedding_blocks=3,
    depth=2,
    num_components=10,
    dropout=0.5,
    dtype=None,
):
    """Pyramid PixelCNN (section 3.2): half-resolutions, each given the one before, the smallest first.

    The factors are named by their sizes, "8x8", "16x16", ... (height x width).

    Args:
      image_size: (H, W); halvings must take it to `base_size`.
      base_size: (H, W) of the first factor's image.
      filters: int, the channels of all streams.
      blocks: int, gated blocks of p(x | x_hat), all at one resolution.
      embedding_blocks: int, gated blocks in a group of f_w, of which there are 2 `depth` + 1.
      depth: int, the resolutions of f_w below that of the image; `base_size` must be a multiple of
        2 ** (depth - 1).
      num_components, dropout, dtype: as for `pixelcnn_pp`.
    """
    stages, sizes = _scales(
        functools.partial(_rgb, num_components),
        image_size,
        base_size,
        _light(blocks, filters, dropout),
        _super_resolution(embedding_blocks, depth, filters, dropout),
    )
    named = [{**stage, "name": f"{h}x{w}"} for stage, (h, w) in zip(stages, sizes)]
    return chain(named, image_size, dtype)


def grayscale_pyramid(
    image_size=(32, 32),
    base_size=(8, 8),
    filters=100,
    blocks=3,
    embedding_blocks=3,
    depth=2,
    image_filters=160,
    image_blocks=3,
    image_embedding_blocks=3,
    resolutions=3,
    num_components=10,
    dropout=0.5,
    dtype=None,
):
    """The combination that the paper leaves as future work: a pyramid of 4-bit grays, then the colors.

    The factors are "grayscale_8x8", "grayscale_16x16", ..., "grayscale" of the full size, and "image".

    Args:
      image_size, base_size, filters, blocks, embedding_blocks, depth: of the grays, as for `pyramid`.
      image_filters, image_blocks, image_embedding_blocks, resolutions, num_components: of the image given
        the grays, as `filters`, `image_blocks`, ... of `grayscale`.
      dropout, dtype: as for `pixelcnn_pp`.
    """
    stages, sizes = _scales(
        _grays,
        image_size,
        base_size,
        _light(blocks, filters, dropout),
        _super_resolution(embedding_blocks, depth, filters, dropout),
    )
    smaller = [{**stage, "name": f"grayscale_{h}x{w}"} for stage, (h, w) in zip(stages[:-1], sizes)]
    image = _colored(
        num_components,
        _pixelcnn_pp(image_blocks, resolutions, image_filters, dropout),
        _pixelcnn_pp(image_embedding_blocks, resolutions, image_filters, dropout),
    )
    return chain([*smaller, stages[-1], image], image_size, dtype)
