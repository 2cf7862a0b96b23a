"""The stored values of DICOM files, by pydicom: as the scanner left them, without a window."""

import io

import numpy as np

SUFFIX = ".dcm"


def is_dicom(contents):
    """Whether a file, bytes, begins as DICOM files do."""
    return contents[128:132] == b"DICM"


def decode(contents, most_pixels):
    """The pixels of a DICOM file, bytes, int [h, w]; of `most_pixels` at most.

    Raises ImportError without pydicom, and ValueError for a file that is damaged or holds something else than
    one image of one channel with values of 0 or more.
    """
    try:
        import pydicom  # here, since few need it
    except ImportError as error:
        raise ImportError(
            "Expected pydicom, which reads DICOM files. Received: no such package. Run pip install pydicom."
        ) from error
    try:
        found = pydicom.dcmread(io.BytesIO(contents))
        height, width, frames = found.Rows, found.Columns, int(found.get("NumberOfFrames", 1))
        fits = frames == found.SamplesPerPixel == 1 and height * width <= most_pixels
        pixels = found.pixel_array if fits else None
    except MemoryError:  # the file is not to blame
        raise
    except Exception as error:  # damaged bytes raise whatever they happen to spell
        raise ValueError("a damaged DICOM file, or compressed as pydicom cannot read it") from error
    if pixels is None:
        raise ValueError(
            f"{frames} images of {width} x {height} pixels and {found.SamplesPerPixel} channels, one of one "
            f"channel and {most_pixels:,} pixels at most is expected"
        )
    if (least := np.min(pixels)) < 0 or pixels.dtype.kind not in "iu":
        raise ValueError(
            f"values of {pixels.dtype} from {least}, whole ones of 0 or more are expected"
        )
    return pixels
