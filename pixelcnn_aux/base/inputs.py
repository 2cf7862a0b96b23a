"""`Inputs` and `DrawRequest`, the arguments of factors; checks of images."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect


class Inputs(NamedTuple):
    """Images, uint8 up to 256 pixel values and uint16 above, with their auxiliary images and condition."""

    images: Tensor  # [B, H, W, C]
    auxiliary: Tensor = None  # [B, h, w, c]; None for an unconditional factor
    condition: Tensor = None  # [B, ...], as in `conditions`; None without one

    @classmethod
    def of(cls, inputs: Any) -> Self:
        """`Inputs` from a tuple or list in the order of the fields, a dict, or images alone."""
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, Mapping):
            return cls(**inputs)
        return cls(*inputs) if isinstance(inputs, (tuple, list)) else cls(inputs)


METHODS = ("incremental", "full")  # of evaluating a network pixel by pixel


class DrawRequest(NamedTuple):
    """A request for images, which `AuxiliaryModel.sample` passes to the scan of each factor.

    Tensors have a row per image. The fields after `by` differ between the factors of a chain. Pixels are
    uint8 up to 256 pixel values, and uint16 above.
    """

    seeds: Tensor = None  # int32 [B, 2]
    log_scale_shift: Tensor = None  # float32 [B]; or [B, H, W], for one factor
    condition: Tensor = None  # as in `Inputs`
    mode: str = "sample"  # or "map"
    method: str = "incremental"  # or "full"
    jit_compile: bool = False  # whether XLA compiles the drawing
    by: str | None = None  # "numpy" or "graph", which draws
    size: Size | None = None  # (H, W) of the images
    auxiliary: Tensor = None  # pixels [B, h, w, c]; None for an unconditional factor
    # Pixels [B, H, W, C], and a mask, uint8 [B, H, W, 1], 1 where they are known; None if all are to be
    # drawn.
    completed: Any = None
    # Lower and upper bounds of each value, pixels [B, H, W, C] each; None without bounds.
    within: Any = None
    # Weights of several images per request, which `sampling/particles.py` keeps; None for one image each.
    particles: Any = None
    # The source of noise, or float [B, H, W, noise_size] of it: bounded for a factor with a fixed sum,
    # and if `within` is set.
    noise: Any = None


_Method = TypeVar("_Method", bound=Callable[..., Any])
# The number of axes of each argument for a single image.
_RANKS = {"images": 3, "known": 3, "mask": 3, "given": 3, "seeds": 1}


def accepts_single(method: _Method) -> _Method:
    """Decorator: a model's method also accepts one image without a batch axis, as do its results then."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(model, *args, **kwargs):
        bound, ranks = signature.bind(model, *args, **kwargs).arguments, dict(_RANKS)
        if model.condition is not None:
            ranks["condition"] = len(model.condition.shape)
            if "condition" in bound:
                bound["condition"] = model.class_numbers(bound["condition"])
        single = set()  # names of arguments without a batch axis

        def batch(name, value):
            if isinstance(value, dict):  # `given`
                return {key: batch(name, x) for key, x in value.items()}
            if name not in ranks or value is None:
                return value
            array = arguments.array(name, value)
            if np.ndim(array) != ranks[name]:
                return value
            single.add(name)
            return array[None]

        batches = {name: batch(name, value) for name, value in bound.items()}
        if single <= {"condition"}:
            return method(**bound)
        return arrays.mapped(lambda x: x[0], method(**batches))

    return cast(_Method, call)


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


def upper_half(images: Tensor) -> np.ndarray:
    """The mask of known pixels if the upper half of images [..., H, W, C] is known: uint8 [..., H, W, 1]."""
    mask = np.zeros((*images.shape[:-1], 1), np.uint8)
    mask[..., : images.shape[-3] // 2, :, :] = 1
    return mask


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
