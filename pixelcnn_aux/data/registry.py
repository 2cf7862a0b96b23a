"""The data sets by their names: how one is registered, and how it is loaded."""

import pathlib
import sys
import types
from collections.abc import Callable
from typing import NamedTuple

from pixelcnn_aux import arguments
from pixelcnn_aux.data import cache
from pixelcnn_aux.data.images import Images

SPLITS = ("train", "validation", "test")


class Dataset(NamedTuple):
    """What is registered under a name."""

    loader: Callable
    image_dir: bool  # whether it takes a folder of images
    image_file: bool  # whether it takes a file of images
    cache_dir: bool  # whether it keeps what it has decoded


_registered = {}
DATASETS = types.MappingProxyType(_registered)  # name -> Dataset: all that are registered by now


def register(name, image_dir=False, image_file=False, cache_dir=False):
    """A decorator that makes a loader known as a data set, in whichever file it stands.

        @data.register("textures", image_dir=True)
        def textures(split, image_size, data_dir, image_dir):
            return data.from_arrays(np.load(image_dir / f"{split}.npy"))

    The loader returns `Images` of `image_size`. It receives what `load` does, once that has been checked:

      split: one of `SPLITS`.
      image_size: (H, W), a tuple; a loader that has no images of that size raises ValueError.
      data_dir: as `load` received it.
      image_dir: an absolute `pathlib.Path`, or None where none was given. Of a data set with `image_file`
        it is the path of the file: `def textures(split, image_size, data_dir, image_file)`.
      cache_dir: an absolute `pathlib.Path`, for a loader that is registered with `cache_dir` and no other.

    Args:
      name: str, what `load` and the programs' --dataset call it.
      image_dir: bool, whether it takes a folder of images; where not, `load` refuses one.
      image_file: bool, whether it takes a file of images instead; where not, `load` refuses one.
      cache_dir: bool, whether it keeps files of its own in a folder, which it makes where there is none.

    Raises:
      ValueError: a name that another module has registered, or both a folder and a file.
    """
    if image_dir and image_file:
        raise ValueError(
            f"Expected image_dir or image_file for the data set {name!r}. Received: both. Leave one out."
        )

    def decorate(loader):
        # The same module may come again: reloaded, in a notebook, as a program and as its plugin.
        if name in _registered and _module(_registered[name].loader) != _module(loader):
            raise ValueError(
                "Expected a name that no other module has registered, for the data set of "
                f"{_module(loader)}. Received: {name!r}, which {_module(_registered[name].loader)} "
                "has registered. Choose another name."
            )
        _registered[name] = Dataset(loader, image_dir, image_file, cache_dir)
        return loader

    return decorate


def load(
    name,
    split,
    image_size=(32, 32),
    data_dir=None,
    image_dir=None,
    cache_dir=None,
    image_file=None,
):
    """Opens one split of a data set.

    Args:
      name: one of `DATASETS`.
      split: one of `SPLITS`.
      image_size: (H, W) of the images.
      data_dir: where TFDS keeps its data sets, for `cifar10` and `celeb_a`; None is TFDS's own
          default.
      image_dir: the folder of images, for `folder`, and for `celeb_a` where TFDS has not prepared
          it: that of the official aligned JPEGs.
      cache_dir: where `folder` and `celeb_a` keep the images that they have decoded; None is
          pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache.
      image_file: the file of images, for `arrays`.

    Returns:
      `Images`, whose `source` names the data set and the folder or file.

    Raises:
      ValueError: an unknown data set or split, an image size that the data set does not have,
          an `image_dir` or `image_file` that is superfluous, or missing where a data set of this package
          needs it, a file that is not as it should be, a split with no image to use.
      FileNotFoundError: no such folder or file, or a data set that is neither here nor to be had.
      ImportError: `photos` without scikit-image; `folder`, `celeb_a` and `cifar10` without TensorFlow.
      OSError: a `cache_dir` that cannot be written.
    """
    if name not in _registered:
        raise ValueError(
            f"Expected a data set: one of {', '.join(_registered)}. Received: {name!r}. Choose one of "
            "these, or import the module that registers it first (--plugin)."
        )
    if split not in SPLITS:
        raise ValueError(
            f"Expected a split: one of {', '.join(SPLITS)}. Received: {split!r}. Choose one of these."
        )
    dataset, image_size = _registered[name], arguments.size("image_size", image_size)
    given = {"image_dir": _absolute(image_dir), "image_file": _absolute(image_file)}
    for what, path in given.items():
        if path and not getattr(dataset, what):
            others = [other for other in _registered if getattr(_registered[other], what)]
            raise ValueError(
                f"Expected no {what} for the data set {name!r}. Received: {str(path)!r}. "
                f"Leave it out, or choose a data set that takes one: {', '.join(others)}."
            )
    path = given["image_file" if dataset.image_file else "image_dir"]
    keeps = [_absolute(cache_dir) or cache.default_folder()] if dataset.cache_dir else []
    images = dataset.loader(split, image_size, data_dir, path, *keeps)
    if not isinstance(images, Images) or images.image_size != image_size:
        received = getattr(images, "image_size", type(images).__name__)
        raise ValueError(
            f"Expected data.Images of the size {image_size} from the loader of {name!r}. Received: "
            f"{received}. Mend {dataset.loader.__name__} in {_module(dataset.loader)}."
        )
    if not images.num_images:
        raise ValueError(
            f"Expected images in the split {split!r} of {name!r}. Received: none. Choose another split, or "
            f"mend {dataset.loader.__name__} in {_module(dataset.loader)}."
        )
    images.source = {"dataset": name, **{what: path and str(path) for what, path in given.items()}}
    return images


def _absolute(path):
    return pathlib.Path(path).expanduser().absolute() if path else None


def _module(loader):
    """The name of a loader's module, by which it is imported even if it is being run (python -m)."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return main.name if main and loader.__module__ == "__main__" else loader.__module__
