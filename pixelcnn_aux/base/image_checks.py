"""Checks of images, arrays or tensors."""

from collections.abc import Sequence

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.base.errors import expect


def check_images(
    images: Tensor,
    channels: int | None = None,
    num_values: int | None = None,
    *,
    what: str = "images",
    floats: bool = False,
) -> Tensor:
    """Returns images [B, H, W, C] as a NumPy array or tensor, after a check of dtype, shape and range.

    Args:
      images: of the dtype of `num_values`, or wider integers within range, which are converted.
      channels, num_values: int, the expected ones; None for any.
      what: str, the name of the images in errors.
      floats: bool, whether values are floats from 0 to num_values - 1 instead.

    Raises ValueError for other images, or for an empty side. Values are not checked while a graph is traced.
    """
    [images] = arrays.alike(arguments.array(what, images))
    dtypes = ["uint8", "uint16"] if num_values is None else [arguments.pixel_dtype(num_values)]
    if floats:
        dtypes = ["float32", "float64"]
    elif num_values is not None:
        images = _as_pixels(images, dtypes[0], num_values)
    dtype, shape = _dtype(images), list(images.shape)
    if dtype not in dtypes or len(shape) != 4:
        expected = f"{what} as {' or '.join(dtypes)} [B, H, W, {channels or 'C'}]"
        remedy = "Give np.stack(images) of several, image[None] of one"
        if dtype not in dtypes:
            last = (num_values or 256) - 1
            remedy = f"Give whole numbers, {dtypes[0]} from 0 to {last}, or a model of more bits"
            if what == "images" and dtype.startswith("float"):
                remedy += f", or ask log_density, which takes floats from 0 to {last}"
        expect(False, expected, f"{dtype} {shape}", remedy)
    expected = f"{what} of a height and width of 1 or more"
    expect(0 not in shape[1:], expected, f"shape {shape}", "Give images with pixels")
    if channels is not None:
        expected = f"{what} with {channels} channel{'s' * (channels > 1)}"
        remedy = "Give channels last, of grays without that axis images[..., None]"
        expect(shape[-1] == channels, expected, f"shape {shape}", remedy)
    if num_values is not None and (floats or num_values not in (2**8, 2**16)) and 0 not in shape:
        least, largest = _ends(images) or (0, 0)
        expected = f"{what} with pixel values from 0 to {num_values - 1}"
        fits = 0 <= least <= largest <= num_values - 1  # NaN does not
        received = f"a value of {largest if least >= 0 else least:g}"
        expect(fits, expected, received, "Give such values, or a model of more bits")
    return images


def _as_pixels(images, dtype, num_values):
    """Wider integers, and bools for two values, as pixel values if they are in range; others unchanged."""
    wide = ("int", "uint32", "uint64", *["bool"] * (num_values == 2))
    if not _dtype(images).startswith(wide) or 0 in images.shape:
        return images
    least, largest = _ends(images) or (0, num_values)
    return arrays.cast(images, dtype) if 0 <= least <= largest < num_values else images


def _dtype(images):
    return str(getattr(images.dtype, "name", images.dtype))


def _ends(images):
    """The least and largest value of images; None in a graph."""
    values = images if arrays.is_plain(images) else arrays.cast(images, "float32")
    ends = arrays.min(values), arrays.max(values)
    # In a graph, these have no values even if the images do: a graph may capture them.
    return None if any(map(arrays.is_symbolic, ends)) else [*map(float, ends)]


def check_sides_known(size: Sequence[int | None]) -> None:
    """Raises ValueError if H or W is None, as in a pipeline of images of any size."""
    expected = "images whose height and width are known while a graph is traced"
    expect(None not in size, expected, " x ".join(map(str, size)), "Set them by tf.ensure_shape")


def check_multiple(images: Tensor, multiple: int) -> None:
    """Raises ValueError unless H and W of images [B, H, W, C] are multiples of `multiple`."""
    height, width = images.shape[1:3]
    fits = not any(side and side % multiple for side in (height, width))
    expected = f"an image height and width that are multiples of {multiple}, as this network needs"
    expect(fits, expected, f"{height} x {width}", "Choose another image size, or fewer resolutions")
