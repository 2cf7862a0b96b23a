"""Every hyper-parameter of a training run, by name: the paper's own runs, and smaller ones."""

from typing import NamedTuple


class Training(NamedTuple):
    """How a factor is trained.

    The learning rate decays by a constant factor a step, as in the paper. Adam's moments are those of
    PixelCNN++: 0.95 and 0.9995.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    decay: float  # of the learning rate, applied after each step


class Preset(NamedTuple):
    """A data set, the arguments of the model's constructor, and each factor's training."""

    dataset: str
    model: dict
    training: dict[str, Training]


# The photographs in an installed package, in minutes on two CPU cores. They are few: dropout helps.
_DEMO = {"resolutions": 2, "filters": 24, "dropout": 0.5}

# CIFAR-10 in an hour on two CPU cores: one to three epochs, in which nothing overfits, so no dropout.
_SMALL = {"filters": 32, "dropout": 0.0}

# Section 4.1: "the same hyperparameters as in (Salimans et al., 2017)", that is 160 filters, 10
# components and three resolutions; dropout 0.5 is section 3.3's.
_CIFAR10 = {"filters": 160, "resolutions": 3, "num_components": 10, "dropout": 0.5}


def _paper(epochs):
    """Section 4.1: learning rate 0.001, batch size 64, decay 0.99999 after each iteration.

    As many steps as the paper's, whose epochs have the 1,000 images that are kept for validation here.
    """
    return Training(epochs, 50_000 // 64, 64, 1e-3, 0.99999)


GRAYSCALE = {
    "demo": Preset(
        "photos",
        {**_DEMO, "gray_blocks": 1, "image_blocks": 1, "embedding_blocks": 1},
        {
            "grayscale": Training(6, 100, 16, 2e-3, 0.996),
            "image": Training(12, 100, 16, 2e-3, 0.998),
        },
    ),
    "small": Preset(
        "cifar10",
        {**_SMALL, "gray_blocks": 2, "image_blocks": 2, "embedding_blocks": 1},
        {
            "grayscale": Training(5, 500, 16, 2e-3, 0.9991),
            "image": Training(13, 500, 16, 2e-3, 0.99965),
        },
    ),
    # 36 residual blocks for the gray factor and 24 for the image's and for f_w; 30 and 200 epochs.
    "cifar10": Preset(
        "cifar10",
        {**_CIFAR10, "gray_blocks": 5, "image_blocks": 3, "embedding_blocks": 3},
        {"grayscale": _paper(epochs=30), "image": _paper(epochs=200)},
    ),
}

PIXELCNN = {
    "demo": Preset(
        "photos",
        {**_DEMO, "blocks": 1},
        {"image": Training(12, 100, 16, 2e-3, 0.998)},
    ),
    "small": Preset(
        "cifar10",
        {**_SMALL, "blocks": 2},
        {"image": Training(29, 500, 16, 2e-3, 0.9998)},
    ),
    # PixelCNN++ with the paper's optimisation, 36 residual blocks.
    "cifar10": Preset("cifar10", {**_CIFAR10, "blocks": 5}, {"image": _paper(epochs=200)}),
}
