"""Computes bits per dimension of a split of a data set, such as

    pixelcnn-aux bpd --workdir cifar10-pyramid --dataset photos
    pixelcnn-aux bpd --workdir runs/mine --split validation

Prints a table, and writes it to WORKDIR/bpd.json: means over all images, for each factor and their total,
under the averaged weights. "bound" is the paper's upper bound on -log2 p(X) (equation 5); "exact" is -log2
p(X) itself, which the same networks give if images that contradict an auxiliary image are ruled out. The
table also has the same images as PNG and WebP files, and as JPEG XL where pillow-jxl-plugin is installed;
WORKDIR/codecs.json keeps these.
"""

import functools
import math
import zlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import summaries
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import restated
from pixelcnn_aux.base.progress import pixel_bar, progress_bar
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.data import lossless_files
from pixelcnn_aux.runs.tensors import fingerprint
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS


def main():
    folder, model = chosen_run.load(FLAGS.best)
    codec = pa.codec.Codec(model) if FLAGS.bytes else None  # which refuses floats
    images = chosen_run.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)
    uses_labels = images.labels is not None if FLAGS.condition is None else FLAGS.condition
    kind = model.condition
    if uses_labels:
        images.condition(kind)  # which refuses images without labels
    elif kind is not None and FLAGS.condition is None:
        print("The images have no labels, so the model is told none", flush=True)
    measured = {**chosen_run.source(folder), "split": FLAGS.split, "num_images": count}
    # Before the evaluation, which would be lost if nothing can be written, or the records are damaged.
    batches = functools.partial(chosen_run.batches, images, count)
    out, crc32 = chosen_run.outputs(folder), checksum(batches())
    file, records = out / "bpd.json", out / "codecs.json"
    names = [n for n, factor in model.factors.items() if lossless_files.holding(factor.likelihood)]
    codecs = recorded(records, crc32) if names else {}
    to_compress = codecs is None or (names and FLAGS.codecs)
    source = {**chosen_run.images_from(folder, model, FLAGS.split), "crc32": images.crc32}
    shard_bits = functools.partial(image_bits, images=source, uses_labels=uses_labels)
    shards = jobs.run_images(shard_bits, range(count), model, images, best=FLAGS.best)
    results = splits.summary(shards.joined())
    # At once: writing the results and compressing the images may fail.
    totals = ", ".join(f"{name} {result['total']:.4f}" for name, result in results.items())
    print(f"{FLAGS.split} split, {count:,} images: {totals} bits per dimension", flush=True)
    found = {**measured, "crc32": crc32, "best": FLAGS.best, "model": identity(model)}
    if kind is not None:
        found["condition"] = uses_labels
    found |= {**results[summaries.bits_kind(model)], **results}
    disk.write_json(file, found)
    if to_compress:
        print(f"As files of {', '.join(lossless_files.FORMATS)}:", flush=True)
        codecs = mean_file_bits(model, names, batches(), progress=progress_bar(count, "image"))
    print_table(model, results, codecs)
    if to_compress:
        record(records, measured, crc32=crc32, bits=codecs)
    if FLAGS.bytes:  # It takes many times longer.
        print("As a compressed file:", flush=True)
        values = [image for batch in batches() for image in batch]
        bar = pixel_bar(sum(math.prod(image.shape[:2]) for image in values))
        given = values if model.image_size is None else np.stack(values)
        size = len(codec.compress(given, progress=bar))
        bits = 8 * size / sum(image.size for image in values)
        print(f"{size:,} bytes, {bits:.4f} bits per dimension")
        disk.write_json(file, {**found, "bytes": size})
    print(f"Wrote {file}")


def image_bits(model, indices, *, images, uses_labels):
    """`splits.bits` of some images: a shard's."""
    part, kind, condition = chosen_run.part(indices, **images), model.condition, None
    if kind is not None:
        condition = part.condition(kind) if uses_labels else kind.unknown(len(indices))
    return splits.bits(model, chosen_run.batches(part), condition)


def identity(model):
    """The fingerprint of a model and its weights, the same whether it is exact or not: str."""
    return fingerprint(model.with_exact(True))


def checksum(batches):
    """The CRC-32 of the pixels of uint8 [b, H, W, C], however they are batched: int."""
    found = 0
    for images in batches:
        found = zlib.crc32(np.ascontiguousarray(images), found)
    return found


def mean_file_bits(model, names, batches, *, progress):
    """Mean bits per dimension of images as lossless files: {factor name: {format that holds them: float}}."""
    held = {name: lossless_files.holding(model.factors[name].likelihood) for name in names}
    bits, count = {name: {x: [] for x in formats} for name, formats in held.items()}, 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_format in bits.items():
            for image_format, values in by_format.items():
                values.extend(lossless_files.bits_per_dim(image_format, images[name]))
        progress(count := count + len(batch))
    return {name: {k: float(np.mean(x)) for k, x in found.items()} for name, found in bits.items()}


def recorded(file, crc32):
    """The `mean_file_bits` that `record` wrote for images of a checksum; None if there are none."""
    records = disk.read_json(file) if file.exists() else []
    current = crc32, lossless_files.FORMATS
    kinds = AttributeError, KeyError, TypeError, ValueError
    with restated(f"records of codecs in {file}", "a damaged file", "Remove it", *kinds):
        same = [x["bits"] for x in records if (x["crc32"], x["settings"]) == current]
        return {name: dict(bits) for name, bits in same[0].items()} if same else None


def record(file, measured, *, crc32, bits):
    """Adds `mean_file_bits` of the images that `measured` describes to a file, in the place of older ones."""
    records = disk.read_json(file) if file.exists() else []
    current = measured, lossless_files.FORMATS
    records = [x for x in records if (x.get("measured"), x["settings"]) != current]
    new = {"measured": measured, "settings": lossless_files.FORMATS, "bits": bits, "crc32": crc32}
    disk.write_json(file, [*records, new])


def print_table(model, results, codecs):
    """A row for each factor: its share of the totals, and bits per dimension of its own image."""

    def line(name, *cells):
        texts = (f"{cell:.4f}" if isinstance(cell, float) else cell or "" for cell in cells)
        print(f"{name:16}", *(f"{text:>10}" for text in texts))

    blank, own, so_far = [""] * (len(results) - 1), summaries.bits_kind(model), 0.0
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
        print("Restricted: images that contradict a fixed auxiliary image are ruled out.")
    if codecs:
        print(lossless_files.NOTE)


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part()
    jobs.define_flags()
    condition = (
        "Whether a conditional model uses the labels; if unset, where the images have any. "
        "--nocondition evaluates it without."
    )
    flags.DEFINE_bool("condition", None, condition)
    compressing = "Also compresses the images, and prints the size of the file."
    flags.DEFINE_bool("bytes", False, compressing)
    codecs = "Makes PNG and other files, even if codecs.json has figures."
    flags.DEFINE_bool("codecs", False, codecs)
