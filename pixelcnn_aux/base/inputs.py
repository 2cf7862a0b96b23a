"""What factors are given: `Inputs` to evaluate, and a `DrawRequest`; and how images are checked."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np

from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect


class Inputs(NamedTuple):
    """An image, and what a factor conditions it on. Keras and `tf.nest` take it apart.

    Images are uint8 up to 256 values, and uint16 above.
    """

    images: Tensor  # uint8 [B, H, W, C]
    # uint8 [B, h, w, c], the auxiliary images; None for an unconditional factor.
    auxiliary: Tensor = None
    # A condition of the images, [B, ...] as in `conditions`; None for none.
    condition: Tensor = None

    @classmethod
    def of(cls, inputs: Any) -> Self:
        """`Inputs` as they are, of a tuple or list in the order of the fields, a dict, or images alone."""
        if isinstance(inputs, cls):
            return inputs
        if isinstance(inputs, Mapping):
            return cls(**inputs)
        return cls(*inputs) if isinstance(inputs, (tuple, list)) else cls(inputs)


METHODS = ("incremental", "full")  # how a network is evaluated pixel by pixel


class DrawRequest(NamedTuple):
    """A request for images, which `AuxiliaryModel.sample` hands down to the scan of each factor.

    Tensors have a row for each image. The fields after `by` differ between the factors of a chain.
    """

    seeds: Tensor = None  # int32 [B, 2]
    log_scale_shift: Tensor = None  # float32 [B]; or [B, H, W], for one factor
    condition: Tensor = None  # as in `Inputs`
    mode: str = "sample"  # or "map"
    method: str = "incremental"  # or "full"
    jit_compile: bool = False  # whether XLA compiles the drawing
    by: str | None = None  # "numpy" or "graph", which draws
    size: Size | None = None  # (H, W) of the images
    # uint8 [B, h, w, c], the auxiliary images; None for an unconditional factor.
    auxiliary: Tensor = None
    # Known pixels, uint8 [B, H, W, C], and uint8 [B, H, W, 1], 1 where they are known; None for none.
    completed: Any = None
    # The least and the most that each value is known to be, uint8 [B, H, W, C] each; None for any.
    within: Any = None
    # `sampling.Particles`, which weighs several images of each request; None for one.
    particles: Any = None
    # `sampling.Noise`, or float [B, H, W, noise_size] of it: bounded for a factor with a fixed sum, and
    # wherever `within` is given.
    noise: Any = None


_Method = TypeVar("_Method", bound=Callable[..., Any])
# The number of axes that arguments of one image have.
_RANKS = {"images": 3, "known": 3, "mask": 3, "given": 3, "seeds": 1}


def takes_one(method: _Method) -> _Method:
    """A method of images [B, ...] of a chain that takes one, [H, W, C], too: then its result has no B."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(model, *args, **kwargs):
        found, ranks = signature.bind(model, *args, **kwargs).arguments, dict(_RANKS)
        if model.condition is not None:
            ranks["condition"] = len(model.condition.shape)
        of_one = set()

        def batch(name, value):
            if isinstance(value, dict):  # `given`
                return {key: batch(name, x) for key, x in value.items()}
            if name not in ranks or value is None:
                return value
            array = arguments.array(name, value)
            if np.ndim(array) != ranks[name]:
                return value
            of_one.add(name)
            return array[None]

        batches = {name: batch(name, value) for name, value in found.items()}
        if of_one <= {"condition"}:
            return method(model, *args, **kwargs)
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
    """Returns images [B, H, W, C], a NumPy array or a tensor, of so many channels and pixel values.

    They are called `what` in errors, and are `floats` or whole: Python's numbers, int32 and int64 become
    pixel values. None is any number. Values are checked where they are known: not while a graph is traced.
    Raises ValueError for others, or those with an empty side.
    """
    [images] = arrays.alike(arguments.array(what, images))
    kinds = ["uint8", "uint16"] if num_values is None else [arguments.pixel_dtype(num_values)]
    if floats:
        kinds = ["float32", "float64"]
    elif num_values is not None:
        images = _as_pixels(images, kinds[0], num_values)
    dtype, shape = _dtype(images), list(images.shape)
    if dtype not in kinds or len(shape) != 4:
        expected = f"{what} as {' or '.join(kinds)} [B, H, W, {channels or 'C'}]"
        remedy = "Give np.stack(images) of several, image[None] of one"
        if dtype not in kinds:
            last = (num_values or 256) - 1
            remedy = conversion(images, what.split()[-1], kinds[0], last)
            if what == "images" and dtype.startswith("float"):
                remedy += f", or ask log_density, which takes floats from 0 to {last}"
        expect(False, expected, f"{dtype} {shape}", remedy)
    expected = f"{what} of a height and width of 1 or more"
    expect(0 not in shape[1:], expected, f"shape {shape}", "Give images with pixels")
    if channels is not None:
        expected = f"{what} with {channels} channel{'s' * (channels > 1)}"
        remedy = "Give channels last: of grays without that axis images[..., None], of RGBA images[..., :3]"
        expect(shape[-1] == channels, expected, f"shape {shape}", remedy)
    if num_values is not None and (floats or num_values not in (2**8, 2**16)) and 0 not in shape:
        least, largest = _ends(images) or (0, 0)
        expected = f"{what} with pixel values from 0 to {num_values - 1}"
        fits = 0 <= least <= largest <= num_values - 1  # NaN does not
        received = f"a value of {largest if least >= 0 else least:g}"
        expect(fits, expected, received, "Scale or clip them")
    return images


def _as_pixels(images, dtype, num_values):
    """Whole numbers, Python's or as wide, as pixel values, if they are; bools where there are two values."""
    wide = ("int", "uint32", "uint64", *["bool"] * (num_values == 2))
    if not _dtype(images).startswith(wide) or 0 in images.shape:
        return images
    least, largest = _ends(images) or (0, num_values)
    return arrays.cast(images, dtype) if 0 <= least <= largest < num_values else images


def _dtype(images):
    return str(getattr(images.dtype, "name", images.dtype))


def upper_half(images: Tensor) -> np.ndarray:
    """The mask of images [..., H, W, C] whose upper half is known: uint8 [..., H, W, 1]."""
    mask = np.zeros((*images.shape[:-1], 1), np.uint8)
    mask[..., : images.shape[-3] // 2, :, :] = 1
    return mask


def conversion(images: Tensor, name: str, dtype: str, last: int) -> str:
    """The remedy for images of another dtype than this one: the line that converts those of this name."""
    found = _dtype(images)
    kind = next((x for x in ("float", "bool", "int") if x in found), "")
    ends = _ends(images) if kind and 0 not in images.shape and "float" not in dtype else None
    if ends is None:
        return f"Convert them to {dtype}"
    fits = 0 <= ends[0] <= ends[1] <= last
    times = f"{last} * " if fits and ends[1] <= 1 < last and kind != "int" else ""
    line = f"{times}np.{dtype}({name})"
    if kind == "float":
        line = f"np.round({times}{name}).astype(np.{dtype})"
    return f"Give {line}" if fits else f"Scale them to 0 .. {last}, and give {line}"


def _ends(images):
    """The least and the largest value of images; None in a graph, where they are not known."""
    values = images if arrays.is_plain(images) else arrays.cast(images, "float32")
    ends = arrays.min(values), arrays.max(values)
    # In a graph they have no values, even where the images have: a graph may capture them.
    return None if any(map(arrays.is_symbolic, ends)) else [*map(float, ends)]


def check_sides_known(size: Sequence[int | None]) -> None:
    """Raises ValueError for (H, W) of which one is None, as in a pipeline of images of any size."""
    expected = "images whose height and width are known while a graph is traced"
    received, remedy = " x ".join(map(str, size)), "Set them by tf.ensure_shape"
    expect(None not in size, expected, received, remedy)


def check_multiple(images: Tensor, multiple: int) -> None:
    """Raises ValueError for images [B, H, W, C] whose H or W is not a multiple of what a network needs."""
    height, width = images.shape[1:3]
    fits = not any(side is not None and side % multiple for side in (height, width))
    expected = f"an image height and width that are multiples of {multiple}, as this network needs"
    expect(fits, expected, f"{height} x {width}", "Choose another image size, or fewer resolutions")
