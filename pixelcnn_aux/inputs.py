"""What a factor sees, and what images have to be before it does."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend
from pixelcnn_aux.arguments import Tensor


class Inputs(NamedTuple):
    """What a factor sees: an image, and what it is conditioned on. Keras and `tf.nest` take it apart.

    Images are uint8 up to 256 values, and uint16 above.
    """

    images: Tensor  # uint8 [B, H, W, C]
    # uint8 [B, h, w, c], the auxiliary images; None for an unconditional factor.
    auxiliary: Tensor = None
    # What else is known of the images, [B, ...] as `conditions` has it; None for nothing.
    condition: Tensor = None

    @classmethod
    def of(cls, inputs: Any) -> Self:
        """`Inputs` as they are, of a tuple or list in the order of the fields, a dict, or images alone."""
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, Mapping):
            return cls(**inputs)
        return cls(*inputs) if isinstance(inputs, (tuple, list)) else cls(inputs)


def check_images(
    images: Tensor,
    channels: int | None = None,
    num_values: int | None = None,
    what: str = "images",
    floats: bool = False,
) -> Tensor:
    """Returns images, a NumPy array or a tensor, or says what is wrong with them.

    Args:
      images: [B, H, W, C], uint8 up to 256 values, uint16 above.
      channels: int, the C expected; None for any.
      num_values: int, pixels must be below it; None for any. Checked where the values are known: not while a
        graph is traced.
      what: str, how an error calls the images.
      floats: bool, whether they have to be float32 or float64 instead, of values from 0 to num_values - 1.

    Raises:
      ValueError: for another dtype, rank or number of channels, an empty side, or a pixel value out of range.
    """
    images = arguments.array(what, images)
    if not isinstance(images, np.ndarray):
        images = ops.convert_to_tensor(images)
    dtype, shape = str(getattr(images.dtype, "name", images.dtype)), list(images.shape)
    kinds = ["uint8", "uint16"] if num_values is None else [arguments.pixel_dtype(num_values)]
    if floats:
        kinds = ["float32", "float64"]
    if dtype not in kinds or len(shape) != 4:
        raise ValueError(
            f"Expected {what} as {' or '.join(kinds)} [B, H, W, {channels or 'C'}]. "
            f"Received: {dtype} {shape}. Convert them."
        )
    if 0 in shape[1:]:
        raise ValueError(
            f"Expected {what} of a height and width of 1 or more. Received: shape {shape}. Give images with "
            "pixels."
        )
    if channels is not None and shape[-1] != channels:
        raise ValueError(
            f"Expected {what} with {channels} channel{'s' * (channels > 1)}. Received: shape {shape}. "
            "Convert them."
        )
    if num_values is not None and (floats or num_values not in (2**8, 2**16)) and 0 not in shape:
        _check_range(images, num_values - 1, what)
    return images


def _check_range(images, last, what):
    """Raises ValueError for a pixel value outside 0 .. last, where the values are known."""
    if isinstance(images, np.ndarray):
        ends = images.min(), images.max()
    else:
        values = ops.cast(images, "float32")
        ends = ops.min(values), ops.max(values)
    # In a graph they have no values, even where the images have: a graph may capture them.
    if any(map(backend.is_symbolic, ends)):
        return
    least, largest = map(float, ends)
    if not 0 <= least <= largest <= last:  # as NaN is not
        raise ValueError(
            f"Expected {what} with pixel values from 0 to {last}. Received: a value of "
            f"{largest if least >= 0 else least:g}. Scale them to that range, or clip them."
        )


def check_sides_known(size: Sequence[int | None]) -> None:
    """Raises ValueError for (H, W) of which one is None, as in a pipeline of images of any size."""
    if None in size:
        raise ValueError(
            "Expected images whose height and width are known while a graph is traced. "
            f"Received: {' x '.join(map(str, size))}. Set them by tf.ensure_shape."
        )


def check_multiple(images: Tensor, multiple: int) -> None:
    """Raises ValueError for images [B, H, W, C] of which H or W is no multiple of what a network needs."""
    height, width = images.shape[1:3]
    if any(side is not None and side % multiple for side in (height, width)):
        raise ValueError(
            f"Expected an image height and width that are multiples of {multiple}, as this network needs. "
            f"Received: {height} x {width}. Choose another image size, or fewer resolutions."
        )
