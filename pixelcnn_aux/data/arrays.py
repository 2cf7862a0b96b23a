"""The data set `arrays`: NumPy files with one array for each split."""

import zipfile

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.data.images import Images, checked_pixels
from pixelcnn_aux.data.registry import register

MAX_COMPRESSED = 2**31  # bytes that an array may claim which takes fewer in its file
_MAKE = (
    "Make one by np.savez(file, train=..., validation=..., test=...), or np.save one array each as "
    "train.npy, validation.npy and test.npy in a folder, and give image_dir (--image_dir)."
)


@register("arrays")
def arrays(split, image_size, image_dir, image_file):
    """The array of the split's name, as for `from_arrays`: of a .npz file, or a .npy file in a folder.

    Labels, int [N] or float [N, D], are the array SPLIT_labels, where there is one.

    That of a .npz file is read into memory, once its checksum is compared. A .npy file is mapped to memory.
    """
    if (image_dir is None) == (image_file is None):
        raise ValueError(
            "Expected a file of arrays, or a folder of them, for the data set 'arrays'. Received: "
            f"{'none' if image_file is None else 'both'}. Give image_file (--image_file). {_MAKE}"
        )
    file = image_file or image_dir / f"{split}.npy"
    if not file.is_file():
        raise FileNotFoundError(
            f"Expected a file of arrays. Received: {file}, which is none. Give one that exists. {_MAKE}"
        )
    try:
        pixels = _read(file, split) if image_file else np.lib.format.open_memmap(file, mode="r")
        pixels = checked_pixels(pixels)
        labels = _labels(file, split, image_file)
    except Exception as error:  # damaged files raise whatever they happen to spell
        raise ValueError(
            f"Expected a whole file of arrays, with uint8 or uint16 [N, H, W, C] for {split}. Received: "
            f"{file}, which cannot be read ({error or type(error).__name__}). {_MAKE}"
        ) from error
    if image_size not in (None, pixels.shape[1:3]):
        raise ValueError(
            f"Expected images of {image_size} in {file}. Received: {split} of "
            f"{pixels.shape[1:3]}. Choose a preset of that size, or give other arrays."
        )
    return Images(pixels, labels=labels)


def _labels(file, split, image_file):
    """The labels of a split, beside its pixels; None where there are none."""
    name = f"{split}_labels"
    if not image_file:
        file = file.with_name(f"{name}.npy")
        return np.load(file, allow_pickle=False) if file.is_file() else None
    with zipfile.ZipFile(file) as archive:
        has_labels = f"{name}.npy" in archive.namelist()
    return _read(file, name) if has_labels else None


def _read(file, split):
    """The array of a split in a .npz file."""
    with zipfile.ZipFile(file) as archive:
        if f"{split}.npy" not in archive.namelist():
            names = [
                arguments.short_repr(name.removesuffix(".npy")) for name in archive.namelist()[:9]
            ]
            raise ValueError(f"no {split} among {', '.join(names) or 'nothing'}")
        member = archive.getinfo(f"{split}.npy")
        size, method = member.file_size, member.compress_type
        if method == zipfile.ZIP_DEFLATED and size > MAX_COMPRESSED:
            raise ValueError(f"{size:,} bytes of a compressed array, {MAX_COMPRESSED:,} at most")
        if method not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            # The others are inflated as a whole, whatever size they claim.
            raise ValueError(f"compressed by ZIP's method {method}")
        with archive.open(member) as opened:
            pixels = np.lib.format.read_array(opened, allow_pickle=False)
            if opened.read(1):  # to the end, where the checksum is compared
                raise ValueError("more bytes than its header says")
    return pixels
