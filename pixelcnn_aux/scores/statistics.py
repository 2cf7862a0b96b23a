"""Scores of images under a model, for each factor and for the chain."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pixelcnn_aux.base import arrays
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.batches import NUMPY
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.scores.typical import Scores, Typical

if TYPE_CHECKING:
    from pixelcnn_aux.model import AuxiliaryModel


def score(
    model: "AuxiliaryModel",
    images: ArrayLike,
    condition: ArrayLike | None = None,
    *,
    typical: Typical | None = None,
) -> Scores:
    """All scores of images: those of `bits`, `bits_less_files`, `of_classes` and `Typical`.

    Args:
      model: `AuxiliaryModel`.
      images: uint8 [N, H, W, C], as for `AuxiliaryModel.log_prob`.
      condition: as there.
      typical: `Typical`, fitted on the `bits` of training images; None to omit its scores.

    Returns a dict, name of a score -> dict, name of a factor or "total" -> float64 [N].

    Raises ValueError and NotImplementedError as `bits`; and ValueError for a `typical` of another model.
    """
    scores = bits(model, images, condition)
    scores |= bits_less_files(model, images, scores["bits"])
    if typical is not None:
        scores |= typical.scores(scores)
    if isinstance(model.condition, Classes):
        scores |= of_classes(model, images, condition)
    return scores


def bits(model: "AuxiliaryModel", images: ArrayLike, condition: ArrayLike | None = None) -> Scores:
    """The bits of images and their entropies, by one evaluation of the networks.

    Arguments and result are those of `score`, in bits per dimension of the full image. Entries of factors add
    up to "total".

      bits: -log2 of the model's likelihood.
      bits_less_entropy: bits minus the conditional entropies of the channels (ZED [1]).
      bound_less_exact: -log2 of the likelihood that includes images which contradict the auxiliary image,
        minus `bits`. 0 for factors that are not exact: see `with_exact(True)`.

    Raises ValueError as `AuxiliaryModel.log_prob`, and NotImplementedError for a likelihood without
    probabilities of a channel's values.

    #### References

    [1]: Davide Cozzolino, Giovanni Poggi, Matthias Nießner, Luisa Verdoliva. Zero-Shot Detection of
         AI-Generated Images. _ECCV_, 2024.
    """

    def evaluate(images, condition):
        nats = model.pixel_nats(images, condition)
        return {name: [arrays.sum(x, axis=(1, 2)) for x in own] for name, own in nats.items()}

    checked = model.checked(images)
    count, *shape = checked.shape
    rows = checked, model.checked_condition(condition, count)
    scores: Scores = {"bits": {}, "bits_less_entropy": {}, "bound_less_exact": {}}
    dims = math.prod(shape)
    # In batches, so that only sums over pixels are kept.
    for name, nats in NUMPY.in_batches(evaluate, rows, shape[:2]).items():
        log_prob, bound, entropy = (np.asarray(x, float) / (math.log(2.0) * dims) for x in nats)
        scores["bits"][name] = -log_prob
        scores["bits_less_entropy"][name] = -log_prob - entropy
        scores["bound_less_exact"][name] = log_prob - bound
    return {name: _with_total(by_factor) for name, by_factor in scores.items()}


def bits_less_files(
    model: "AuxiliaryModel", images: ArrayLike, bits: dict[str, np.ndarray]
) -> Scores:
    """Bits minus the bits of lossless files, which corrects for the complexity of an image [1].

    `bits` is the entry "bits" of `bits`. The result is that of `score`, in bits per dimension of the full
    image: "bits_less_png", "bits_less_webp", and "bits_less_jpeg_xl" if pillow-jxl-plugin is installed. The
    entry of a factor is the bits of all factors up to it, minus the bits of a file of its image; the entry of
    the last factor is "total". Factors whose images do not fit a file format are left out.

    #### References

    [1]: Joan Serrà, David Álvarez, Vicenç Gómez, Olga Slizovskaia, José F. Núñez, Jordi Luque. Input
         Complexity and Out-of-distribution Detection with Likelihood-based Generative Models. _ICLR_, 2020.
    """
    *_, last = model.factors
    scores: Scores = {}
    so_far, dims = np.zeros([]), math.prod(model.checked(images).shape[1:])
    for name, image in model.auxiliaries(images).items():
        so_far, own = so_far + bits[name], np.asarray(image)
        for file_format in lossless_files.holding(model.factors[name].likelihood):
            files = lossless_files.bits_per_dim(file_format, own) * own[0].size / dims
            column = f"bits_less_{file_format.lower().replace(' ', '_')}"
            scores.setdefault(column, {})["total" if name == last else name] = so_far - files
    return scores


def of_classes(
    model: "AuxiliaryModel", images: ArrayLike, condition: ArrayLike | None = None
) -> Scores:
    """Scores of the class of an image, by evaluations given each class.

    Args:
      model: `AuxiliaryModel` with `conditions.Classes`.
      images: as for `score`.
      condition: int [N], the classes; for -1, or None, the most probable class.

    Returns scores as of `score`. Raises ValueError as `AuxiliaryModel.class_log_probs`.

      class_ratio: bits given the class minus bits given no class, per dimension of the full image. It is
        meaningful for models also trained without classes (`--condition_dropout`).
      class_bits: -log2 p(y | x) of the class under a uniform prior, in bits. The entry of a factor uses only
        this factor, and entries do not add up.
    """
    by_class = _with_total(model.log_probs_by_class(images))
    classes = np.asarray(model.checked_condition(condition, len(by_class["total"])))
    classes = np.where(classes < 0, by_class["total"].argmax(axis=1), classes)[:, np.newaxis]
    without_class = _with_total(model.log_probs(images))
    dims = math.prod(model.checked(images).shape[1:])
    scores: Scores = {"class_ratio": {}, "class_bits": {}}
    for name, nats in by_class.items():
        own = np.take_along_axis(nats, classes, axis=1)[:, 0]
        scores["class_ratio"][name] = (without_class[name] - own) / (math.log(2.0) * dims)
        scores["class_bits"][name] = (np.logaddexp.reduce(nats, axis=1) - own) / math.log(2.0)
    return scores


class PixelBits(NamedTuple):
    """Bits of each pixel of one image, float64 [h, w], summed over channels."""

    bits: np.ndarray  # -log2 of its probability given the pixels before it
    entropy: np.ndarray  # their expectation


def pixel_bits(
    model: "AuxiliaryModel", image: ArrayLike, condition: ArrayLike | None = None
) -> dict[str, PixelBits]:
    """The bits of each pixel of an image, uint8 [H, W, C], and their entropies, for each factor.

    The sums of `bits`, and of `bits` minus `entropy`, divided by the number of values in the full image, are
    the scores `bits` and `bits_less_entropy`.

    Returns a dict, name of a factor -> `PixelBits` of its own image. Raises as `bits`.
    """

    def bits(nats):
        return np.asarray(nats, float)[0] / math.log(2.0)

    by_factor = model.pixel_nats(np.asarray(image)[np.newaxis], condition)
    return {name: PixelBits(bits(-x.log_prob), bits(x.entropy)) for name, x in by_factor.items()}


def _with_total(by_factor):
    by_factor = {name: np.asarray(x, float) for name, x in by_factor.items()}
    return {**by_factor, "total": sum(by_factor.values())}
