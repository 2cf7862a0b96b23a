"""Data set `photos`: crops of photographs from this package and scikit-image."""

import importlib.util
import pathlib

import numpy as np

from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.resizing import fit, resize
from pixelcnn_aux.data import decoding
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import register

# Whole scenes are held out; the two motorcycle pictures are one scene, from two viewpoints.
PHOTOS = {
    "train": (
        *("astronaut.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
        *("hubble_deep_field.jpg", "ihc.png", "retina.jpg"),
    ),
    "validation": ("coffee.png",),
    "test": ("chelsea.png",),
}
_OWN = pathlib.Path(__file__).parent / "pictures"
_HELD_OUT_FIRST = (*PHOTOS["test"], *PHOTOS["validation"], *PHOTOS["train"])
SHORTER = (256, 128)  # the two scales: pixels along a photograph's shorter side


@register("photos")
def photos(split, image_size):
    """Crops of `image_size` at two scales, or whole photographs; without downloads."""
    if image_size is None:
        return Images(list(map(read, PHOTOS[split])))
    most = min(SHORTER)
    expected = f"an image size of at most {most} x {most} for the data set 'photos'"
    remedy = "Choose a smaller size, or another data set"
    expect(max(image_size) <= most, expected, image_size, remedy)
    # Training gains from overlapping crops; elsewhere each pixel counts once per scale.
    stride = [max(1, length // 4) if split == "train" else length for length in image_size]
    crops = []
    for photo in map(read, PHOTOS[split]):
        for shorter in SHORTER:
            scale = shorter / min(photo.shape[:2])
            scaled = resize(photo, [round(scale * length) for length in photo.shape[:2]])
            windows = np.lib.stride_tricks.sliding_window_view(scaled, image_size, axis=(0, 1))
            windows = windows[:: stride[0], :: stride[1]]  # [rows, columns, 3, H, W]
            crops.append(np.moveaxis(windows, 2, -1).reshape(-1, *image_size, 3))
    return Images(np.concatenate(crops))


def names():
    """Names of the installed `PHOTOS`, held-out ones first: list of str."""
    return [name for name in _HELD_OUT_FIRST if _file(name).is_file()]


def squares(size):
    """Center squares of all photographs, held-out ones first: uint8 [N, size, size, 3]."""
    return np.stack([fit(read(name), (size, size)) for name in _HELD_OUT_FIRST])


def read(name):
    """Reads one of `PHOTOS`: uint8 [H, W, 3]. Raises ImportError without scikit-image."""
    file = _file(name)
    expected = "scikit-image, for its photographs"
    remedy = "Run pip install scikit-image, or choose another data set"
    expect(file.is_file(), expected, "no such package", remedy, kind=ImportError)
    return decoding.decode(decoding.contents(file))


def _file(name):
    """Path of a photograph: held-out ones are in this package, the others in scikit-image."""
    skimage = importlib.util.find_spec("skimage")
    if (_OWN / name).is_file() or not skimage:
        return _OWN / name
    return pathlib.Path(skimage.submodule_search_locations[0], "data", name)
