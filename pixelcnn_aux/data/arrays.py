"""The data set `arrays`: NumPy files with one array for each split."""

import io
import zipfile

import numpy as np

from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.data.images import Images, checked_pixels
from pixelcnn_aux.data.registry import register

MAX_COMPRESSED = 2**31  # bytes that an array may claim which takes fewer in its file
_MAKE = (
    "Make one by np.savez(file, train=..., validation=..., test=...), or np.save one array each as "
    "train.npy, validation.npy and test.npy in a folder, and give image_dir (--image_dir)"
)


@register("arrays")
def arrays(split, image_size, image_dir, image_file):
    """The array of the split's name, and SPLIT_labels if there, in a .npz file or .npy files of a folder."""
    expected = "a file of arrays, or a folder of them, for the data set 'arrays'"
    fits, received = (image_dir is None) != (image_file is None), "both" if image_file else "none"
    expect(fits, expected, received, f"Give image_file (--image_file). {_MAKE}")
    file, labels = image_file or image_dir / f"{split}.npy", f"{split}_labels"
    received, remedy = f"{file}, which is no file", f"Give one that exists. {_MAKE}"
    expect(file.is_file(), "a file of arrays", received, remedy, kind=FileNotFoundError)
    expected = f"a whole file of arrays, with uint8 or uint16 [N, H, W, C] for {split}"
    # Damaged files raise whatever they happen to spell.
    with restated(expected, f"{file}, which cannot be read", _MAKE, Exception):
        with disk.opened(file) as opened:
            if image_file:
                found = {name: _read(opened, name, name == split) for name in (split, labels)}
            else:
                beside = file.with_name(f"{labels}.npy")
                found = {split: np.lib.format.open_memmap(file, mode="r"), labels: None}
                if beside.exists():
                    found[labels] = np.load(io.BytesIO(disk.contents(beside)), allow_pickle=False)
        pixels = checked_pixels(found[split])
    fits, received = image_size in (None, pixels.shape[1:3]), f"{split} of {pixels.shape[1:3]}"
    remedy = "Choose a preset of that size, or give other arrays"
    expect(fits, f"images of {image_size} in {file}", received, remedy)
    return Images(pixels, labels=found[labels])


def _read(file, name, required):
    """An array of a .npz file, None if it is absent; ValueError if it is absent and `required`."""
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
            # The others are inflated as a whole, whatever size they claim.
            raise ValueError(f"compressed by ZIP's method {method}")
        with archive.open(member) as opened:
            pixels = np.lib.format.read_array(opened, allow_pickle=False)
            if opened.read(1):  # to the end, where the checksum is compared
                raise ValueError("more bytes than its header says")
    return pixels
