"""The data sets by their names: how one is registered, and how it is loaded."""

import pathlib
import sys
import types
from collections.abc import Callable
from typing import NamedTuple

from pixelcnn_aux.data.pipeline import Images

SPLITS = ("train", "validation", "test")


class Dataset(NamedTuple):
    """What is registered under a name."""

    loader: Callable
    image_dir: bool  # whether it takes a folder of images


_registered = {}
DATASETS = types.MappingProxyType(_registered)  # name -> Dataset: all that are registered by now


def register(name, image_dir=False):
    """A decorator that makes a loader known as a data set, in whichever file it stands.

        @data.register("textures", image_dir=True)
        def textures(split, image_size, data_dir, image_dir):
            return data.from_arrays(np.load(image_dir / f"{split}.npy"))

    The loader returns `Images` of `image_size`. It receives what `load` does, once that has been checked:

      split: one of `SPLITS`.
      image_size: (H, W), a tuple; a loader that has no images of that size raises ValueError.
      data_dir: as `load` received it.
      image_dir: an absolute `pathlib.Path`, or None where none was given.

    Args:
      name: str, what `load` and the programs' --dataset call it.
      image_dir: bool, whether it takes a folder of images; where not, `load` refuses one.

    Raises:
      ValueError: a name that another module has registered.
    """

    def decorate(loader):
        # The same module may come again: reloaded, in a notebook, as a program and as its plugin.
        if name in _registered and _module(_registered[name].loader) != _module(loader):
            raise ValueError(
                "Expected a name that no other module has registered, for the data set of "
                f"{_module(loader)}. Received: {name!r}, which {_module(_registered[name].loader)} "
                "has registered. Choose another name."
            )
        _registered[name] = Dataset(loader, image_dir)
        return loader

    return decorate


def check_name(name):
    """Raises ValueError for a name that is none of `DATASETS`."""
    if name not in _registered:
        raise ValueError(
            f"Expected a data set: one of {', '.join(_registered)}. Received: {name!r}. Choose one of "
            "these, or import the module that registers it first (--plugin)."
        )


def load(name, split, image_size=(32, 32), data_dir=None, image_dir=None):
    """Opens one split of a data set.

    Args:
      name: one of `DATASETS`.
      split: one of `SPLITS`.
      image_size: (H, W) of the images.
      data_dir: where TFDS keeps its data sets, for `cifar10` and `celeb_a`; None is TFDS's own
          default.
      image_dir: the folder of images, for `folder`, and for `celeb_a` where TFDS has not prepared
          it: that of the official aligned JPEGs.

    Returns:
      `Images`, whose `source` names the data set and the folder.

    Raises:
      ValueError: an unknown data set or split, an image size that the data set does not have,
          a missing or superfluous `image_dir`, a split with no image to use.
      FileNotFoundError: no such folder, or a data set that is neither here nor to be had.
      ImportError: `photos` without scikit-image.
    """
    check_name(name)
    if split not in SPLITS:
        raise ValueError(
            f"Expected a split: one of {', '.join(SPLITS)}. Received: {split!r}. Choose one of these."
        )
    dataset, image_size = _registered[name], tuple(image_size)
    if image_dir is not None:
        if not dataset.image_dir:
            others = [other for other in _registered if _registered[other].image_dir]
            raise ValueError(
                f"Expected no image_dir for the data set {name!r}. Received: {str(image_dir)!r}. "
                f"Leave it out, or choose a data set that takes one: {', '.join(others)}."
            )
        image_dir = pathlib.Path(image_dir).expanduser().absolute()
    images = dataset.loader(split, image_size, data_dir, image_dir)
    if not isinstance(images, Images) or images.image_size != image_size:
        received = getattr(images, "image_size", type(images).__name__)
        raise ValueError(
            f"Expected data.Images of the size {image_size} from the loader of {name!r}. Received: "
            f"{received}. Mend {dataset.loader.__name__} in {_module(dataset.loader)}."
        )
    images.source = {"dataset": name, "image_dir": image_dir and str(image_dir)}
    return images


def _module(loader):
    """The name of a loader's module, by which it is imported even if it is being run (python -m)."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return main.name if main and loader.__module__ == "__main__" else loader.__module__
