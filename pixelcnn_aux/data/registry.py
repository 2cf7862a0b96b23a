"""Registers and loads data sets by name."""

import inspect
import pathlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import PathLike, Size
from pixelcnn_aux.base.errors import did_you_mean, expect
from pixelcnn_aux.data import cache
from pixelcnn_aux.data.images import MAX_CHANNELS, Images

SPLITS = ("train", "validation", "test")
SHARES = {"validation_share": 0.02, "test_share": 0.05}  # of a folder's files
FOLDERS = "folders"  # labels from the names of folders

_Loader = TypeVar("_Loader", bound=Callable[..., Images])
_registered: dict[str, Callable[..., Images]] = {}
# name -> loader of all registered data sets.
DATASETS: Mapping[str, Callable[..., Images]] = types.MappingProxyType(_registered)

# name -> class names, in the order of their labels; modules that register data sets may add entries.
CLASS_NAMES: dict[str | None, Sequence[str]] = {}


def register(name: str) -> Callable[[_Loader], _Loader]:
    """Decorator that registers a loader as a data set, from any file.

        @data.register("textures")
        def textures(split, image_size, image_dir):
            return data.from_arrays(np.load(image_dir / f"{split}.npy"))

    A loader is a function that returns one split, `Images` of `image_size`. `load` calls it with checked
    arguments:

      split: one of `SPLITS`.
      image_size: (H, W), a tuple; a loader without images of that size raises ValueError.

    and with those of the following that are its parameters; `load` rejects others that are given:

      image_dir, image_file: absolute `pathlib.Path`s, or None.
      data_dir: as `load` received it.
      labels: "folders", or the absolute path of a file, a str; or None.
      validation_share, test_share: floats, above 0 and below 1 in all; or None.
      cache_dir: an absolute `pathlib.Path` of a folder for files, which the loader makes.
      channels, num_values: ints, of the images: uint8 up to 256 values, uint16 above. A loader without these
        parameters supports one kind of images.

    Args:
      name: str, the data set's name for `load` and the programs' --dataset.

    Raises ValueError for a name that another module has registered.
    """

    def decorate(loader: _Loader) -> _Loader:
        # A module may register again: reloaded, in a notebook, as a program and as its plugin.
        module, other = _module(loader), _module(_registered.get(name, loader))
        expected = f"a name that no other module has registered, for the data set of {module}"
        received = f"{name!r}, which {other} has registered"
        expect(module == other, expected, received, "Choose another name")
        _registered[name] = loader
        return loader

    return decorate


def load(
    name: str,
    split: str,
    image_size: Size | None = (32, 32),
    *,
    data_dir: PathLike | None = None,
    image_dir: PathLike | None = None,
    cache_dir: PathLike | None = None,
    image_file: PathLike | None = None,
    channels: int = 3,
    num_values: int | None = 256,
    labels: PathLike | None = None,
    validation_share: float | None = None,
    test_share: float | None = None,
) -> Images:
    """Opens one split of a data set: `Images`, whose `source` records it and the folder or file.

    Args:
      name: one of `DATASETS`.
      split: one of `SPLITS`.
      image_size: (H, W) of the images; None for original sizes, which `folder` and `arrays` support.
      data_dir: the folder of TFDS, for `cifar10` and `celeb_a`; None for TFDS's own default.
      image_dir: the folder of images, for `folder`, `arrays`, and `celeb_a` where TFDS has not prepared it:
        the official aligned JPEGs.
      cache_dir: where `folder` and `celeb_a` keep decoded images; None for pixelcnn_aux in $XDG_CACHE_HOME
        or ~/.cache.
      image_file: the file of images, for `arrays`.
      channels, num_values: ints, of the images, as in a model's likelihood: `folder` reads files of one or
        three channels, of TIFF files up to 16, and `arrays` has those of its file. `num_values` is None for
        2 ** 8, or 2 ** 16 if most files of `folder`, or the arrays, have them.
      labels: classes of the images of `folder`: "folders", numbered in alphabetical order; or a CSV file with
        the columns "file" and "label"; or None. `arrays` and `cifar10` have their own.
      validation_share, test_share: shares of the files of `folder` in these splits, above 0 and below 1 in
        all; None for 0.02 and 0.05. A hash of a file's name determines its split, except where a split of
        three files or more would be empty.

    Raises:
      ValueError: for an unknown data set or split, an unsupported image size, an `image_dir`, `image_file`,
        `labels` or share that is superfluous, missing or out of range, a damaged file, or a split without
        usable images.
      FileNotFoundError: for a missing folder or file, or a data set that is neither here nor available.
      ImportError: for `photos` without scikit-image; for `cifar10`, and `celeb_a` without `image_dir`,
        without TFDS.
      OSError: for a `cache_dir` that is not writable, or an unreadable file or folder.
    """
    expected, received = f"a data set: one of {', '.join(_registered)}", arguments.short_repr(name)
    remedy = "Choose one of these, or import the module that registers it first (--plugin)"
    remedy = did_you_mean(name, _registered, remedy)
    expect(isinstance(name, str) and name in _registered, expected, received, remedy)
    arguments.choice("split", split, SPLITS)
    if image_size is not None:
        image_size = arguments.size("image_size", image_size)
    loader = _registered[name]
    parameters = inspect.signature(loader).parameters
    source: dict[str, Any] = {
        "image_dir": _absolute("image_dir", image_dir),
        "image_file": _absolute("image_file", image_file),
    }
    if labels:
        source["labels"] = labels if labels == FOLDERS else _absolute("labels", labels)
    shares = {"validation_share": validation_share, "test_share": test_share}
    source |= {x: arguments.positive(x, y, 1) for x, y in shares.items() if y is not None}
    for option, value in source.items():
        loaders = _registered.items()
        capable = [other for other, x in loaders if option in inspect.signature(x).parameters]
        remedy = f"Leave it out, or choose a data set that takes one: {', '.join(capable)}"
        expected = f"no {option} for the data set {name!r}"
        expect(not value or option in parameters, expected, repr(str(value)), remedy)
    channels = arguments.whole("channels", channels, 1, MAX_CHANNELS)
    if num_values is not None:
        num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
    options = {**dict.fromkeys(("labels", *SHARES)), **source, "data_dir": data_dir}
    options |= {"channels": channels, "num_values": num_values}
    if "cache_dir" in parameters:
        options["cache_dir"] = _absolute("cache_dir", cache_dir) or cache.default_folder()
    images = loader(split, image_size, **{x: options[x] for x in parameters if x in options})
    received = type(images).__name__
    if fits := isinstance(images, Images):
        received = getattr(images.pixels, "shape", "images of several sizes")
        fits = images.num_images > 0 and image_size in (None, images.image_size)
    expect(
        fits,
        f"data.Images, one at least, of the size {image_size} from the loader of {name!r}, for {split!r}",
        received,
        f"Fix {loader.__name__} in {_module(loader)}, or choose another split",
    )
    check_kind(images, channels, num_values)
    images.source = {"dataset": name}
    for option, value in source.items():
        images.source[option] = str(value) if isinstance(value, pathlib.Path) else value
    return images


def class_names(dataset: str | None, count: int) -> list[str]:
    """Names of the first `count` classes of a data set; "class 0" and so on where it has none."""
    names = CLASS_NAMES.get(dataset, ())
    return [*names, *(f"class {label}" for label in range(len(names), count))][:count]


def check_kind(images: Images, channels: int, num_values: int | None) -> None:
    """Raises ValueError for images with other channels, dtype or values."""
    image = images.pixels[0]
    dtype = image.dtype if num_values is None else arguments.pixel_dtype(num_values)
    fits = (image.shape[2], image.dtype) == (channels, dtype)
    expected = f"images of {channels} channel{'s' * (channels > 1)}, {dtype}, as the model has"
    remedy = "Give others, or build the model with their channels and bits (--channels, --bits)"
    expect(fits, expected, f"{image.shape[2]} of {image.dtype.name}", remedy)
    if num_values not in (None, 2**8, 2**16):  # the dtype allows larger values
        expected = f"images of values from 0 to {num_values - 1:,}, as the model has"
        remedy = "Give the model more bits (--bits)"
        expect(images.largest < num_values, expected, f"a value of {images.largest:,}", remedy)


def _absolute(name, path):
    is_given = path is not None and path != ""  # unset shell variables are empty
    return arguments.path(name, path).expanduser().absolute() if is_given else None


def _module(loader):
    """Import name of a loader's module, even while it runs as a program (python -m)."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return main.name if main and loader.__module__ == "__main__" else loader.__module__
