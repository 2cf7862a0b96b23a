"""The sets of images that `evaluate.scores` tells apart: where they come from, and what was done to them."""

import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from pixelcnn_aux import data
from pixelcnn_aux.data.image_folder import fit

JPEG_QUALITY = 75  # Pillow's default
MOST_SIZES = 3  # that are told


class ScoredSet(NamedTuple):
    """Images of one size, and how they came to it."""

    name: str
    pixels: np.ndarray  # uint8 or uint16 [N, H, W, C]
    indices: list[int]  # which images of their split these are
    prepared: str


def belonging(images, num_images):
    """The set of `data.Images` as training has them; `num_images` evenly over them, or all of None.

    Raises ValueError for images of several sizes.
    """
    if images.image_size is None:
        raise ValueError(
            "Expected images of one size for --dataset, of a model that takes any. Received: images of "
            "several. Cut them, and save them as arrays (--dataset arrays)."
        )
    indices = images.spread_indices(num_images or images.num_images)
    name = images.source["dataset"]
    if file := images.source["image_file"]:
        name = pathlib.Path(file).stem
    return ScoredSet(name, images.take(indices), indices, "as training has them")


def opened(place, split, size, num_images, resized, **options):
    """The set of a place: the name of a data set, a file of arrays, a folder of image files, or NAME=PATH.

    Args:
      place: str.
      split: str, which images.
      size: (H, W) that they have to have.
      num_images: as for `belonging`.
      resized: bool, whether images of other sizes are cropped and resized.
      **options: others of `data.load`: "channels" and "num_values", and where data sets are kept.

    Raises ValueError for images of another size, unless `resized`, FileNotFoundError for no such place, and
    whatever `data.load` does.
    """
    name, dataset, where = _place(place)
    images = data.load(dataset, split, None, **where, **options)
    indices = images.spread_indices(num_images or images.num_images)
    chosen, prepared = [images.pixels[index] for index in indices], "as they are"
    sizes = dict.fromkeys(image.shape[:2] for image in chosen)
    if set(sizes) != {tuple(size)}:
        others = ["..."] * (len(sizes) > MOST_SIZES)
        found = ", ".join([*map(shown, list(sizes)[:MOST_SIZES]), *others])
        if not resized:
            raise ValueError(
                f"Expected sets of images of {shown(size)}. Received: {name}, of {found}. Resizing leaves "
                "traces that scores find: give images of that size, or --resize."
            )
        chosen = [fit(image, size) for image in chosen]
        prepared = (
            f"from {found}: the largest centered crop of the same aspect, resized to {shown(size)}, each "
            "pixel the mean of the area that it covers"
        )
    return ScoredSet(name, np.stack(chosen), indices, prepared)


def _place(place):
    """(name of the set, name of the data set, dict of where its images are)."""
    dataset, _, path = place.partition("=")
    if dataset not in data.DATASETS:
        dataset, path = None, place
    if not path:
        return dataset, dataset, {}
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the name of a data set ({', '.join(data.DATASETS)}), a file of arrays, a folder of "
            f"image files, or NAME=PATH for --against. Received: {place}, which is none. Give one of these."
        )
    is_folder = path.is_dir()
    where = {"image_dir" if is_folder else "image_file": path}
    return dataset or path.stem, dataset or ("folder" if is_folder else "arrays"), where


def resized_twice(scored):
    """A set resized to a little more than 5/4 of its size, and back."""
    size = scored.pixels.shape[1:3]
    larger = tuple(length * 5 // 4 + 1 for length in size)
    pixels = np.stack([fit(fit(image, larger), size) for image in scored.pixels])
    prepared = f"{scored.name} resized to {shown(larger)}, and back"
    return scored._replace(name=f"{scored.name} resized twice", pixels=pixels, prepared=prepared)


def as_jpeg(scored):
    """A set of 8-bit colors or grays as JPEG files hold it."""

    def compressed(image):
        file = io.BytesIO()
        picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
        picture.save(file, "JPEG", quality=JPEG_QUALITY)
        return np.asarray(Image.open(file)).reshape(image.shape)

    pixels = np.stack(list(map(compressed, scored.pixels)))
    prepared = f"{scored.name} as JPEG files of quality {JPEG_QUALITY}"
    return scored._replace(name=f"{scored.name} as JPEG", pixels=pixels, prepared=prepared)


def shown(size):
    """(H, W) as "H x W"."""
    return " x ".join(map(str, size))
