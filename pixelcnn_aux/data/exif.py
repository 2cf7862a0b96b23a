"""How a camera was held: the EXIF orientation of a JPEG or PNG file."""

import struct

import numpy as np

_APP1, _START_OF_SCAN = 0xE1, 0xDA  # markers of JPEG: what EXIF stands in, and what ends the header
_EXIF = b"Exif\0\0"  # before the TIFF structure
PNG = b"\x89PNG\r\n\x1a\n"
ORIENTATION, _SHORT = 0x0112, 3  # TIFF's: the tag, and the type of its value


def orientation(contents):
    """The orientation that a JPEG or PNG file says it has.

    Args:
      contents: bytes of the file.

    Returns:
      int from 1 to 8, as `upright` takes it; 1 where the file says none, or nothing that makes sense.
    """
    return (_of_png if contents.startswith(PNG) else _of_jpeg)(contents)


def _of_png(contents):
    at = len(PNG)
    while at + 8 <= len(contents):
        length, kind = struct.unpack_from(">I4s", contents, at)
        if kind == b"eXIf":
            return of_segment(contents[at + 8 : at + 8 + length])
        at += 12 + length  # with the checksum
    return 1


def _of_jpeg(contents):
    try:
        at = 2  # after the start of the image
        while contents[at] == 0xFF and contents[at + 1] != _START_OF_SCAN:
            if contents[at + 1] == 0xFF:  # a byte that fills
                at += 1
                continue
            (length,) = struct.unpack_from(">H", contents, at + 2)
            if contents[at + 1] == _APP1 and contents[at + 4 : at + 10] == _EXIF:
                return of_segment(contents[at + 4 : at + 2 + length])
            at += 2 + length
    except (IndexError, struct.error):  # it ends before what it announces
        pass
    return 1


def of_segment(segment):
    """The orientation that the EXIF of a file says, likewise: bytes from "Exif" on."""
    try:
        return _of_tiff(segment.removeprefix(_EXIF))
    except struct.error:
        return 1


def upright(image, orientation):
    """Turns an image so that it is seen as it was taken.

    Args:
      image: [h, w, C], as it is stored.
      orientation: int from 1 to 8, of EXIF: which sides the first row and the first column are seen at.

    Returns:
      [h, w, C], a view; [w, h, C] for orientations above 4.
    """
    if orientation > 4:
        image = np.swapaxes(image, 0, 1)
    if orientation in (3, 4, 7, 8):  # the first row is seen at the bottom
        image = image[::-1]
    if orientation in (2, 3, 6, 7):  # the first column is seen on the right
        image = image[:, ::-1]
    return image


def _of_tiff(tiff):
    """The orientation in the first directory of a TIFF structure."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(entries):
        tag, kind, count, value = struct.unpack_from(
            order + "HHIH", tiff, directory + 2 + 12 * entry
        )
        if (tag, kind, count) == (ORIENTATION, _SHORT, 1):
            return value if 1 <= value <= 8 else 1
    return 1
