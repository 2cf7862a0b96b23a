"""Data set `arrays`: NumPy files with one array per split."""

import io
import zipfile

import numpy as np

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data.images import Images, checked_pixels
from pixelcnn_aux.data.registry import register

MAX_COMPRESSED = 2**31  # largest uncompressed size in bytes of a compressed array
_MAKE = (
    "Make one by np.savez(file, train=..., validation=..., test=...), or np.save one array each as "
    "train.npy, validation.npy and test.npy in a folder, and give image_dir (--image_dir)"
)


@register("arrays")
def arrays(split, image_size, image_dir, image_file):
    """Arrays SPLIT and, optionally, SPLIT_labels, in a .npz file or as .npy files in a folder."""
    expected = "a file of arrays, or a folder of them, for the data set 'arrays'"
    is_one = (image_dir is None) != (image_file is None)
    received = "both" if image_file else "none"
    expect(is_one, expected, received, f"Give image_file (--image_file). {_MAKE}")
    file = image_file or image_dir / f"{split}.npy"
    received, remedy = f"{file}, which is no file", f"Give one that exists. {_MAKE}"
    expect(file.is_file(), "a file of arrays", received, remedy, kind=FileNotFoundError)
    expected = f"a whole file of arrays, with uint8 or uint16 [N, H, W, C] for {split}"
    # Damaged files may raise any exception.
    with restated(expected, f"{file}, which cannot be read", _MAKE, Exception):
        with disk.opened(file) as opened:
            if image_file:
                pixels = _read(opened, split, required=True)
                labels = _read(opened, f"{split}_labels", required=False)
            else:
                pixels = np.lib.format.open_memmap(file, mode="r")
                beside = file.with_name(f"{split}_labels.npy")
                labels = None
                if beside.exists():
                    labels = np.load(io.BytesIO(disk.contents(beside)), allow_pickle=False)
        pixels = checked_pixels(pixels)
    size = pixels.shape[1:3]
    remedy = "Choose a preset of that size, or give other arrays"
    expected, received = f"images of {image_size} in {file}", f"{split} of {size}"
    expect(image_size in (None, size), expected, received, remedy)
    return Images(pixels, labels=labels)


def _read(file, name, required):
    """Array in a .npz file; if absent, raises ValueError where `required`, else returns None."""
    with zipfile.ZipFile(file) as archive:
        members = archive.namelist()
        if f"{name}.npy" not in members:
            if not required:
                return None
            names = [arguments.short_repr(member.removesuffix(".npy")) for member in members[:9]]
            raise ValueError(f"no {name} among {', '.join(names) or 'nothing'}")
        member = archive.getinfo(f"{name}.npy")
        size, method = member.file_size, member.compress_type
        if method == zipfile.ZIP_DEFLATED and size > MAX_COMPRESSED:
            raise ValueError(f"{size:,} bytes of a compressed array, {MAX_COMPRESSED:,} at most")
        if method not in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            # Other methods inflate a member as a whole, whatever size it claims.
            raise ValueError(f"compressed by ZIP's method {method}")
        with archive.open(member) as opened:
            array = np.lib.format.read_array(opened, allow_pickle=False)
            if opened.read(1):  # reading to the end also compares the checksum
                raise ValueError("more bytes than its header says")
    return array
