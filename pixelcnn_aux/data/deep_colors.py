"""Colors of 16 bits a channel, of which Pillow keeps 8: PNG files by TensorFlow, TIFF files by tifffile."""

import io
import math

import numpy as np
from PIL.ExifTags import Base as Tags

from pixelcnn_aux.data import tfds

MODES = ("RGB", "RGBA", "RGBX", "LA", "I;16", "I;16B", "I;16L", "I")


def decode(contents, picture):
    """The pixels of an image file, bytes, which Pillow has opened as `picture`: uint16 [h, w, 3], upright.

    Gray is there thrice, and alpha is dropped. Raises ImportError without the package that reads the file,
    ValueError for a file that it does not read, and whatever it raises for a damaged one.
    """
    package = "tensorflow" if picture.format == "PNG" else "tifffile"
    try:
        pixels = (_of_png if picture.format == "PNG" else _of_tiff)(contents)
    except ImportError as error:
        raise ImportError(
            f"Expected {package}, which reads colors of 16 bits. Received: no such package. "
            f"Run pip install {package}."
        ) from error
    return _turned(pixels, picture.getexif().get(Tags.Orientation))


def _of_png(contents):
    import tensorflow as tf  # here, as it takes seconds, and few files need it

    tfds.leave_gpus(tf)
    return tf.io.decode_png(contents, 3, tf.uint16).numpy()


def _of_tiff(contents):
    import tifffile

    with tifffile.TiffFile(io.BytesIO(contents)) as file:
        page = file.pages[0]
        if len(page.dataoffsets) != math.prod(page.chunked):  # which would be left black
            raise ValueError("parts of the picture are missing")
        try:
            pixels = page.asarray()
        except KeyError as error:  # a compression that takes another package
            raise ValueError(error.args[0]) from error
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=-1)


def _turned(pixels, orientation):
    """[h, w, 3], turned as the number of an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])
