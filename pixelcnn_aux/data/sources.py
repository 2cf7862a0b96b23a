"""Reads images from other libraries' containers into one array in memory.

A source is a `tf.data.Dataset`, as from `keras.utils.image_dataset_from_directory`, or a sequence with
`__len__` and `__getitem__`: a list, a PyTorch data set, a Hugging Face data set or its column. An element is

    an image              [H, W, 3], whole numbers from 0 to 255, or a Pillow image, converted like a file
    a batch of images     [B, H, W, 3]
    (image, label, ...)   or a batch of each
    {"image": image, ...} or a dict with one image under another key; its label is under "label"
"""

import collections.abc
import math
import time

import numpy as np
from PIL import Image

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data import decoding

_INFINITE = -1  # `tf.data.INFINITE_CARDINALITY`
_SECONDS_BETWEEN_LINES = 5.0
_WHOLE = "Give values as files have them: data.load('folder', ...) resizes; data.from_arrays takes uint16"


def gathered(source, with_labels=False):
    """Reads a source in its order: a new array uint8 [N, H, W, 3], and labels [N, ...] or None."""
    pixels, size, num_gray, is_scaled = bytearray(), None, 0, True
    labels, last_line = [], time.monotonic()
    for number, element in enumerate(_elements(source)):
        image, label = _image_and_label(element)
        array = _array(image, number)
        is_batch = array.ndim == 4
        array = array if is_batch else array[np.newaxis]
        if with_labels:
            labels.extend(_labels(label, is_batch, len(array), number))
        size = size or array.shape[1:]
        received = f"{size[:2]}, and {array.shape[1:3]} in element {number}"
        remedy = "Resize them, or have data.load('folder', ...) crop and resize files"
        expect(array.shape[1:] == size, "images of one size", received, remedy)
        is_scaled = is_scaled and array.dtype.kind == "f" and array.max(initial=0) <= 1
        images = _as_uint8(array, number)
        num_gray += sum(map(decoding.is_gray, images))
        pixels.extend(images)
        if time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
            print(f"Read {len(pixels) // math.prod(size):,} images", flush=True)
            last_line = time.monotonic()
    received = "0 and 1 alone, as floats" if pixels else f"none, of {arguments.short_repr(source)}"
    expected = "images of values from 0 to 255, one at least"
    expect(pixels and not is_scaled, expected, received, _WHOLE)
    pixels = np.frombuffer(pixels, np.uint8).reshape(-1, *size)
    decoding.log_gray(num_gray, len(pixels), f"a {type(source).__name__}")
    shapes = {label.shape for label in labels}
    remedy = "Give a class, or as many numbers, for each"
    expect(len(shapes) <= 1, "labels of one shape", sorted(shapes), remedy)
    return pixels, np.stack(labels) if with_labels else None


def _elements(source):
    if hasattr(source, "as_numpy_iterator"):
        ends = int(source.cardinality()) != _INFINITE
        remedy = "Leave out its repeat(): training itself repeats and shuffles images"
        expect(ends, "a tf.data.Dataset that ends", "one that does not", remedy)
        return source.as_numpy_iterator()
    is_sequence = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    expect(
        is_sequence and not isinstance(source, (str, bytes, collections.abc.Mapping)),
        "images as uint8 [N, H, W, 3], data.Images, a tf.data.Dataset or a sequence of images",
        f"a {type(source).__name__}",
        "Give np.stack(images), one of several splits, the dataset of a DataLoader, or of files "
        "data.load('folder', 'train', image_size, image_dir=...)",
    )
    return (source[number] for number in range(len(source)))


def _image_and_label(element):
    """An element's (image, label or None), or batches of them."""
    if isinstance(element, tuple) and element:
        image, label = _image_and_label(element[0])
        return image, element[1] if len(element) > 1 else label
    if not isinstance(element, collections.abc.Mapping):
        return element, None
    keys = [key for key, x in element.items() if isinstance(x, Image.Image) or np.ndim(x) > 2]
    fits = "image" in element or len(keys) == 1
    expected = "one image in each element, or one called 'image'"
    received = f"elements of {', '.join(map(str, element))}"
    expect(fits, expected, received, "Give the column of the images, as dataset['pixels']")
    return element["image" if "image" in element else keys[0]], element.get("label")


def _array(image, number):
    """Image or batch as an array of numbers [H, W, 3] or [B, H, W, 3]; `number` is the element's."""
    received = f"{arguments.short_repr(image)} in element {number}, which cannot be read"
    remedy = "Leave it out"
    # Pillow and other libraries' tensors may raise any exception.
    with restated("images of 8 bits a channel", received, remedy, Exception):
        if isinstance(image, Image.Image):
            decoding.check_kept(image)
            image = decoding.rgb(image.copy())
        array = np.asarray(image)
    is_image = array.ndim in (3, 4) and array.shape[-1] == 3 and 0 not in array.shape[1:]
    expect(
        is_image and array.dtype.kind in "uif",
        "images as [H, W, 3], or batches of them",
        f"{array.dtype.name} {list(array.shape)} in element {number}",
        "Give uint8 with the channels last, np.stack(images): of a PyTorch data set leave out ToTensor, and "
        "of gray images give each channel thrice",
    )
    return array


def _labels(labels, is_batch, count, number):
    """Labels of an element, for a batch or one image: array [count, ...]."""
    array, received = None, "none"
    if labels is not None:
        array = np.asarray(arguments.array("labels", labels if is_batch else [labels]))
        received = f"labels {list(array.shape)}"
    expect(
        array is not None and array.ndim > 0 and len(array) == count,
        "a label for each image, as a conditional model needs them",
        f"{received} for {count} in element {number}",
        'Give (image, label), {"image": image, "label": label}, or data.from_arrays(pixels, labels)',
    )
    return array


def _as_uint8(array, number):
    """Whole numbers from 0 to 255 as uint8. Raises ValueError for others."""
    with np.errstate(invalid="ignore"):  # NaN fails the comparison below
        images = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    if array.dtype != np.uint8 and (images != array).any():
        raise ValueError(
            f"Expected whole numbers from 0 to 255, 8 bits a channel. Received: {array.dtype.name} from "
            f"{array.min():g} to {array.max():g} in element {number}. {_WHOLE}."
        )
    return images
