"""The data set `arrays`: a file of NumPy arrays, one for each split."""

import math
import struct
import zipfile
import zlib

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.data.images import Images
from pixelcnn_aux.data.registry import SPLITS, register

MAX_COMPRESSED = 2**31  # bytes that an array may claim which takes fewer in its file
_CHUNK = 2**20
# What `zipfile` raises for files that are damaged, encrypted, or compressed in a way that it does not know.
_DAMAGED = (
    *(EOFError, OSError, RuntimeError, UnicodeError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
_MAKE = "Make one by np.savez(file, train=..., validation=..., test=...)."


@register("arrays", image_file=True)
def arrays(split, image_size, data_dir, image_file):
    """The array of the split's name in a .npz file, uint8 [N, H, W, 3].

    As `np.savez` writes it the array stays in the file, which is mapped to memory, once its checksum
    is compared. As `np.savez_compressed` writes it the array is read into memory.
    """
    del data_dir
    if image_file is None:
        raise ValueError(
            "Expected a file of arrays for the data set 'arrays'. Received: none. Give image_file "
            f"(--image_file). {_MAKE}"
        )
    if not image_file.is_file():
        raise FileNotFoundError(
            f"Expected a .npz file. Received: {image_file}, which is none. Give an image_file that exists."
        )
    try:
        with zipfile.ZipFile(image_file) as archive:
            pixels = _read(archive, image_file, split)
    except _DAMAGED as error:
        raise ValueError(
            f"Expected a whole .npz file. Received: {image_file}, which is damaged, of another kind, or "
            f"cannot be read ({error}). {_MAKE}"
        ) from error
    if pixels.shape[1:3] != image_size:
        raise ValueError(
            f"Expected images of {image_size} in {image_file}. Received: {split} of "
            f"{pixels.shape[1:3]}. Choose a preset of that size, or give another image_file."
        )
    return Images(pixels)


def _read(archive, image_file, split):
    """The pixels of a split, uint8 [N, H, W, 3]."""
    names = archive.namelist()
    if f"{split}.npy" not in names:
        others = ", ".join(arguments.shown(name.removesuffix(".npy")) for name in names[:9])
        raise ValueError(
            f"Expected arrays {', '.join(SPLITS)} in {image_file}. Received: no {split} among "
            f"{others or 'nothing'}. {_MAKE}"
        )
    member = archive.getinfo(f"{split}.npy")
    stored = member.compress_type == zipfile.ZIP_STORED
    if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
        # The others are inflated as a whole, whatever size they claim.
        raise ValueError(
            f"Expected arrays that NumPy has compressed, or none has. Received: {split} of {image_file}, "
            f"compressed by ZIP's method {member.compress_type}. {_MAKE}"
        )
    if not stored and member.file_size > MAX_COMPRESSED:
        raise ValueError(
            f"Expected at most {MAX_COMPRESSED:,} bytes in an array that is compressed. Received: "
            f"{member.file_size:,} in {split} of {image_file}. Write it by np.savez, uncompressed."
        )
    with archive.open(member) as file:
        shape = _shape(file, f"{split} of {image_file}")
        start, size = file.tell(), math.prod(shape)
        if member.file_size != start + size:
            raise ValueError(
                f"Expected {start + size:,} bytes in {split} of {image_file}, uint8 {list(shape)}. "
                f"Received: {member.file_size:,}. {_MAKE}"
            )
        pixels = None if stored else np.empty(size, np.uint8)
        for at in range(0, size, _CHUNK):  # to the end, where its checksum is compared
            chunk = file.read(min(_CHUNK, size - at))
            if len(chunk) < min(_CHUNK, size - at):
                raise EOFError(f"{split} ends early")
            if not stored:
                pixels[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
    if stored:
        return np.memmap(image_file, np.uint8, "r", _offset(image_file, member) + start, shape)
    return pixels.reshape(shape)


def _shape(file, what):
    """Reads the start of a .npy file: the shape of its pixels, once that is what it should be."""
    try:
        # Headers of a later version are longer than 64 kB, and no array of these shapes needs one.
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"version {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except _DAMAGED:
        raise
    except Exception as error:
        # Headers are literals of Python, and damaged ones raise whatever its parser does.
        raise ValueError(
            f"Expected an array of NumPy's. Received: {what}, which is damaged ({error}). {_MAKE}"
        ) from error
    if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or min(shape) < 1 or fortran_order:
        order = ", in Fortran's order" if fortran_order else ""
        raise ValueError(
            f"Expected uint8 [N, H, W, 3], of one image at least. Received: {what}, {dtype.name} "
            f"{list(shape)}{order}. Give RGB values from 0 to 255 as uint8, in C's order."
        )
    return shape


def _offset(image_file, member):
    """Where the contents of a member begin in the file: after a header, and two texts of any length."""
    with open(image_file, "rb") as file:
        file.seek(member.header_offset + 26)
        lengths = struct.unpack("<HH", file.read(4))
    return member.header_offset + 30 + sum(lengths)
