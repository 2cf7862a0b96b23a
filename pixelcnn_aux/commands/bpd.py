"""Computes bits per dimension of a split of a data set, such as

    pixelcnn-aux bpd --workdir cifar10-pyramid --dataset photos
    pixelcnn-aux bpd --workdir runs/mine --split validation

Prints a table, and writes it to WORKDIR/bpd.json: means over all images, for each factor and their total,
under the averaged weights. "bound" is the paper's, on the images' -log2 p(X) from above (equation 5); "exact"
is -log2 p(X) itself, which the same networks give if what contradicts an auxiliary image is ruled out. Beside
them stand the same images as PNG and WebP files, and as JPEG XL where pillow-jxl-plugin is installed, of
which WORKDIR/codecs.json keeps the bits.
"""

import importlib
import math
import zlib

import numpy as np
from absl import flags

from pixelcnn_aux import backend
from pixelcnn_aux.batches import pixel_bar, progress_bar
from pixelcnn_aux.codec import Codec
from pixelcnn_aux.commands import chosen_run, file_bits
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.tensors import fingerprint
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS


def main():
    if FLAGS.bytes:
        backend.require_tensorflow("--bytes")
        importlib.import_module("pixelcnn_aux.codec.entropy")  # needs constriction: better told now
    folder, model = chosen_run.load(FLAGS.best)
    images = chosen_run.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)
    condition = chosen_run.condition(images, model)

    def batches():
        return chosen_run.batches(images, count)

    def shown():
        return progress_bar(count, "image").update

    measured = {**chosen_run.source(folder), "split": FLAGS.split, "num_images": count}
    # Before the evaluation, which would be lost where nothing can be written, or the records are damaged.
    out, crc32 = chosen_run.outputs(folder), checksum(batches())
    file, records = out / "bpd.json", out / "codecs.json"
    names = [n for n, factor in model.factors.items() if lossless_files.holding(factor.likelihood)]
    codecs = file_bits.recorded(records, crc32) if names else {}
    to_compress = codecs is None or (names and FLAGS.codecs)
    results = splits.summarize(model, batches(), shown(), condition)
    # At once: neither files nor the images as files may come to be.
    totals = ", ".join(f"{name} {result['total']:.4f}" for name, result in results.items())
    print(f"{FLAGS.split} split, {count:,} images: {totals} bits per dimension", flush=True)
    found = {**measured, "crc32": crc32, "best": FLAGS.best, "model": identity(model)}
    if model.condition is not None:
        found["condition"] = chosen_run.told(images)
    found |= {**results[splits.kind(model)], **results}
    disk.write_json(file, found)
    if to_compress:
        print(f"As files of {', '.join(lossless_files.FORMATS)}:", flush=True)
        codecs = file_bits.mean_bits(model, names, batches(), shown())
    print_table(model, results, codecs)
    if to_compress:
        file_bits.record(records, measured, crc32, codecs)
    if FLAGS.bytes:  # It takes many times longer.
        print("As a compressed file:", flush=True)
        values = [image for batch in batches() for image in batch]
        told = None if condition is None else condition[:count]
        bar = pixel_bar(sum(math.prod(image.shape[:2]) for image in values))
        given = values if model.image_size is None else np.stack(values)
        size = len(Codec(model).compress(given, told, progress=bar))
        bits = 8 * size / sum(image.size for image in values)
        print(f"{size:,} bytes, {bits:.4f} bits per dimension")
        disk.write_json(file, {**found, "bytes": size})
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


def print_table(model, results, codecs):
    """A row for each factor: its share of the totals, and bits per dimension of its own image.

    The latter are, of the model as it is, the factor alone, given the auxiliary image; its image, by all
    factors so far; and codecs on the same images. The paper's table 2 may be read as either of the former.
    """

    def line(name, *cells):
        shown = (f"{cell:.4f}" if isinstance(cell, float) else cell or "" for cell in cells)
        print(f"{name:16}", *(f"{cell:>10}" for cell in shown))

    blank, own, so_far = [""] * (len(results) - 1), splits.kind(model), 0.0
    line("", "bits/dim", *blank, f"   per dimension of the factor's own image, {own}")
    line("", *results, "alone", "so far", *lossless_files.FORMATS)
    for name, share in splits.shares(model).items():
        alone = results[own]["factors"][name]
        so_far += alone
        files = [codecs.get(name, {}).get(x) for x in lossless_files.FORMATS]
        own_image = [alone / share, so_far / share, *files]
        line(name, *(result["factors"][name] for result in results.values()), *own_image)
    line("total", *(result["total"] for result in results.values()))
    line("standard error", *(result["std_error"] for result in results.values()))
    if "exact" not in results:
        print("No exact figure: the auxiliary images are not all fixed by sums that are declared.")
    if "restricted" in results:
        print("Restricted: what contradicts those that are fixed is ruled out.")
    if codecs:
        print(lossless_files.NOTE)


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_condition()
    chosen_run.define_part()
    flags.DEFINE_bool("bytes", False, "Also compresses the images, and tells the size of the file.")
    flags.DEFINE_bool(
        "codecs", False, "Makes PNG and other files, even if codecs.json has figures."
    )
