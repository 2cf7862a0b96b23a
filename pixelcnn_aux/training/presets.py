"""Presets: all hyper-parameters of the paper's training runs, and of smaller ones, by name.

The comment above each preset gives its command, its training time, and the bits per dimension that it reached
on the whole test split (docs/results.md), as `evaluate.bpd` reports them: exact ones for exact models. Times
are on two CPU cores unless stated otherwise. The paper's own runs, "not trained to the end here", take GPUs:
docs/scaling.md.
"""

import functools

from pixelcnn_aux import models
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.training.config import Preset, Training

# The paper's likelihood is a bound, and the network has to learn what the auxiliary image implies.
_PAPER = {"exact": False, "centered": False}

# An exact and centered pyramid does as well, in less time, with an embedding that sees only a few pixels.
_OUR_PYRAMID = {"embedding_blocks": 1, "depth": 1}

# For the installed photographs: too few steps for dropout, under which embeddings take long to contribute.
_DEMO_PYRAMID = {**_OUR_PYRAMID, "filters": 24, "dropout": 0.0}

# No dropout: a few epochs do not overfit.
_SMALL = {"filters": 32, "dropout": 0.0}
_SMALL_PYRAMID = {"image_size": (32, 32), **_SMALL, **_OUR_PYRAMID}
_SMALL_GRAYSCALE = {**_SMALL, "gray_blocks": 2, "image_blocks": 2, "embedding_blocks": 1}

# 28 x 28 grayscale images with classes, as in MNIST; few, hence dropout.
_DIGITS = {"image_size": (28, 28), "channels": 1, "condition": Classes(10), "dropout": 0.3}

# Photographs, whose larger images are drawn along diagonals. Five components take half the time of ten.
_FAST = {"base_parts": 8}
_MASKED = {**_FAST, "masked": 3, "num_components": 5}
# Steps per epoch, batch size, and side of the crops in pixels of the full image.
_SQUARES = {
    "sixteenth": (500, 16, 240),
    "eighth": (500, 8, 240),
    "quarter": (1000, 4, 240),
    "half": (1000, 4, 128),
    "image": (1000, 4, 64),
}

# Scans of one channel, in whole numbers from the first step: fine-tuning floats took longer, and more bits.
# Few components and small squares save time; x_hat, which is known as a whole, has a deep network.
_SCANS = {**_FAST, "channels": 1, "bits": 12, "whole_numbers": True}
_SCANS |= {"halvings": 3, "filters": 32, "num_components": 3}
_SCANS |= {"masked": 3, "masked_blocks": 3, "trunk_blocks": 4}
_SCAN_SQUARES = {
    "eighth": (1000, 16, 128),
    "quarter": (1000, 8, 128),
    "half": (1000, 8, 64),
    "image": (1000, 8, 32),
}

# Section 4.1: "the same hyperparameters as in (Salimans et al., 2017)": 160 filters, 10 components and three
# resolutions. Section 3.3: dropout 0.5.
_CIFAR10 = {"filters": 160, "resolutions": 3, "num_components": 10, "dropout": 0.5}

# Section 4.2: 100 filters, 3 blocks under an embedding of 15.
_PYRAMID = {"filters": 100, "blocks": 3, "embedding_blocks": 3, "depth": 2, "dropout": 0.5}

_grayscale = functools.partial(Preset, constructor=models.grayscale)
_gray_pyramid = functools.partial(Preset, constructor=models.grayscale_pyramid)
_parallel = functools.partial(Preset, constructor=models.parallel_pyramid)
_pixelcnn = functools.partial(Preset, constructor=models.pixelcnn_pp)
_pyramid = functools.partial(Preset, constructor=models.pyramid)


def _ours(epochs, steps, batch_size, learning_rate=4e-3, **options):
    options |= {"learning_rate": learning_rate, "muon_ratio": 12.5}
    return Training(epochs=epochs, steps_per_epoch=steps, batch_size=batch_size, **options)


def _each(names, *settings, **options):
    return {name: _ours(*each, **options) for name, each in zip(names.split(), settings)}


def _photographs(epochs, model, squares=_SQUARES, rounded=False, **options):
    """Preset with the given epochs for each of `squares`.

    If `rounded`, fine-tunes trained weights in whole numbers, at a quarter of the learning rates.
    """
    training = {}
    for count, (name, (steps, batch_size, crop)) in zip(epochs, squares.items()):
        schedule = (300, 4, 1e-3) if rounded else (steps, batch_size)
        training[name] = _ours(count, *schedule, crop=crop, **options)
    model = {**model, "whole_numbers": True} if rounded else model
    return _parallel(dataset="folder", model=model, training=training)


def _paper(epochs):
    """Section 4.1: learning rate 0.001, batch size 64, decay 0.99999 after each iteration; flips.

    As many steps as the paper, whose epochs include the 1,000 images that are held out for validation here.
    """
    options = {"learning_rate": 1e-3, "decay": 0.99999}
    return Training(epochs=epochs, steps_per_epoch=50_000 // 64, batch_size=64, **options)


def _paper_pyramid(num_images, *factors):
    """Section 4.2: learning rate 0.001, batch size 16, decay 0.999995, 60 epochs; it mentions no flips."""
    options = {"learning_rate": 1e-3, "decay": 0.999995, "flip": False}
    training = Training(epochs=60, steps_per_epoch=num_images // 16, batch_size=16, **options)
    return dict.fromkeys(factors, training)


GRAYSCALE = {
    # python -m train.grayscale
    # Minutes in mixed precision: 3.068 bits (grays 0.276, image 2.792).
    "demo": _grayscale(
        dataset="photos",
        model=_SMALL_GRAYSCALE,
        training={"grayscale": _ours(3, 100, 16), "image": _ours(5, 100, 8)},
    ),
    # python -m train.grayscale --preset small
    # 96 minutes in mixed precision, of one core and later two: 3.204 bits (grays 0.476, image 2.729).
    "small": _grayscale(
        dataset="cifar10",
        model=_SMALL_GRAYSCALE,
        training={"grayscale": _ours(5, 500, 16), "image": _ours(24, 500, 8)},
    ),
    # python -m train.grayscale --preset medium --classes 10
    # 9.3 hours of one core in mixed precision: 3.069 bits (grays 0.464, image 2.605).
    "medium": _grayscale(
        dataset="cifar10",
        model={**_SMALL_GRAYSCALE, "filters": 48},
        training=_each("grayscale image", (52, 500, 16), (48, 1000, 8), condition_dropout=0.2),
    ),
    # python -m train.grayscale --preset large --classes 10 --factor image --init RUN
    # Widens the networks of colors of a run of `medium`: 3.010 bits (grays 0.464, image 2.547), after
    # 7 more hours of two cores in mixed precision (docs/results.md).
    "large": _grayscale(
        dataset="cifar10",
        model={**_SMALL_GRAYSCALE, "filters": [48, 80, 80]},
        training={
            "grayscale": _ours(52, 500, 16, condition_dropout=0.2),
            "image": _ours(23, 1000, 16, fall=0.5, condition_dropout=0.2),
        },
    ),
    # python -m train.grayscale --preset cifar10
    # Not trained to the end here; the paper's figure is 2.98 bits (grays 0.459, image 2.52).
    # 36 residual blocks in the grayscale factor, 24 in the image factor and in f_w; 30 and 200 epochs.
    "cifar10": _grayscale(
        dataset="cifar10",
        model={**_PAPER, **_CIFAR10, "gray_blocks": 5, "image_blocks": 3, "embedding_blocks": 3},
        training={"grayscale": _paper(epochs=30), "image": _paper(epochs=200)},
    ),
}

PIXELCNN = {
    # python -m train.pixelcnn
    # Minutes in mixed precision: 3.289 bits.
    "demo": _pixelcnn(
        dataset="photos",
        model={"resolutions": 2, "filters": 24, "dropout": 0.5, "blocks": 1},
        training={"image": _ours(6, 100, 16)},
    ),
    # python -m train.pixelcnn --preset small
    # 112 minutes of one core in mixed precision: 3.248 bits (by Adam alone 3.430 after as many steps).
    "small": _pixelcnn(
        dataset="cifar10",
        model={**_SMALL, "blocks": 2},
        training={"image": _ours(29, 500, 16)},
    ),
    # python -m train.pixelcnn --preset medium
    # Twice the filters, half the batch. 143 minutes of one core in mixed precision: 3.235 bits.
    "medium": _pixelcnn(
        dataset="cifar10",
        model={**_SMALL, "blocks": 2, "filters": 64},
        training={"image": _ours(10, 1000, 8)},
    ),
    # python -m train.pixelcnn --preset digits --image_file digits.npz
    # Handwritten digits and their classes.
    "digits": _pixelcnn(
        dataset="arrays",
        model={**_DIGITS, "filters": 32, "resolutions": 2, "blocks": 2},
        training={"image": _ours(10, 300, 16, flip=False)},
    ),
    # python -m train.pixelcnn --preset cifar10
    # Not trained to the end here; Salimans et al. (2017) reach 2.92 bits.
    # PixelCNN++ with the paper's optimization, 36 residual blocks.
    "cifar10": _pixelcnn(
        dataset="cifar10",
        model={**_PAPER, **_CIFAR10, "blocks": 5},
        training={"image": _paper(epochs=200)},
    ),
}

PYRAMID = {
    # python -m train.pyramid
    # 3.8 minutes in mixed precision: 2.916 bits (8 x 8 0.275, 16 x 16 0.630, 32 x 32 2.012).
    "demo": _pyramid(
        dataset="photos",
        model={"image_size": (32, 32), **_DEMO_PYRAMID},
        training=_each("8x8 16x16 32x32", (3, 200, 16), (5, 200, 8), (6, 200, 8)),
    ),
    # python -m train.pyramid --preset small
    # 99 minutes of one core in mixed precision: 3.354 bits (0.314, 0.785, 2.256). By Adam alone
    # 3.430 after as many steps.
    "small": _pyramid(
        dataset="cifar10",
        model=_SMALL_PYRAMID,
        training=_each("8x8 16x16 32x32", (6, 1000, 16), (12, 1000, 8), (36, 1000, 4)),
    ),
    # python -m train.pyramid --preset medium
    # Three resolutions, and larger networks. 166 minutes of one core in mixed precision: 3.250 bits (0.310,
    # 0.775, 2.165).
    "medium": _pyramid(
        dataset="cifar10",
        model={**_SMALL_PYRAMID, "filters": [32, 32, 48], "blocks": 2, "resolutions": 3},
        training=_each("8x8 16x16 32x32", (5, 1000, 16), (16, 1000, 8), (12, 1000, 8)),
    ),
    # python -m train.pyramid --preset small_celeba --image_dir img_align_celeba
    # By Adam alone, in 31 minutes of mixed precision, on 3,750 of CelebA's images:
    # 2.949 bits of 569 others.
    "small_celeba": _pyramid(
        dataset="celeb_a",
        model={**_SMALL_PYRAMID, "image_size": (64, 64)},
        training=_each(
            "8x8 16x16 32x32 64x64", (4, 500, 16), (4, 500, 16), (8, 500, 8), (24, 250, 4)
        ),
    ),
    # python -m train.pyramid --preset parallel
    # Four evaluations for each of the two larger scales. 149 minutes of one core in mixed precision: 3.465
    # bits (0.313, 0.798, 2.354).
    "parallel": _parallel(
        dataset="cifar10",
        model={"image_size": (32, 32), "halvings": 2},
        training=_each("quarter half image", (6, 1000, 16), (20, 1000, 8), (40, 1000, 8)),
    ),
    # python -m train.pyramid --preset parallel_celeba --image_dir img_align_celeba
    # Images of 128 x 128, and squares of them for the largest scale. 90 minutes of one core in mixed
    # precision, on 3,750 of CelebA's images: 2.211 bits of 569 others.
    "parallel_celeba": _parallel(
        dataset="celeb_a",
        model={"halvings": 4},
        training={
            **_each("sixteenth eighth", (4, 500, 16), (4, 1000, 8)),
            **_each("quarter half", (5, 1000, 8), (5, 1000, 4)),
            "image": _ours(8, 1000, 4, crop=64),
        },
    ),
    # python -m train.pyramid --preset photographs --image_dir PHOTOGRAPHS
    # Photographs of 240 pixels and more, augmented as other cameras and programs would. The three larger
    # images are drawn pixel by pixel. Nine hours of one core: docs/results.md#photographs.
    "photographs": _photographs([4, 4, 10, 16, 40], _MASKED, vary=True),
    # python -m train.pyramid --preset rounded_photographs --image_dir PHOTOGRAPHS --init RUN
    # Fine-tunes a run of photographs in whole numbers: 2.373 bits. 59 minutes of one core.
    "rounded_photographs": _photographs([2, 2, 4, 8, 12], _MASKED, vary=True, rounded=True),
    # python -m train.pyramid --preset fast_photographs --image_dir PHOTOGRAPHS
    # Like photographs, but drawn in groups of pixels, in less than half the time. 161 minutes of one core.
    "fast_photographs": _photographs([4, 4, 4, 6, 12], _FAST),
    # python -m train.pyramid --preset rounded_fast_photographs --image_dir PHOTOGRAPHS --init RUN
    # Fine-tunes a run of fast_photographs in whole numbers: 2.497 bits. 27 minutes of one core.
    "rounded_fast_photographs": _photographs([2, 2, 2, 4, 4], _FAST, rounded=True),
    # python -m train.pyramid --preset scans --bits 12 --image_dir SCANS
    # Scans of one channel and up to 16 bits, drawn along diagonals. An hour of one core: docs/codec.md#scans.
    "scans": _photographs([4, 6, 10, 36], _SCANS, _SCAN_SQUARES),
    # python -m train.pyramid --preset digits --image_file digits.npz
    # Handwritten digits and their classes.
    "digits": _pyramid(
        dataset="arrays",
        model={**_OUR_PYRAMID, **_DIGITS, "filters": 32, "base_size": (7, 7)},
        training=_each("7x7 14x14 28x28", (5, 300, 16), (10, 300, 16), (10, 300, 16), flip=False),
    ),
    # python -m train.pyramid --preset cifar10
    # Not trained to the end here; the paper's figure is 3.32 bits.
    "cifar10": _pyramid(
        dataset="cifar10",
        model={"image_size": (32, 32), **_PAPER, **_PYRAMID},
        training=_paper_pyramid(50_000, "8x8", "16x16", "32x32"),
    ),
    # python -m train.pyramid --preset celeba --image_dir img_align_celeba
    # Not trained to the end here; the paper's figures are in its table 2. 95 % of CelebA's 202,599 images.
    "celeba": _pyramid(
        dataset="celeb_a",
        model={"image_size": (128, 128), **_PAPER, **_PYRAMID},
        training=_paper_pyramid(192_469, "8x8", "16x16", "32x32", "64x64", "128x128"),
    ),
    # python -m train.pyramid --preset grayscale_pyramid
    # Not trained to the end here. The paper's future work: a pyramid of grayscale images, and the image
    # factor of Grayscale PixelCNN.
    "grayscale_pyramid": _gray_pyramid(
        dataset="cifar10",
        model={
            **_PYRAMID,
            "image_size": (32, 32),
            "image_filters": 160,
            "image_blocks": 3,
            "image_embedding_blocks": 3,
            "resolutions": 3,
            "num_components": 10,
        },
        training={
            **_paper_pyramid(50_000, "grayscale_8x8", "grayscale_16x16", "grayscale"),
            "image": _paper(epochs=200),
        },
    ),
    # python -m train.pyramid --preset grayscale_pyramid_demo
    # Minutes. Not evaluated since it became exact and centered: 3.791 bits before, after 8.6 minutes.
    "grayscale_pyramid_demo": _gray_pyramid(
        dataset="photos",
        model={
            **_DEMO_PYRAMID,
            "image_filters": 24,
            "image_blocks": 1,
            "image_embedding_blocks": 1,
            "resolutions": 2,
        },
        training={
            **_each("grayscale_8x8 grayscale_16x16", (3, 200, 16), (3, 200, 8)),
            **_each("grayscale image", (3, 200, 8), (6, 100, 16)),
        },
    ),
}

BY_MODEL = {"grayscale": GRAYSCALE, "pyramid": PYRAMID, "pixelcnn": PIXELCNN}
