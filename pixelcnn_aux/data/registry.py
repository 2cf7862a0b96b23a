"""Data sets by name: how they are registered and loaded."""

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
FOLDERS = "folders"  # labels by the folders that image files are in

_Loader = TypeVar("_Loader", bound=Callable[..., Images])
_registered: dict[str, Callable[..., Images]] = {}
# name -> loader: all that are registered by now.
DATASETS: Mapping[str, Callable[..., Images]] = types.MappingProxyType(_registered)

# name -> names of its classes, in the order of their labels: a module that registers a data set may add them.
CLASS_NAMES: dict[str | None, Sequence[str]] = {}


def register(name: str) -> Callable[[_Loader], _Loader]:
    """A decorator that makes a loader known as a data set, in any file.

        @data.register("textures")
        def textures(split, image_size, image_dir):
            return data.from_arrays(np.load(image_dir / f"{split}.npy"))

    A loader is a function that returns one split, `Images` of `image_size`. `load` calls it with checked
    arguments:

      split: one of `SPLITS`.
      image_size: (H, W), a tuple; a loader that has no images of that size raises ValueError.

    and with those of the following that the loader has as parameters; others that are given are refused:

      image_dir, image_file: absolute `pathlib.Path`s, or None.
      data_dir: as `load` received it.
      labels: "folders", or the absolute path of a file, a str; or None.
      validation_share, test_share: above 0, and below 1 in all, floats; or None.
      cache_dir: an absolute `pathlib.Path` of a folder to keep files in, which the loader makes.
      channels, num_values: of the images, ints: uint8 up to 256 values, uint16 above. A loader without these
        parameters has images of one kind.

    Args:
      name: str, by which `load` and the programs' --dataset choose it.

    Raises ValueError for a name that another module has registered.
    """

    def decorate(loader: _Loader) -> _Loader:
        # The same module may come again: reloaded, in a notebook, as a program and as its plugin.
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
    num_values: int = 256,
    labels: PathLike | None = None,
    validation_share: float | None = None,
    test_share: float | None = None,
) -> Images:
    """Opens one split of a data set: `Images`, whose `source` names it and the folder or file.

    Args:
      name: one of `DATASETS`.
      split: one of `SPLITS`.
      image_size: (H, W) of the images; None for whole ones, as they are, which `folder` and `arrays` have.
      data_dir: where TFDS keeps its data sets, for `cifar10` and `celeb_a`; None is TFDS's own default.
      image_dir: the folder of images: for `folder`, `arrays`, and `celeb_a` where TFDS has not prepared it,
        that of the official aligned JPEGs.
      cache_dir: where `folder` and `celeb_a` keep the images that they have decoded; None is pixelcnn_aux in
        $XDG_CACHE_HOME or ~/.cache.
      image_file: the file of images, for `arrays`.
      channels, num_values: ints, of the images, as a model's likelihood has them: `folder` reads files of one
        channel or three, and `arrays` has those of its file.
      labels: the classes of the images of `folder`: "folders", those that they are in, in alphabetical
        order; or a CSV file with the columns "file" and "label". None for no labels. `arrays` and `cifar10`
        have their own.
      validation_share, test_share: the shares of the files of `folder` in these splits, above 0 and below 1
        in all; None is 0.02 and 0.05. A file's split follows from a hash of its name, but for those of the
        lowest hashes where a split of three files or more would be empty.

    Raises:
      ValueError: an unknown data set or split, an image size that the data set does not have, an `image_dir`,
        `image_file`, `labels` or share that is superfluous, missing or out of range, a damaged file, a split
        with no image to use.
      FileNotFoundError: no such folder or file, or a data set that is neither here nor to be had.
      ImportError: `photos` without scikit-image; `cifar10`, and `celeb_a` without `image_dir`, without TFDS.
      OSError: a `cache_dir` that cannot be written, a file or folder that cannot be read.
    """
    expected, received = f"a data set: one of {', '.join(_registered)}", arguments.short_repr(name)
    remedy = "Choose one of these, or import the module that registers it first (--plugin)"
    remedy = did_you_mean(name, _registered, remedy)
    expect(isinstance(name, str) and name in _registered, expected, received, remedy)
    arguments.choice("split", split, SPLITS)
    if image_size is not None:
        image_size = arguments.size("image_size", image_size)
    loader, takes = _registered[name], inspect.signature(_registered[name]).parameters
    paths = {"image_dir": image_dir, "image_file": image_file}
    source: dict[str, Any] = {what: _absolute(what, path) for what, path in paths.items()}
    if labels:
        source["labels"] = labels if labels == FOLDERS else _absolute("labels", labels)
    shares = {"validation_share": validation_share, "test_share": test_share}
    source |= {x: arguments.positive(x, y, 1) for x, y in shares.items() if y is not None}
    for what, path in source.items():
        loaders = _registered.items()
        others = [other for other, x in loaders if what in inspect.signature(x).parameters]
        remedy = f"Leave it out, or choose a data set that takes one: {', '.join(others)}"
        expected = f"no {what} for the data set {name!r}"
        expect(not path or what in takes, expected, repr(str(path)), remedy)
    channels = arguments.whole("channels", channels, 1, MAX_CHANNELS)
    num_values = arguments.whole("num_values", num_values, 2, arguments.MAX_VALUES)
    given = {**dict.fromkeys(("labels", *SHARES)), **source, "data_dir": data_dir}
    given |= {"channels": channels, "num_values": num_values}
    if "cache_dir" in takes:
        given["cache_dir"] = _absolute("cache_dir", cache_dir) or cache.default_folder()
    images = loader(split, image_size, **{x: given[x] for x in takes if x in given})
    received = type(images).__name__
    if fits := isinstance(images, Images):
        received = getattr(images.pixels, "shape", "images of several sizes")
        fits = images.num_images > 0 and image_size in (None, images.image_size)
    expect(
        fits,
        f"data.Images, one at least, of the size {image_size} from the loader of {name!r}, for {split!r}",
        received,
        f"Mend {loader.__name__} in {_module(loader)}, or choose another split",
    )
    check_kind(images, channels, num_values)
    source = {what: str(x) if isinstance(x, pathlib.Path) else x for what, x in source.items()}
    images.source = {"dataset": name, **source}
    return images


def class_names(dataset: str | None, count: int) -> list[str]:
    """The names of the first `count` classes of a data set; "class 0" and so on where it has none."""
    known = CLASS_NAMES.get(dataset, ())
    return [*known, *(f"class {label}" for label in range(len(known), count))][:count]


def check_kind(images: Images, channels: int, num_values: int) -> None:
    """Raises ValueError for images of another number of channels, another dtype, or with other values."""
    found, dtype = images.pixels[0], arguments.pixel_dtype(num_values)
    kind = found.shape[2], found.dtype.name
    expected = f"images of {channels} channel{'s' * (channels > 1)}, {dtype}, as the model has"
    remedy = "Give others, or build the model with their channels and bits (--channels, --bits)"
    expect(kind == (channels, dtype), expected, f"{kind[0]} of {kind[1]}", remedy)
    if num_values not in (2**8, 2**16):  # not all that the dtype holds
        largest = max(int(batch.max()) for batch in images.batches(1024))
        expected = f"images of values from 0 to {num_values - 1:,}, as the model has"
        remedy = "Scale them, or give the model more bits (--bits)"
        expect(largest < num_values, expected, f"a value of {largest:,}", remedy)


def _absolute(name, path):
    given = path is not None and path != ""  # which a shell's variable is that is not set
    return arguments.path(name, path).expanduser().absolute() if given else None


def _module(loader):
    """The name of a loader's module, by which it is imported even if it is being run (python -m)."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return main.name if main and loader.__module__ == "__main__" else loader.__module__
