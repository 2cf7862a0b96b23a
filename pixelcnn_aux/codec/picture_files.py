"""Reads picture files without loss, and writes PNG, TIFF and DICOM files."""

import functools
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

from pixelcnn_aux.base.errors import expect, needs, require, restated
from pixelcnn_aux.codec import container
from pixelcnn_aux.data import decoding, tiff

# Pillow modes whose pixels fit three channels of 8 bits, and alpha.
MODES = ("1", "L", "P", "RGB", "LA", "RGBA")
SUFFIXES = {".png": "PNG", ".tif": "TIFF", ".dcm": "DICOM"}  # of `Picture.kind`
_MAX_METADATA = 2**24  # bytes of a color profile, of EXIF or of a DICOM file's rest
# Bytes before the pixels of a DICOM file, and of each value, plus `_BIG` if big-endian, and plus `_SIGNED`
# if the least value follows.
_REST, _LEAST = struct.Struct("<QB"), struct.Struct("<q")
_BIG, _SIGNED = 8, 16
_STORAGE = {*tiff.STORAGE, 254, 255, 700, 34675}  # with tags of profiles
_REMEDY = "Get the file again"


class Picture(NamedTuple):
    """A picture and its extras, as a codec stores them."""

    pixels: np.ndarray  # uint8 or uint16 [H, W, C], upright
    # kind -> bytes: "alpha", a PNG file, if some pixel is not opaque; on request, deflated, "icc", "exif" and
    # "dicom", the `_rest`; and "tiff", the emptied file, deflated twice, of its first page, b"" of others.
    extras: dict
    kind: str = "PNG"  # of the file that it comes back as, one of `SUFFIXES`


def read(path, channels=3, metadata=False, num_values=256):
    """Reads an image file: list of `Picture` of so many channels; several for a TIFF file of pages.

    `metadata` are color profile and EXIF, or all of a DICOM file or TIFF stack. Raises OSError for a file
    that cannot be read, and ValueError for one that would lose information.
    """
    bits = 8 if num_values <= 256 else 16
    gray = "of one channel, " * (channels == 1)
    expected = f"a whole {decoding.kinds(channels)} file, {gray}of {bits} bits a channel"
    with restated(expected, f"{path}", "Omit it, or train a model for it (--channels, --bits)"):
        contents = decoding.contents(path)
        if channels == 1 and decoding.is_dicom(contents):
            pixels, least = decoding.stored_values(contents, num_values)
            rest = {"dicom": _rest(contents, pixels, least, metadata)} if metadata or least else {}
            return [Picture(pixels, rest, "DICOM" if rest else "PNG")]
        look = functools.partial(_extras, contents, metadata=metadata, num_values=num_values)
        found = [*decoding.images(contents, channels, num_values, look)]
        kind = "TIFF" if decoding.is_tiff(contents) else "PNG"
        is_stack = len(found) > 1 or channels not in (1, 3) or b"<OME " in contents
        if metadata and kind == "TIFF" and is_stack:
            alpha = any("alpha" in extras for _, extras in found)
            require(not alpha, "alpha of a page, which would be lost: read it without metadata")
            emptied = tiff.emptied(contents, [pixels for pixels, _ in found])
            rest = _deflated("tiff", zlib.compress(emptied))
            return [
                Picture(x, {"tiff": b"" if k else rest}, kind) for k, (x, _) in enumerate(found)
            ]
        return [Picture(pixels, extras, kind) for pixels, extras in found]


def _extras(contents, picture, metadata, num_values):
    """The extras of the present page of a Pillow image, which this turns upright."""
    extras = {}
    # Also JPEG files from stereo cameras and phones.
    several = getattr(picture, "n_frames", 1) > 1 and picture.format != "TIFF"
    require(not several, "several pictures, all but the first of which would be lost")
    if num_values <= 256:
        fits = picture.mode in MODES
        require(fits, f"pixels of the mode {picture.mode}, which would lose information")
        decoding.turn_upright(picture)
        extras = _alpha(picture, contents)
    else:
        opaque = picture.mode not in ("LA", "RGBA", "RGBX") and "transparency" not in picture.info
        require(opaque, "alpha beside 16 bits a channel, which would be lost")
    return extras | _metadata(picture) if metadata else extras


def write(file, picture, *others):
    """Writes a `Picture` to a binary file, in grays if its channels and color profile allow it.

    `others` are further pages of a file whose first has "tiff".
    """
    pixels, extras, kind = picture
    if kind == "TIFF" and "tiff" in extras:
        pages = [page.pixels for page in (picture, *others)]
        most = 2 * _MAX_METADATA + sum(x.nbytes for x in pages)
        with restated("a TIFF file for these pages", "another one", _REMEDY, Exception):
            emptied = _inflated("tiff", _inflated("tiff", extras["tiff"]), most)
            file.write(tiff.filled(emptied, pages))
        return
    if kind == "DICOM":
        file.write(_with_rest(extras.get("dicom", b""), pixels))
        return
    keywords = {"icc": "icc_profile", "exif": "exif"}
    options = {keywords[x]: _inflated(x, extras[x]) for x in keywords if x in extras}
    color_space = options.get("icc_profile", b"")[16:20]
    gray = pixels.shape[2] == 1
    if pixels.shape[2] == 3:
        gray = decoding.is_gray(pixels) and color_space in (b"", b"GRAY")
    signed = "dicom" in extras and _inflated("dicom", extras["dicom"])[8:9] >= bytes([_SIGNED])
    expected = f"values from 0, of one channel or three, for a {kind} file"
    fits = not signed and (kind == "TIFF" or pixels.shape[2] in (1, 3))
    expect(
        fits,
        expected,
        f"{pixels.shape[2]} channels",
        "Omit --format, or give tiff for more channels",
    )
    if not gray and (pixels.dtype == np.uint16 or pixels.shape[2] != 3):
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
    with restated(
        "EXIF of a picture", "invalid bytes", _REMEDY, Exception
    ):  # hostile bytes may raise any
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
    """Writes colors of 16 bits, or other channels; without EXIF, which tifffile does not write."""
    del exif
    with needs("tifffile, which writes such TIFF files", "Run pip install tifffile"):
        import tifffile
    photometric = "rgb" if pixels.shape[2] == 3 else "minisblack"
    how = {"photometric": photometric, "planarconfig": "contig", "iccprofile": icc_profile}
    tifffile.imwrite(file, pixels, metadata=None, **how)


def _rest(contents, pixels, least, metadata=True):
    """All bytes of a DICOM file but those of its pixels, after a `_REST`, deflated.

    Without `metadata`, of a file of these alone.
    """
    import pydicom  # has decoded the pixels

    # Damaged files may raise any exception.
    with restated(
        "a DICOM file that can be written again", "another", "Omit --metadata", Exception
    ):
        dataset = pydicom.dcmread(io.BytesIO(contents))
        syntax, size = dataset.file_meta.TransferSyntaxUID, dataset.BitsAllocated // 8
        code = size + _BIG * (not syntax.is_little_endian) + _SIGNED * (least < 0)
        values = _stored(pixels, code, least)
        for tag in [] if metadata else [x for x in dataset.keys() if x.group not in (0x28, 0x7FE0)]:
            del dataset[tag]
        if not metadata or values not in contents:
            if syntax.is_compressed:
                dataset.decompress(generate_instance_uid=False)
            pydicom.dcmwrite(file := io.BytesIO(), dataset)
            contents = file.getvalue()
        first = contents.rfind(values)
        require(first >= 0, "pixels that are not stored as whole bytes, or have further bits")
    header = _REST.pack(first, code) + _LEAST.pack(least) * (least < 0)
    return _deflated("dicom", header + contents[:first] + contents[first + len(values) :])


def _with_rest(data, pixels):
    """The DICOM file of pixels and their `_rest`: bytes."""
    rest = _inflated("dicom", data)
    with restated("the rest of a DICOM file", "another one", _REMEDY, ValueError, struct.error):
        first, code = _REST.unpack_from(rest)
        rest, least = rest[_REST.size :], 0
        if code & _SIGNED:
            [least], rest = _LEAST.unpack_from(rest), rest[_LEAST.size :]
        fits = code < 2 * _SIGNED and code % _BIG in (1, 2, 4) and first <= len(rest)
        require(fits and pixels.max() < 256 ** (code % _BIG), "impossible places of pixels")
    return rest[:first] + _stored(pixels, code, least) + rest[first:]


def _stored(pixels, code, least):
    """The bytes of pixels in a DICOM file, by the code in `_REST`."""
    dtype = f"{'<>'[code & _BIG > 0]}{'ui'[code & _SIGNED > 0]}{code % _BIG}"
    return np.add(pixels, least, dtype=np.int64).astype(dtype).tobytes()


def names(files):
    """PNG file names for picture files, numbered where names are equal up to case or to those of `pages`."""
    unique = {}  # keyed by case-folded name, as on case-insensitive disks
    for file in files:
        stem = container.UNPRINTABLE.sub("_", pathlib.Path(file).stem)
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


def file_of(name):
    """The name of `names` that `pages` made a picture's name from."""
    return re.sub(r"([.]page\d+)?[.]\w+$", ".png", name)


def files(named, extras, suffix=None):
    """The files that pictures come back as, list of [name, number of pictures, extras of the first].

    A `suffix` other than that of a name gives each picture its own file.
    """
    found = []
    for (name, *_), each in zip(named, extras):
        path, rest = pathlib.Path(name), each.get("tiff")
        if suffix not in (None, path.suffix):
            found.append([f"{path.stem}{suffix}", 1, each])
        elif rest == b"" and found:
            found[-1][1] += 1
        else:
            stem = pathlib.Path(file_of(name)).stem if rest else path.stem
            found.append([f"{stem}{path.suffix}", 1, each])
    return found


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
    return {kind: _deflated(kind, data) for kind, data in blocks.items() if data}


def _deflated(kind, data):
    reason = f"{len(data):,} bytes of {kind}, {_MAX_METADATA:,} at most"
    require(len(data) <= _MAX_METADATA, reason)
    return zlib.compress(data, 9)


def _inflated(kind, data, most=_MAX_METADATA):
    decompressor = zlib.decompressobj()
    try:
        inflated = decompressor.decompress(data, most)
    except zlib.error:
        inflated = b""
    expected = f"{kind} of a picture, deflated, of at most {most:,} bytes"
    expect(inflated and decompressor.eof, expected, "invalid data", _REMEDY)
    return inflated


def check_extras(extras, size):
    """Raises ValueError for extras that no picture of this size (H, W) could be written with."""
    for kind, data in extras.items():
        if kind == "alpha":
            _opened_alpha(data, size)
        elif data or kind != "tiff":  # empty for the further pages of a stack
            _inflated(kind, data)


def _opened_alpha(data, size):
    """Reads a picture's alpha from a PNG file: uint8 [H, W]. Raises ValueError for other files."""
    with restated(f"alpha of {size}, 8 bits, as a PNG file", "another file", _REMEDY):
        with decoding.opened(data, channels=1) as picture:
            alpha = np.asarray(picture)
        if (alpha.shape, picture.mode) != (size, "L"):
            raise ValueError(f"{picture.mode} of {alpha.shape}")
    return alpha
