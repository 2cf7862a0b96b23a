"""Bits per dimension of a split: python -m evaluate.bpd --split test.

Means over all images, under the averaged weights, as a table and as WORKDIR/bpd.json: the paper's bound on
the images' -log2 p(X) from above (equation 5), and -log2 p(X) itself, which the same networks give if what
contradicts an auxiliary image is ruled out. Beside them stand the same images as PNG and WebP files, of which
WORKDIR/codecs.json keeps the figures.
"""

import json
import zlib
from typing import NamedTuple

import numpy as np
from absl import flags

from evaluate import common, image_files
from pixelcnn_aux import arguments, backend, data, evaluation
from pixelcnn_aux.codec import Codec
from pixelcnn_aux.codec.codec import fingerprint
from pixelcnn_aux.programs import program, progress
from pixelcnn_aux.runs import disk

FLAGS = flags.FLAGS


def main():
    if FLAGS.bytes:
        backend.require_tensorflow("--bytes")
    folder, model = common.load(FLAGS.best)
    images = common.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)

    def batches():
        return images.batches(common.batch_size(model.image_size), count)

    def shown():
        return progress.bar(count, "image").update

    measured = {**common.source(folder), "split": FLAGS.split, "num_images": count}
    if measured["image_file"] is None:
        del measured["image_file"]  # as in records of before there were files of images
    # Before the evaluation, which would be lost where nothing can be written, or the records are damaged.
    out = common.outputs(folder)
    crc32 = checksum(batches())
    records = CodecRecords(out / "codecs.json", crc32)
    names = [n for n, factor in model.factors.items() if image_files.can_hold(factor.likelihood)]
    codecs = records.find(measured) if names else {}
    anew = codecs is None or bool(names and FLAGS.codecs)
    both = evaluation.bound_and_exact(model, batches(), shown())
    results = dict(zip(kinds(model), map(evaluation.summarize, both)))
    # At once: neither files nor the images as files may come to be.
    totals = ", ".join(f"{name} {result['total']:.4f}" for name, result in results.items())
    print(f"{FLAGS.split} split, {count:,} images: {totals} bits per dimension", flush=True)
    file = out / "bpd.json"
    found = {
        **measured,
        "crc32": crc32,
        "best": FLAGS.best,
        "model": identity(model),
        **results[kind(model)],
        **results,
    }
    disk.write_json(file, found)
    if anew:
        print(f"As {' and '.join(image_files.FORMATS)} files:", flush=True)
        codecs = codec_bits(model, names, batches(), shown())
    print_table(model, results, codecs)
    if anew:
        records.store(measured, codecs)
    if FLAGS.bytes:  # It takes many times longer.
        found["bytes"] = num_bytes(model, batches(), shown())
        disk.write_json(file, found)
    print(f"Wrote {file}")


def identity(model):
    """What tells a model and its weights from others, whether it is exact or not: str."""
    return fingerprint(model.with_exact(True))


def checksum(batches):
    """The CRC-32 of the pixels of uint8 [b, H, W, C], however they are batched: int."""
    found = 0
    for images in batches:
        found = zlib.crc32(np.ascontiguousarray(images), found)
    return found


class CodecRecord(NamedTuple):
    measured: dict  # what describes the images
    settings: dict  # `image_files.FORMATS` of then
    bits: dict  # as `codec_bits` gives them
    crc32: int | None  # the images' `checksum`; None in records of before there were any


def _record(measured, settings, bits, crc32=None):
    """`CodecRecord` of what a file says. Raises TypeError or ValueError for bits that are no figures."""
    for by_codec in dict(bits).values():
        for codec, figure in dict(by_codec).items():
            arguments.positive(codec, figure)
    return CodecRecord(measured, settings, bits, crc32)


class CodecRecords:
    """A file of what `codec_bits` found: compressing takes longer than a small model's evaluation.

    Args:
      file: `pathlib.Path`.
      crc32: int, the `checksum` of the images that are asked for: files of images may be written anew.
    """

    def __init__(self, file, crc32):
        self.file = file
        self.crc32 = crc32

    def find(self, measured):
        """What is stored for images that `measured` describes, a dict that JSON can hold; None if nothing.

        Raises:
          OSError: as `disk.explained`.
          ValueError: if the file is damaged.
        """
        of_these = (r for r in self._read() if self._is_of(r, measured) and r.crc32 == self.crc32)
        return next((record.bits for record in of_these), None)

    def store(self, measured, bits):
        """Stores the result of `codec_bits`, in the place of an earlier one that `measured` describes too."""
        others = [record for record in self._read() if not self._is_of(record, measured)]
        records = [*others, CodecRecord(measured, image_files.FORMATS, bits, self.crc32)]
        disk.write_json(self.file, [record._asdict() for record in records])

    def _is_of(self, record, measured):
        return (record.measured, record.settings) == (measured, image_files.FORMATS)

    def _read(self):
        with disk.explained(f"to read {self.file}"):
            text = self.file.read_bytes() if self.file.exists() else b"[]"
        try:
            return [_record(**record) for record in json.loads(text)]
        except (RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected records of codecs, as JSON, in {self.file}. Received: a damaged file ({error}). "
                "Remove it."
            ) from error


def codec_bits(model, names, batches, progress):
    """Means over all images that the factors of these names model.

    Returns:
      dict, factor name -> {codec: bits per dimension of the factor's own image}.
    """
    bits = {name: {codec: [] for codec in image_files.FORMATS} for name in names}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_codec in bits.items():
            for codec, values in by_codec.items():
                values.extend(image_files.bits_per_dim(codec, images[name]))
        count += len(batch)
        progress(count)
    return {
        name: {codec: float(np.mean(values)) for codec, values in by_codec.items()}
        for name, by_codec in bits.items()
    }


def num_bytes(model, batches, progress):
    """The size of all images of a split as one file of the codec, which it prints too."""
    print("As a compressed file:", flush=True)
    images = np.concatenate(list(batches))
    size = len(Codec(model).compress(images, progress=progress))
    print(f"{size:,} bytes, {8 * size / images.size:.4f} bits per dimension")
    return size


def kinds(model):
    """What the figures are called: "bound" and, where that is another one, what rules values out.

    The latter is "exact", or "restricted" of a model of which some factors only can be exact. A model without
    auxiliary images has "exact" alone.
    """
    held = model.with_exact(True)
    if not _is_held(held):
        return ["exact" if held.exact else "bound"]
    return ["bound", "exact" if held.exact else "restricted"]


def kind(model):
    """Which of the figures are the model's own."""
    return kinds(model)[-1] if model.exact or _is_held(model) else "bound"


def _is_held(model):
    return any(factor.exact for factor in model.factors.values())


def print_table(model, results, codecs):
    """A row for each factor: its share of the totals, and figures per dimension of its own image.

    The latter are, of the model as it is, the factor alone, given the auxiliary image; its image, by all
    factors so far; and codecs on the same images. The paper's table 2 may be read as either of the former.
    """

    def line(name, *cells):
        shown = (f"{cell:.4f}" if isinstance(cell, float) else cell or "" for cell in cells)
        print(f"{name:16}", *(f"{cell:>10}" for cell in shown))

    blank, own = [""] * (len(results) - 1), kind(model)
    line("", "bits/dim", *blank, f"   per dimension of the factor's own image, {own}")
    line("", *results, "alone", "so far", *image_files.FORMATS)
    so_far = 0.0
    for name, share in evaluation.shares(model).items():
        bits = results[own]["factors"][name]
        so_far += bits
        of_own_image = [bits / share, so_far / share, *codecs.get(name, {}).values()]
        line(name, *(result["factors"][name] for result in results.values()), *of_own_image)
    line("total", *(result["total"] for result in results.values()))
    line("standard error", *(result["std_error"] for result in results.values()))
    if "exact" not in results:
        print("No exact figure: the auxiliary images are not all fixed by sums that are declared.")
    if "restricted" in results:
        print("Restricted: what contradicts those that are fixed is ruled out.")
    if codecs:
        print(image_files.NOTE)


def define_flags():
    common.define_flags()
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, "Only the first so many; all if unset.", lower_bound=1)
    flags.DEFINE_bool("bytes", False, "Also compresses the images, and tells the size of the file.")
    flags.DEFINE_bool("codecs", False, "Makes PNG and WebP files, even if codecs.json has figures.")


if __name__ == "__main__":
    define_flags()
    program.run(main)
