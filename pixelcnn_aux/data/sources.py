"""Images as other libraries have them, gathered into one array in memory.

A source is a `tf.data.Dataset`, as `keras.utils.image_dataset_from_directory` makes it, or a sequence, with
`__len__` and `__getitem__`: a list, a data set of PyTorch, one of Hugging Face or its column. An element is

    an image              [H, W, 3], whole numbers from 0 to 255, or a Pillow image, converted as a file's
    a batch of images     [B, H, W, 3]
    (image, label, ...)   or a batch of each
    {"image": image, ...} or a dict with one image under another key; its label is under "label"
"""

import collections.abc
import math
import time

import numpy as np
from PIL import Image

from pixelcnn_aux import arguments
from pixelcnn_aux.data import decoding

_INFINITE = -1  # `tf.data.INFINITE_CARDINALITY`
_SECONDS_BETWEEN_LINES = 5.0
_SCALE = (
    "Scale them to 0 .. 255 and round them, as by dataset.map(lambda image, *_: tf.cast(tf.round(image), "
    "'uint8')), or have data.load('folder', ...) resize files."
)


def gathered(source, with_labels=False):
    """The images of a source in its order, and their labels.

    Args:
      source: see above.
      with_labels: bool, whether there have to be labels; where not, they are left aside.

    Returns:
      (uint8 [N, H, W, 3], a new array, labels [N, ...] or None).

    Raises:
      ValueError: for what is no source or has no end, for images of several sizes, of other values or
        channels, or none, and for labels that are not one for each image.
    """
    pixels, size, num_gray, is_scaled = bytearray(), None, 0, True
    labels, told = [], time.monotonic()
    for number, element in enumerate(_elements(source)):
        image, label = _image_and_label(element)
        array = _array(image, number)
        is_batch = array.ndim == 4
        array = array if is_batch else array[np.newaxis]
        if with_labels:
            labels.extend(_labels(label, is_batch, len(array), number))
        if array.shape[1:] != (size := size or array.shape[1:]):
            raise ValueError(
                f"Expected images of one size. Received: {size[:2]}, and {array.shape[1:3]} in element "
                f"{number}. Resize them, or have data.load('folder', ...) crop and resize files."
            )
        is_scaled = is_scaled and array.dtype.kind == "f" and array.max(initial=0) <= 1
        images = _as_uint8(array, number)
        num_gray += sum(map(decoding.is_gray, images))
        pixels.extend(images)
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            print(f"Read {len(pixels) // math.prod(size):,} images", flush=True)
            told = time.monotonic()
    if not pixels or is_scaled:
        received = (
            "0 and 1 alone, as floats" if pixels else f"none, of {arguments.short_repr(source)}"
        )
        raise ValueError(
            f"Expected images of values from 0 to 255, one at least. Received: {received}. {_SCALE}"
        )
    pixels = np.frombuffer(pixels, np.uint8).reshape(-1, *size)
    decoding.log_gray(num_gray, len(pixels), f"a {type(source).__name__}")
    shapes = sorted({label.shape for label in labels})
    if len(shapes) > 1:
        raise ValueError(
            f"Expected labels of one shape. Received: {shapes}. Give a class, or as many numbers, for each."
        )
    return pixels, np.stack(labels) if with_labels else None


def _elements(source):
    """An iterator over the elements of a source."""
    if hasattr(source, "as_numpy_iterator"):
        if int(source.cardinality()) == _INFINITE:
            raise ValueError(
                "Expected a tf.data.Dataset that ends. Received: one that does not. Leave out its repeat(): "
                "training repeats and shuffles images by itself."
            )
        return source.as_numpy_iterator()
    is_sequence = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    if not is_sequence or isinstance(source, (str, bytes, collections.abc.Mapping)):
        raise ValueError(
            "Expected images as uint8 [N, H, W, 3], data.Images, a tf.data.Dataset or a sequence of images. "
            f"Received: a {type(source).__name__}. Give np.stack(images), one of several splits, the dataset "
            "of a DataLoader, or of files data.load('folder', 'train', image_size, image_dir=...)."
        )
    return (source[number] for number in range(len(source)))


def _image_and_label(element):
    """What of an element is an image, or a batch of images, and its label, or a batch of labels, or None."""
    if isinstance(element, tuple) and element:
        image, label = _image_and_label(element[0])
        return image, element[1] if len(element) > 1 else label
    if not isinstance(element, collections.abc.Mapping):
        return element, None
    keys = [key for key, x in element.items() if isinstance(x, Image.Image) or np.ndim(x) > 2]
    if "image" not in element and len(keys) != 1:
        raise ValueError(
            "Expected one image in each element, or the one called 'image'. Received: elements of "
            f"{', '.join(map(str, element))}. Give the column of the images, as dataset['pixels']."
        )
    return element["image" if "image" in element else keys[0]], element.get("label")


def _array(image, number):
    """An image, or a batch of images, as numbers [H, W, 3] or [B, H, W, 3]; `number` is its element's."""
    try:
        if isinstance(image, Image.Image):
            decoding.check_kept(image)
            image = decoding.rgb(image.copy())
        array = np.asarray(image)
    except Exception as error:  # whatever Pillow and tensors of other libraries raise
        raise ValueError(
            f"Expected images of 8 bits a channel. Received: {arguments.short_repr(image)} in element "
            f"{number}, which cannot be read ({error}). Convert it, or leave it out."
        ) from error
    is_image = array.ndim in (3, 4) and array.shape[-1] == 3 and 0 not in array.shape[1:]
    if array.dtype.kind not in "uif" or not is_image:
        raise ValueError(
            f"Expected images as [H, W, 3], or batches of them. Received: {array.dtype.name} "
            f"{list(array.shape)} in element {number}. Give uint8 with the channels last, np.stack(images): "
            "of a PyTorch data set leave out ToTensor, and of gray images give each channel thrice."
        )
    return array


def _labels(labels, is_batch, count, number):
    """The labels of an element, of a batch or of one image: array [count, ...]."""
    found = None
    if labels is not None:
        found = np.asarray(arguments.array("labels", labels if is_batch else [labels]))
    if found is None or found.ndim == 0 or len(found) != count:
        received = "none" if found is None else f"labels {list(found.shape)}"
        raise ValueError(
            f"Expected a label for each image, as a conditional model needs them. Received: {received} for "
            f'{count} in element {number}. Give (image, label), {{"image": image, "label": label}}, or '
            "data.from_arrays(pixels, labels)."
        )
    return found


def _as_uint8(array, number):
    """Whole numbers as they are, as uint8; ValueError for others."""
    with np.errstate(invalid="ignore"):  # NaN, which is not the same afterwards
        images = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    if array.dtype != np.uint8 and (images != array).any():
        raise ValueError(
            f"Expected whole numbers from 0 to 255, 8 bits a channel. Received: {array.dtype.name} from "
            f"{array.min():g} to {array.max():g} in element {number}. {_SCALE}"
        )
    return images
