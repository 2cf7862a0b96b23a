"""Every hyper-parameter of a training run, by name: the paper's own runs, and smaller ones."""

from collections.abc import Callable
from typing import NamedTuple

from pixelcnn_aux import models
from pixelcnn_aux.training import Training


class Preset(NamedTuple):
    """A data set, a model's constructor and its arguments, and each factor's training."""

    dataset: str
    constructor: Callable
    model: dict
    training: dict[str, Training]


# What the auxiliary image says is not left to be learned. Embeddings of pyramids that see no further than a
# few pixels of it do as well then as deeper ones, in steps that take less time.
_OURS = {"exact": True, "centered": True}
_OUR_PYRAMID = {"embedding_blocks": 1, "depth": 1}

# The photographs in an installed package, in minutes on two CPU cores: too few steps for dropout, which keeps
# embeddings from passing on anything for a long time.
_DEMO_PYRAMID = {**_OURS, **_OUR_PYRAMID, "filters": 24, "dropout": 0.0}

# One to three hours on two CPU cores: a few epochs at most, in which nothing overfits, so no dropout.
_SMALL = {**_OURS, "filters": 32, "dropout": 0.0}
# In the demo too, so that it can go on from the weights of the model of the package.
_GRAYSCALE_BLOCKS = {"gray_blocks": 2, "image_blocks": 2, "embedding_blocks": 1}

# Section 4.1: "the same hyperparameters as in (Salimans et al., 2017)", that is 160 filters, 10
# components and three resolutions; dropout 0.5 is section 3.3's.
_CIFAR10 = {"filters": 160, "resolutions": 3, "num_components": 10, "dropout": 0.5}


def _paper(epochs):
    """Section 4.1: learning rate 0.001, batch size 64, decay 0.99999 after each iteration; flips.

    As many steps as the paper's, whose epochs have the 1,000 images that are kept for validation here.
    """
    return Training(epochs, 50_000 // 64, 64, 1e-3, 0.99999)


GRAYSCALE = {
    "demo": Preset(
        "photos",
        models.grayscale,
        {**_SMALL, **_GRAYSCALE_BLOCKS},
        {
            "grayscale": Training(6, 100, 16, 2e-3),
            "image": Training(10, 100, 8, 2e-3),
        },
    ),
    "small": Preset(
        "cifar10",
        models.grayscale,
        {**_SMALL, **_GRAYSCALE_BLOCKS},
        {
            "grayscale": Training(5, 500, 16, 2e-3),
            "image": Training(24, 500, 8, 2e-3),
        },
    ),
    # 36 residual blocks for the gray factor and 24 for the image's and for f_w; 30 and 200 epochs.
    "cifar10": Preset(
        "cifar10",
        models.grayscale,
        {**_CIFAR10, "gray_blocks": 5, "image_blocks": 3, "embedding_blocks": 3},
        {"grayscale": _paper(epochs=30), "image": _paper(epochs=200)},
    ),
}

PIXELCNN = {
    "demo": Preset(
        "photos",
        models.pixelcnn_pp,
        {**_OURS, "resolutions": 2, "filters": 24, "dropout": 0.5, "blocks": 1},
        {"image": Training(12, 100, 16, 2e-3)},
    ),
    "small": Preset(
        "cifar10",
        models.pixelcnn_pp,
        {**_SMALL, "blocks": 2},
        {"image": Training(29, 500, 16, 2e-3)},
    ),
    # Twice the filters, half the batch: under two hours on two cores with AMX.
    "medium": Preset(
        "cifar10",
        models.pixelcnn_pp,
        {**_SMALL, "blocks": 2, "filters": 64},
        {"image": Training(15, 1000, 8, 1.5e-3)},
    ),
    # PixelCNN++ with the paper's optimization, 36 residual blocks.
    "cifar10": Preset(
        "cifar10", models.pixelcnn_pp, {**_CIFAR10, "blocks": 5}, {"image": _paper(epochs=200)}
    ),
}

# Section 4.2: 100 filters, 3 blocks under an embedding of 15.
_PYRAMID = {"filters": 100, "blocks": 3, "embedding_blocks": 3, "depth": 2, "dropout": 0.5}


def _paper_pyramid(num_images, *factors):
    """Section 4.2: learning rate 0.001, batch size 16, decay 0.999995, 60 epochs; it mentions no flips."""
    training = Training(60, num_images // 16, 16, 1e-3, 0.999995, flip=False)
    return dict.fromkeys(factors, training)


PYRAMID = {
    "demo": Preset(
        "photos",
        models.pyramid,
        {"image_size": (32, 32), **_DEMO_PYRAMID},
        {
            "8x8": Training(5, 200, 16, 2e-3),
            "16x16": Training(10, 200, 8, 2e-3),
            "32x32": Training(12, 200, 8, 2e-3),
        },
    ),
    "small": Preset(
        "cifar10",
        models.pyramid,
        {"image_size": (32, 32), **_SMALL, **_OUR_PYRAMID},
        {
            "8x8": Training(6, 1000, 16, 2e-3),
            "16x16": Training(12, 1000, 8, 2e-3),
            "32x32": Training(36, 1000, 4, 2e-3),
        },
    ),
    # Larger networks, at twice the learning rate, for the scales that have nine tenths of the bits.
    "medium": Preset(
        "cifar10",
        models.pyramid,
        {
            "image_size": (32, 32),
            **_SMALL,
            **_OUR_PYRAMID,
            "filters": [32, 48, 48],
            "blocks": [3, 5, 5],
        },
        {
            "8x8": Training(6, 1000, 16, 2e-3),
            "16x16": Training(12, 1000, 8, 4e-3),
            "32x32": Training(64, 1000, 4, 4e-3),
        },
    ),
    "small_celeba": Preset(
        "celeb_a",
        models.pyramid,
        {"image_size": (64, 64), **_SMALL, **_OUR_PYRAMID},
        {
            "8x8": Training(4, 500, 16, 2e-3),
            "16x16": Training(4, 500, 16, 2e-3),
            "32x32": Training(8, 500, 8, 2e-3),
            "64x64": Training(24, 250, 4, 2e-3),
        },
    ),
    "cifar10": Preset(
        "cifar10",
        models.pyramid,
        {"image_size": (32, 32), **_PYRAMID},
        _paper_pyramid(50_000, "8x8", "16x16", "32x32"),
    ),
    # 95 % of CelebA's 202,599 images.
    "celeba": Preset(
        "celeb_a",
        models.pyramid,
        {"image_size": (128, 128), **_PYRAMID},
        _paper_pyramid(192_469, "8x8", "16x16", "32x32", "64x64", "128x128"),
    ),
    # Future work of the paper: the grays as its pyramid, and the image as its Grayscale PixelCNN's.
    "grayscale_pyramid": Preset(
        "cifar10",
        models.grayscale_pyramid,
        {
            **_OURS,
            "image_size": (32, 32),
            **_PYRAMID,
            "image_filters": 160,
            "image_blocks": 3,
            "image_embedding_blocks": 3,
            "resolutions": 3,
            "num_components": 10,
        },
        {
            **_paper_pyramid(50_000, "grayscale_8x8", "grayscale_16x16", "grayscale"),
            "image": _paper(epochs=200),
        },
    ),
    "grayscale_pyramid_demo": Preset(
        "photos",
        models.grayscale_pyramid,
        {
            **_DEMO_PYRAMID,
            "image_filters": 24,
            "image_blocks": 1,
            "image_embedding_blocks": 1,
            "resolutions": 2,
        },
        {
            "grayscale_8x8": Training(5, 200, 16, 2e-3),
            "grayscale_16x16": Training(5, 200, 8, 2e-3),
            "grayscale": Training(5, 200, 8, 2e-3),
            "image": Training(12, 100, 16, 2e-3),
        },
    ),
}

BY_MODEL = {"grayscale": GRAYSCALE, "pyramid": PYRAMID, "pixelcnn": PIXELCNN}


def find(model, name):
    """A preset of a training program, by what follows `train.` and by its name.

    Raises ValueError for an unknown name.
    """
    if name not in BY_MODEL[model]:
        raise ValueError(
            f"Expected --preset {', '.join(BY_MODEL[model])} for --model {model}. Received: {name}. "
            "Choose one of them, or another --model."
        )
    return BY_MODEL[model][name]
