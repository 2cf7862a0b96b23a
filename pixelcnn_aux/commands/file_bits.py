"""What the images of factors take as lossless files, and the record that programs keep of that."""

import numpy as np

from pixelcnn_aux.data.lossless_files import FORMATS, bits_per_dim, holding
from pixelcnn_aux.runs import disk


def mean_bits(model, names, batches, progress):
    """Means of `lossless_files.bits_per_dim` over images: {factor name: {format that holds them: float}}.

    Args:
      model: `AuxiliaryModel`.
      names: list of str, the factors'.
      batches: iterable of uint8 or uint16 [b, H, W, C] of full images.
      progress: function that is called with the number of images done.
    """
    bits = {name: {x: [] for x in holding(model.factors[name].likelihood)} for name in names}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_format in bits.items():
            for image_format, values in by_format.items():
                values.extend(bits_per_dim(image_format, images[name]))
        count += len(batch)
        progress(count)
    return {name: {k: float(np.mean(x)) for k, x in found.items()} for name, found in bits.items()}


def recorded(file, crc32):
    """What `mean_bits` has found for the images of a checksum, of what `record` has written; None if nothing.

    Raises OSError and ValueError as `disk.read_json`.
    """
    found = disk.read_json(file) if file.exists() else []
    try:
        same = [x["bits"] for x in found if (x["crc32"], x["settings"]) == (crc32, FORMATS)]
        return {name: dict(bits) for name, bits in same[0].items()} if same else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected records of codecs in {file}. Received: a damaged file ({error!r}). Remove it."
        ) from error


def record(file, measured, crc32, bits):
    """Adds to a file what `mean_bits` found, which takes longer than a small model's evaluation.

    Args:
      file: `pathlib.Path`.
      measured: dict that JSON can hold, which describes the images.
      crc32: int, their checksum.
      bits: what `mean_bits` returns.
    """
    found = disk.read_json(file) if file.exists() else []
    # In the place of others of the same description.
    found = [x for x in found if (x.get("measured"), x["settings"]) != (measured, FORMATS)]
    new = {"measured": measured, "settings": FORMATS, "bits": bits, "crc32": crc32}
    disk.write_json(file, [*found, new])
