"""Reads picture files without loss, and writes PNG, TIFF and DICOM files."""

import io
import itertools
import pathlib
import re
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ExifTags import Base as Tags

from pixelcnn_aux.base.errors import expect, needs, restated
from pixelcnn_aux.data import decoding

# Pillow modes whose pixels fit three channels of 8 bits, and alpha.
MODES = ("1", "L", "P", "RGB", "LA", "RGBA")
SUFFIXES = {".png": "PNG", ".tif": "TIFF", ".dcm": "DICOM"}  # of `Picture.kind`
_MAX_METADATA = 2**24  # bytes of a color profile, of EXIF or of a DICOM file's rest
_REST = struct.Struct("<QB")  # bytes before the pixels of a DICOM file, and of each value
# TIFF tags of sizes, samples, strips, tiles and profiles.
_STORAGE = {*range(254, 269), 273, 274, *range(277, 282), 284, *range(288, 294), 301, 317, 318, 319}
_STORAGE |= {*range(320, 348), *range(512, 533), 700, 34675}
_REMEDY = "Get the file again"


class Picture(NamedTuple):
    """A picture and its extras, as a codec stores them."""

    pixels: np.ndarray  # uint8 or uint16 [H, W, C], upright
    # kind -> bytes: "alpha", a PNG file, if some pixel is not opaque; on request, deflated, "icc", "exif" and
    # "dicom", the `_rest`.
    extras: dict
    kind: str = "PNG"  # of the file that it comes back as, one of `SUFFIXES`


def read(path, channels=3, metadata=False, num_values=256):
    """Reads an image file: list of `Picture`, with 3 channels or 1; several for a TIFF file of pages.

    `metadata` are color profile and EXIF, or all of a DICOM file. Raises OSError for a file that cannot be
    read, and ValueError for one that would lose information.
    """
    bits = 8 if num_values <= 256 else 16
    gray = "of one channel, " * (channels == 1)
    expected = f"a whole {decoding.kinds(channels)} file, {gray}of {bits} bits a channel"
    with restated(expected, f"{path}", "Convert or omit it"):
        contents = decoding.contents(path)
        if channels == 1 and decoding.is_dicom(contents):
            pixels = decoding.decode(contents, channels, num_values)
            rest = {"dicom": _rest(contents, pixels)} if metadata else {}
            return [Picture(pixels, rest, "DICOM" if metadata else "PNG")]
        with decoding.opened(contents, channels, bits, pages=True) as picture:
            # Also JPEG files from stereo cameras and phones.
            is_tiff, count = picture.format == "TIFF", getattr(picture, "n_frames", 1)
            if count > 1 and not is_tiff:
                raise ValueError("several pictures, all but the first of which would be lost")
            found, left = [], decoding.MAX_PIXELS
            for number in range(count):
                if number:
                    picture.seek(number)
                    decoding.check(contents, picture, channels, bits, left, pages=True)
                pixels, extras = _page(contents, picture, channels, metadata, num_values)
                left -= pixels[..., 0].size  # pages may share their bytes
                found.append(Picture(pixels, extras, "TIFF" if is_tiff else "PNG"))
            return found


def _page(contents, picture, channels, metadata, num_values):
    """The pixels and extras of the present page of a Pillow image."""
    extras = {}
    if num_values <= 256:
        if picture.mode not in MODES:
            raise ValueError(f"pixels of the mode {picture.mode}, which would lose information")
        decoding.turn_upright(picture)
        extras = _alpha(picture, contents)
    elif picture.mode in ("LA", "RGBA", "RGBX") or "transparency" in picture.info:
        raise ValueError("alpha beside 16 bits a channel, which would be lost")
    if metadata:
        extras |= _metadata(picture)
    return decoding.upright(contents, picture, channels, num_values), extras


def write(file, picture):
    """Writes a `Picture` to a binary file, in grays if its channels and color profile allow it."""
    pixels, extras, kind = picture
    if kind == "DICOM":
        file.write(_with_rest(extras.get("dicom", b""), pixels))
        return
    keywords = {"icc": "icc_profile", "exif": "exif"}
    options = {keywords[x]: _inflated(x, extras[x]) for x in keywords if x in extras}
    color_space = options.get("icc_profile", b"")[16:20]
    gray = pixels.shape[2] == 1 or (decoding.is_gray(pixels) and color_space in (b"", b"GRAY"))
    if pixels.dtype == np.uint16 and not gray:
        (_write_deep_png if kind == "PNG" else _write_deep_tiff)(file, pixels, **options)
        return
    image = Image.fromarray(pixels[..., 0] if gray else pixels)
    if "alpha" in extras:
        image.putalpha(Image.fromarray(_opened_alpha(extras["alpha"], pixels.shape[:2])))
    if kind == "TIFF" and "exif" in options:
        options["exif"] = _described(options["exif"])
    image.save(file, kind, **options)


def _described(exif):
    """EXIF, bytes, without the tags of how a TIFF file stores its pixels: a Pillow `Exif`."""
    with restated("EXIF of a picture", "others", _REMEDY, Exception):  # hostile bytes may raise any
        (described := Image.Exif()).load(exif)
        for tag in _STORAGE & {*described}:
            del described[tag]
    return described


def _write_deep_png(file, pixels, icc_profile=None, exif=None):
    """Writes uint16 [H, W, 3], which Pillow cannot, each row as differences from the row above."""
    height, width, _ = pixels.shape
    rows = np.frombuffer(pixels.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    rows = np.insert(np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1])), 0, 2, axis=1)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)}
    if icc_profile:
        chunks[b"iCCP"] = b"icc\0\0" + zlib.compress(icc_profile, 9)
    if exif:
        chunks[b"eXIf"] = exif.removeprefix(b"Exif\0\0")
    chunks |= {b"IDAT": zlib.compress(rows, 9), b"IEND": b""}
    file.write(b"\x89PNG\r\n\x1a\n")
    for name, data in chunks.items():
        checksum = struct.pack(">I", zlib.crc32(name + data))
        file.write(struct.pack(">I", len(data)) + name + data + checksum)


def _write_deep_tiff(file, pixels, icc_profile=None, exif=None):
    """Writes uint16 [H, W, 3], which Pillow cannot; without EXIF, which tifffile does not write."""
    del exif
    with needs(
        "tifffile, which writes colors of 16 bits", "Run pip install tifffile, or choose png"
    ):
        import tifffile
    tifffile.imwrite(file, pixels, photometric="rgb", metadata=None, iccprofile=icc_profile)


def _rest(contents, pixels):
    """All bytes of a DICOM file but those of its pixels, after a `_REST`, deflated."""
    import pydicom  # has decoded the pixels

    def find(contents):
        return contents.rfind(pixels.astype(f"<u{size}").tobytes())

    # Damaged files may raise any exception.
    with restated(
        "a DICOM file that can be written again", "another", "Omit --metadata", Exception
    ):
        dataset = pydicom.dcmread(io.BytesIO(contents))
        size = dataset.BitsAllocated // 8
        if (first := find(contents)) < 0:  # compressed
            if dataset.file_meta.TransferSyntaxUID.is_compressed:
                dataset.decompress(generate_instance_uid=False)
            pydicom.dcmwrite(file := io.BytesIO(), dataset)
            contents = file.getvalue()
            first = find(contents)
        if first < 0:
            raise ValueError("pixels that are not stored as whole bytes, or have further bits")
    rest = contents[:first] + contents[first + size * pixels.size :]
    rest = _REST.pack(first, size) + rest
    if len(rest) > _MAX_METADATA:
        raise ValueError(f"{len(rest):,} bytes beside the pixels, {_MAX_METADATA:,} at most")
    return zlib.compress(rest, 9)


def _with_rest(data, pixels):
    """The DICOM file of pixels and their `_rest`: bytes."""
    rest = _inflated("dicom", data)
    first, size = _REST.unpack_from(rest) if len(rest) >= _REST.size else (0, 0)
    rest = rest[_REST.size :]
    fits = size in (1, 2, 4) and first <= len(rest) and pixels.max() < 256**size
    expect(fits, "the rest of a DICOM file", "another one", _REMEDY)
    return rest[:first] + pixels.astype(f"<u{size}").tobytes() + rest[first:]


def names(files):
    """PNG file names for picture files, numbered where names are equal up to case or to those of `pages`."""
    unique = {}  # keyed by case-folded name, as on case-insensitive disks
    for file in files:
        stem = pathlib.Path(file).stem
        plain = [] if re.search(r"[.]page\d+$", stem) else [""]
        endings = itertools.chain(plain, (f"-{number}" for number in itertools.count(2)))
        candidates = (f"{stem}{ending}.png" for ending in endings)
        name = next(name for name in candidates if name.casefold() not in unique)
        unique[name.casefold()] = name
    return list(unique.values())


def pages(name, loaded):
    """The file name of each `Picture` of a file, from that of `names`."""
    suffixes = {kind: suffix for suffix, kind in SUFFIXES.items()}
    stem, several = name.removesuffix(".png"), len(loaded) > 1
    return [
        f"{stem}{f'.page{number:04}' * several}{suffixes[picture.kind]}"
        for number, picture in enumerate(loaded, start=1)
    ]


def _alpha(picture, contents):
    """{"alpha": a PNG file} of a Pillow image; {} if it is opaque."""
    if picture.mode not in ("LA", "RGBA") and "transparency" not in picture.info:
        return {}
    # Pillow scales grays of fewer bits to 8, but not the transparent gray level.
    if picture.mode in ("1", "L") and decoding.depth(contents, picture) < 8:
        raise ValueError("a transparent gray level of fewer than 8 bits, which would be lost")
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    if alpha.min() == 255:
        return {}
    Image.fromarray(alpha).save(file := io.BytesIO(), "PNG", optimize=True)
    return {"alpha": file.getvalue()}


def _metadata(picture):
    """Deflated "icc" and "exif" of an upright Pillow image, if present: dict, kind -> bytes."""
    exif = picture.getexif()
    exif.pop(Tags.Orientation, None)  # already applied
    blocks = {"icc": picture.info.get("icc_profile"), "exif": exif.tobytes() if exif else None}
    for kind, data in blocks.items():
        if data and len(data) > _MAX_METADATA:
            raise ValueError(f"{len(data):,} bytes of {kind}, {_MAX_METADATA:,} at most")
    return {kind: zlib.compress(data, 9) for kind, data in blocks.items() if data}


def _inflated(kind, data):
    decompressor = zlib.decompressobj()
    try:
        inflated = decompressor.decompress(data, _MAX_METADATA)
    except zlib.error:
        inflated = b""
    expected = f"{kind} of a picture, deflated, of at most {_MAX_METADATA:,} bytes"
    expect(inflated and decompressor.eof, expected, "invalid data", _REMEDY)
    return inflated


def check_extras(extras, size):
    """Raises ValueError for extras that no picture of this size (H, W) could be written with."""
    for kind, data in extras.items():
        _opened_alpha(data, size) if kind == "alpha" else _inflated(kind, data)


def _opened_alpha(data, size):
    """Reads a picture's alpha from a PNG file: uint8 [H, W]. Raises ValueError for other files."""
    with restated(f"alpha of {size}, 8 bits, as a PNG file", "another file", _REMEDY):
        with decoding.opened(data, channels=1) as picture:
            alpha = np.asarray(picture)
        if (alpha.shape, picture.mode) != (size, "L"):
            raise ValueError(f"{picture.mode} of {alpha.shape}")
    return alpha
