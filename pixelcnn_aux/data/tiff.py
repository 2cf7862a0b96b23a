"""TIFF files by tifffile: 16-bit colors, other numbers of channels, and stacks without their pixels."""

import contextlib
import io
import lzma
import math
import zlib

import numpy as np

from pixelcnn_aux.base.errors import needs, require

_SEPARATE = 2  # a value of the tag PlanarConfiguration
# Compressions that tifffile, without imagecodecs, inflates to any size.
_INFLATING = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}
_ELSEWHERE = {330, 34665, 34853, 40965}  # tags of smaller copies of a page, and of tables
_RESOLUTION = 282, 283, 296
# Tags of sizes, samples, strips and tiles.
STORAGE = {*range(256, 269), 273, 274, *range(277, 282), 284, *range(288, 294), 301, 317, 318, 319}
STORAGE |= {*range(320, 348), *range(512, 533)}


@contextlib.contextmanager
def opened(contents):
    """Context with a `tifffile.TiffFile`; ValueError for a damaged one, also where it is read within."""
    with needs("tifffile, for such TIFF files", "Run pip install tifffile"):
        import tifffile
    try:
        with tifffile.TiffFile(io.BytesIO(contents)) as file:
            yield file
    except (MemoryError, ValueError):
        raise
    except Exception as error:  # damaged bytes may raise any exception
        raise ValueError(f"damaged, or of a kind that needs another package: {error}") from error


def check(page, channels, bits):
    """Raises ValueError for a page of others."""
    found = page.samplesperpixel, page.bitspersample
    reason = f"a page of {found[0]} channels of {found[1]} bits, {channels} of {bits} are expected"
    require(found == (channels, bits), reason)


def read(contents, page, most):
    """Pixels of a page, black as 0: uint8 or uint16 [H, W, C]. Raises ValueError above `most` values."""
    size = height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    values = samples * max(height * width, page.tilelength * page.tilewidth)
    require(values <= most, f"{height} x {width} x {samples} values, {most:,} at most")
    fits = page.imagedepth == page.tiledepth == 1 and page.dtype in (np.uint8, np.uint16)
    require(fits, f"{page.dtype} values of depth {page.imagedepth}, 8 or 16 bits are expected")
    # tifffile leaves missing parts black.
    whole = len(page.dataoffsets) == math.prod(page.chunked) and all(page.databytecounts)
    require(whole, "parts of the picture are missing")
    if page.compression in _INFLATING:
        limit = values * page.dtype.itemsize
        for offset, count in zip(page.dataoffsets, page.databytecounts):
            decompressor = _INFLATING[page.compression]()
            part = decompressor.decompress(contents[offset : offset + count], limit + 1)
            require(len(part) <= limit, f"a part that inflates to more than {limit:,} bytes")
    pixels = _turned(page, page.asarray())
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels.reshape(size)


def emptied(contents, pictures):
    """A TIFF file with zeros for the pixels of its pages, which are those of `pictures`: bytes.

    Pages that are compressed, in tiles or of palettes are written plainly first, with their other tags.
    """
    for is_plain in (False, True):
        contents = _plain(contents, pictures) if is_plain else contents
        data, places = bytearray(contents), _places(contents, pictures)
        if all(data[start : start + len(values)] == values for start, values in places):
            for start, values in places:
                data[start : start + len(values)] = bytes(len(values))
            require(filled(bytes(data), pictures) == contents, "pages that overlap others")
            return bytes(data)
    raise ValueError("pages that cannot be written again")


def filled(contents, pictures):
    """The TIFF file that `emptied` made zeros in: bytes. Raises ValueError for other pictures."""
    data = bytearray(contents)
    for start, values in _places(contents, pictures):
        data[start : start + len(values)] = values
    return bytes(data)


def _places(contents, pictures):
    """List of (offset, bytes of the pixels) of each page."""
    with opened(contents) as file:
        pages = zip(file.pages, pictures, strict=True)
        return [
            (
                page.dataoffsets[0],
                _stored(page, x).astype(f"{file.byteorder}u{x.itemsize}").tobytes(),
            )
            for page, x in pages
        ]


def _stored(page, pixels):
    """Pixels [H, W, C] in the order of a page: [H, W], [H, W, C], or [C, H, W] for separate channels."""
    pixels = _turned(page, pixels)
    if page.samplesperpixel == 1 and page.photometric < 2:
        return pixels[..., 0]
    return np.moveaxis(pixels, -1, 0) if page.planarconfig == _SEPARATE else pixels


def _turned(page, pixels):
    """Pixels as negatives, if 0 is white."""
    return pixels if page.photometric else np.iinfo(pixels.dtype).max - pixels


def _plain(contents, pictures):
    import tifffile  # has read it

    with opened(contents) as file:
        planes = [_stored(page, x) for page, x in zip(file.pages, pictures, strict=True)]
        if file.is_shaped and not any(270 in page.tags for page in file.pages[1:]):
            planes = [np.stack(planes)]  # tifffile takes its own small pages for contiguous ones
        order = {"byteorder": file.byteorder, "bigtiff": file.is_bigtiff}
        with tifffile.TiffWriter(written := io.BytesIO(), **order) as writer:
            for page, pixels in zip(file.pages, planes):
                lost = _ELSEWHERE & {*page.tags.keys()}
                require(not lost, f"a compressed page beside other images or tables, tags {lost}")
                tags = [
                    (x.code, x.dtype, x.count, contents[x.valueoffset :][: x.valuebytecount], True)
                    for x in page.tags
                    if x.code not in {*STORAGE, *_RESOLUTION}
                ]
                x, y, unit = (page.tags.valueof(code) for code in _RESOLUTION)
                options = {"planarconfig": page.planarconfig, "extrasamples": page.extrasamples}
                options |= {"resolution": x and y and (x, y), "resolutionunit": unit}
                # Colors of palettes and JPEG are written as RGB.
                photometric = page.photometric
                if photometric > 2:
                    photometric = 2 if pixels.ndim > 2 else 1
                options |= {"photometric": photometric, "software": False, "metadata": None}
                writer.write(pixels, **options, extratags=tags)
    return written.getvalue()
