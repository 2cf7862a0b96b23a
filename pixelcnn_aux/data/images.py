"""One split of a data set, and its batches: in order, shuffled, or by index."""

import functools
import math
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import ArrayLike, ImageSource
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data import sources, training_batches

if TYPE_CHECKING:  # It imports Keras.
    from pixelcnn_aux.conditions import Condition

MAX_CHANNELS = 16
_MOST_CHECKED = 2**28  # bytes of pixels: beyond these the checksum samples images


class Images:
    """One split of a data set.

    Attributes:
      pixels: uint8 or uint16 [N, H, W, C], in memory or memory-mapped; for several sizes, a list of
        [H, W, C].
      num_images: int, N.
      image_size: (H, W), or None for images of several sizes.
      labels: int [N], class numbers from 0, or -1 for no class; or float32 [N, D]; or None.
      skipped: tuple of names of files that were left out as unsuitable.
      source: dict, set by `load`: "dataset", its name, and the absolute paths "image_dir" and "image_file",
        each a str or None; and, if they were given, "labels", "validation_share" and "test_share".
    """

    def __init__(
        self,
        pixels: np.ndarray | list[np.ndarray],
        skipped: Sequence[str] = (),
        labels: ArrayLike | None = None,
    ):
        """Neither checks nor copies `pixels`, unlike `from_arrays`. Raises ValueError for wrong labels."""
        if isinstance(pixels, list) and len({image.shape[:2] for image in pixels}) == 1:
            pixels = np.stack(pixels)
        self.pixels, self.num_images = pixels, len(pixels)
        self.labels = None if labels is None else _checked_labels(labels, self.num_images)
        size = None if isinstance(pixels, list) else pixels.shape[1:3]
        self.image_size: tuple[int, int] | None = size
        self.skipped = tuple(skipped)
        self.source: dict[str, Any] = dict.fromkeys(("dataset", "image_dir", "image_file"))

    @functools.cached_property
    def crc32(self) -> int:
        """Checksum of the images in order; of every n-th one, above `_MOST_CHECKED` bytes in all."""
        pixels = self.pixels
        parts: Iterable[np.ndarray] = pixels
        if isinstance(pixels, np.ndarray):
            step = math.ceil(pixels.nbytes / _MOST_CHECKED)
            starts = range(0, self.num_images, 1024 * step)
            parts = (pixels[start : start + 1024 * step : step] for start in starts)
        crc32 = 0
        for images in parts:
            crc32 = zlib.crc32(np.ascontiguousarray(images).data, crc32)
        return crc32

    @functools.cached_property
    def largest(self) -> int:
        """The largest value of all images."""
        return max(int(batch.max()) for batch in self.batches(1024))

    def condition(
        self, kind: "Condition | None", which: slice | Sequence[int] = slice(None)
    ) -> np.ndarray | None:
        """Labels as a model's condition, [n, ...]; None for an unconditional model.

        `kind` is `AuxiliaryModel.condition`; `which` selects images, a slice or a list of int. Raises
        ValueError for images without labels, and for labels that the model does not accept.
        """
        if kind is None:
            return None
        expected = f"images with labels, since the model is conditional on {kind}"
        remedy = "Give data.Images(pixels, labels=labels), or a data set that has them"
        expect(self.labels is not None, expected, "images without", remedy)
        return np.asarray(kind.checked(self.labels, self.num_images))[which]

    def batches(self, batch_size: int, num_images: int | None = None) -> Iterator[np.ndarray]:
        """Iterates over the first `num_images`, or all, in order, as arrays [batch_size, H, W, C].

        The last batch may be smaller; images of several sizes come one by one. Raises ValueError for a
        `batch_size` below 1 and a `num_images` below 0.
        """
        batch_size = arguments.whole("batch_size", batch_size, largest=sys.maxsize)
        if num_images is not None:
            num_images = arguments.whole("num_images", num_images, 0, sys.maxsize)
        pixels = self.pixels[:num_images]
        if self.image_size is None:
            return (image[np.newaxis] for image in pixels)
        starts = range(0, len(pixels), batch_size)
        return (np.array(pixels[start : start + batch_size]) for start in starts)

    def take(self, indices: Sequence[int]) -> np.ndarray:
        """Images at indices from 0 to `num_images` - 1: an array [len(indices), H, W, C].

        Raises ValueError for an index out of range, and for images of several sizes.
        """
        remedy = "Ask for some of their centers: images.centers(size)"
        expect(self.image_size is not None, "images of one size", "several", remedy)
        wrong = [x for x in indices if int(x) != x or not 0 <= x < self.num_images]
        expected = f"indices from 0 to {self.num_images - 1}"
        expect(not wrong, expected, wrong, "Give ints below num_images")
        return self.pixels[np.array(indices, np.int64)]

    def centers(self, side: int) -> "Images":
        """Center squares with this side, a new `Images`. Raises ValueError as `check_side`."""
        self.check_side(side)
        squares = [training_batches.square(image, side, 0.5, 0.5) for image in self.pixels]
        images = Images(np.stack(squares))
        images.labels, images.skipped, images.source = self.labels, self.skipped, self.source
        return images

    def check_side(self, side: int) -> None:
        """Raises ValueError unless a square with this side fits in all images."""
        smallest = min((image.shape[:2] for image in self.pixels), key=min)
        expected = f"images that squares of {side} x {side} can be cut from"
        received = f"one of {' x '.join(map(str, smallest))}"
        remedy = "Leave it out, or cut smaller ones (--crop)"
        expect(min(smallest) >= side, expected, received, remedy)

    def spread(self, count: int) -> np.ndarray:
        """An array of `count` images, at most all, evenly spaced since neighbors may be similar."""
        return self.take(self.spread_indices(count))

    def spread_indices(self, count: int) -> list[int]:
        """Indices of the images that `spread` returns."""
        count = min(count, self.num_images)
        return [index * self.num_images // count for index in range(count)]

    def training_batches(
        self,
        batch_size: int,
        seed: int,
        first_step: int = 0,
        *,
        flip: bool = True,
        rows: slice = slice(None),
        crop: int | None = None,
        vary: bool = False,
    ) -> Iterator[np.ndarray]:
        """Yields shuffled batches endlessly: NumPy arrays, uint8 or uint16 [batch_size, H, W, C].

        Every epoch is a new permutation of all images, and a batch may span epochs. Batch t is a function of
        (seed, t) alone, so that a run resumes at t = `first_step` without reading earlier batches.

        Args:
          batch_size, seed, first_step: ints.
          flip: bool, whether to flip each image left to right with probability 1/2, drawn in every epoch. It
            does not affect the order of the images.
          rows: slice, the rows of each batch to yield, where several hosts share it; others are not read.
          crop: int, side of the random square cut from each image in every epoch; None for whole images.
          vary: bool, whether to augment the squares by `variation.varied`.

        Raises ValueError as `check_side`, and for images that cannot be augmented.
        """
        if crop is not None:
            self.check_side(crop)
        if vary:
            first = self.pixels[0]
            expected = "squares (crop, --crop) of gray or RGB images of 8 bits, to be varied"
            received = f"crop={crop} of {first.dtype} with {first.shape[-1]} channels"
            fits = crop is not None and first.dtype == np.uint8 and first.shape[-1] in (1, 3)
            expect(fits, expected, received, "Leave out vary (--vary), or give such images")
            from pixelcnn_aux.data.variation import varied  # imports Pillow
        for draws in self._draws(batch_size, seed, first_step, rows):
            if crop is None:
                batch = self.pixels[draws.indices]
            elif vary:
                keys = zip(draws.indices, draws.keys.tolist())
                batch = np.stack([varied(self.pixels[i], crop, key) for i, key in keys])
            else:
                places = zip(draws.indices, draws.down, draws.right)
                squares = [training_batches.square(self.pixels[i], crop, *x) for i, *x in places]
                batch = np.stack(squares)
            if flip:
                batch[draws.flips] = batch[draws.flips, :, ::-1]
            yield batch

    def training_conditions(
        self,
        kind: "Condition",
        dropout: float,
        *,
        batch_size: int,
        seed: int,
        first_step: int = 0,
        rows: slice = slice(None),
    ) -> Iterator[np.ndarray]:
        """Yields the `condition` of each batch of `training_batches`: [batch_size, ...].

        Each is hidden with probability `dropout`, drawn in every epoch. Raises ValueError as `condition`.
        """
        condition = np.asarray(self.condition(kind))
        for draws in self._draws(batch_size, seed, first_step, rows):
            batch = condition[draws.indices]
            batch[draws.drops < dropout] = kind.absent
            yield batch

    def training_indices(self, batch_size: int, seed: int, step: int) -> np.ndarray:
        """Indices of the images in the `training_batches` batch of a step: int64 [batch_size]."""
        return next(self._draws(batch_size, seed, step, slice(None))).indices

    def _draws(self, *which):
        return training_batches.steps(self.num_images, *which)


def from_arrays(pixels: ArrayLike, labels: ArrayLike | None = None) -> Images:
    """Makes `Images` from an array.

    Args:
      pixels: uint8 or uint16 [N, H, W, C], or [N, H, W] for one channel: an array or tensor, which is copied,
        or an `np.memmap`, which is not.
      labels: int [N] or float [N, D], as in `Images`, or None.

    Raises ValueError for pixels of another dtype or shape, for no images, and as `Images`.
    """
    if not isinstance(pixels, np.memmap):
        received, remedy = arguments.short_repr(pixels), "Give uint8 or uint16 [N, H, W, C]"
        with restated("pixels as one array", received, remedy, TypeError, ValueError):
            pixels = np.array(pixels)
    return Images(checked_pixels(pixels), labels=labels)


def as_images(images: ImageSource, with_labels: bool = False) -> Images:
    """Converts common containers of images to `Images`, as `pa.train` accepts them.

    Args:
      images: `Images`; an array for `from_arrays`; or a source, which is read into memory in order: a
        `tf.data.Dataset`, or a sequence such as a list or a PyTorch or Hugging Face data set (`sources`).
      with_labels: bool, whether a source needs labels; otherwise they are ignored.

    Raises ValueError for anything else, and as `sources.gathered`.
    """
    if isinstance(images, Images):
        return images
    if hasattr(images, "shape") and hasattr(images, "dtype"):
        return from_arrays(images)
    pixels, labels = sources.gathered(images, with_labels)
    return Images(pixels, labels=labels)


def checked_pixels(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 or uint16 [N, H, W, C] for [N, H, W, C] or [N, H, W]; else raises ValueError."""
    images = pixels[..., np.newaxis] if pixels.ndim == 3 else pixels
    fits = pixels.dtype in (np.uint8, np.uint16) and images.ndim == 4 and 0 not in images.shape
    remedy = "Give whole numbers as uint8 or uint16, a list of images as np.stack(images)"
    count = f"of one image at least and up to {MAX_CHANNELS} channels"
    expected = f"pixels as uint8 or uint16 [N, H, W, C], {count}"
    received = f"{pixels.dtype.name} {list(pixels.shape)}"
    expect(fits and images.shape[3] <= MAX_CHANNELS, expected, received, remedy)
    return images


def _checked_labels(labels, count):
    labels = np.asarray(arguments.array("labels", labels))
    dtype_kinds = {1: "iu", 2: "iuf"}
    fits = labels.dtype.kind in dtype_kinds.get(labels.ndim, "") and len(labels) == count
    expected = f"labels as int [{count}] or float [{count}, D], one for each image"
    received = f"{labels.dtype.name} {list(labels.shape)}"
    expect(fits, expected, received, "Number the classes from 0 on")
    wrong = labels[(labels < -1) | (labels >= arguments.MAX_PER_PIXEL)] if labels.ndim == 1 else ()
    expected = f"labels from 0 to {arguments.MAX_PER_PIXEL - 1:,}, or -1 for no class"
    expect(not len(wrong), expected, wrong[:1], "Number the classes from 0 on")
    # Integers keep their width: in 32 bits some would wrap to another class.
    return np.array(labels, None if labels.ndim == 1 else np.float32, order="C")
