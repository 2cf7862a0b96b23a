"""Computes the bits per dimension of a data set's split, for example

    pixelcnn-aux bpd --workdir cifar10-pyramid --dataset photos
    pixelcnn-aux bpd --workdir runs/mine --split validation

Prints a table of means over all images, per factor and in total, under the averaged weights, and writes it
to WORKDIR/bpd.json. "bound" is the paper's upper bound on -log2 p(X) (equation 5); "exact" is -log2 p(X)
itself, which the same networks give once images that contradict their auxiliary image are ruled out. For
comparison the table shows the same images as PNG and WebP files, and as JPEG XL if pillow-jxl-plugin is
installed; WORKDIR/codecs.json caches these figures.
"""

import functools
import math
import zlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import restated
from pixelcnn_aux.base.progress import pixel_bar, progress_bar
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.run_files.tensors import fingerprint
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS


def main():
    folder, model = chosen_run.load(FLAGS.best)
    codec = pa.codec.Codec(model) if FLAGS.bytes else None  # raises early for float models
    images = chosen_run.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)
    uses_labels = images.labels is not None if FLAGS.condition is None else FLAGS.condition
    if uses_labels:
        images.condition(model.condition)  # raises early for images without labels
    elif model.condition is not None and FLAGS.condition is None:
        print("The images have no labels; evaluating without a condition", flush=True)
    batches = functools.partial(chosen_run.batches, images, count)
    measured = {**chosen_run.source(folder), "split": FLAGS.split, "num_images": count}
    # Fail before the evaluation if the folder is not writable or the records are damaged.
    out = chosen_run.outputs(folder)
    crc32 = checksum(batches())
    file = out / "bpd.json"
    records = out / "codecs.json"
    names = [n for n, factor in model.factors.items() if lossless_files.holding(factor.likelihood)]
    codecs = recorded(records, crc32) if names else {}
    to_compress = codecs is None or (names and FLAGS.codecs)
    source = {**chosen_run.images_options(folder, model, FLAGS.split), "crc32": images.crc32}
    shard_bits = functools.partial(image_bits, images=source, uses_labels=uses_labels)
    shards = jobs.run_images(shard_bits, range(count), model, images, best=FLAGS.best)
    results = splits.summary(shards.joined())
    # Print now: writing the results and compressing the images may fail.
    totals = ", ".join(f"{name} {result['total']:.4f}" for name, result in results.items())
    print(f"{FLAGS.split} split, {count:,} images: {totals} bits per dimension", flush=True)
    report = {**measured, "crc32": crc32, "best": FLAGS.best, "model": identity(model)}
    if model.condition is not None:
        report["condition"] = uses_labels
    report |= {**results[splits.bits_kind(model)], **results}
    disk.write_json(file, report)
    if to_compress:
        print(f"As files of {', '.join(lossless_files.FORMATS)}:", flush=True)
        codecs = mean_file_bits(model, names, batches(), progress=progress_bar(count, "image"))
    print_table(model, results, codecs)
    if to_compress:
        record(records, measured, crc32=crc32, bits=codecs)
    if FLAGS.bytes:  # last, since it takes many times longer
        print("As a compressed file:", flush=True)
        pixels = [image for batch in batches() for image in batch]
        bar = pixel_bar(sum(math.prod(image.shape[:2]) for image in pixels))
        stacked = pixels if model.image_size is None else np.stack(pixels)
        size = len(codec.compress(stacked, progress=bar))
        bits = 8 * size / sum(image.size for image in pixels)
        print(f"{size:,} bytes, {bits:.4f} bits per dimension")
        disk.write_json(file, {**report, "bytes": size})
    print(f"Wrote {file}")


def image_bits(model, indices, *, images, uses_labels):
    """`splits.bits` of the images of a shard."""
    part = chosen_run.part(indices, **images)
    condition = None
    if model.condition is not None:
        unknown = model.condition.unknown(len(indices))
        condition = part.condition(model.condition) if uses_labels else unknown
    return splits.bits(model, chosen_run.batches(part), condition)


def identity(model):
    """Fingerprint of a model and its weights, independent of `exact`: str."""
    return fingerprint(model.with_exact(True))


def checksum(batches):
    """CRC-32 of all pixels of batches, uint8 [b, H, W, C], independent of the batch size: int."""
    crc32 = 0
    for images in batches:
        crc32 = zlib.crc32(np.ascontiguousarray(images), crc32)
    return crc32


def mean_file_bits(model, names, batches, *, progress):
    """Mean bits per dimension as lossless files: {factor name: {each format that fits: float}}."""
    formats = {name: lossless_files.holding(model.factors[name].likelihood) for name in names}
    bits = {name: {x: [] for x in fitting} for name, fitting in formats.items()}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_format in bits.items():
            for image_format, values in by_format.items():
                values.extend(lossless_files.bits_per_dim(image_format, images[name]))
        progress(count := count + len(batch))
    return {name: {k: float(np.mean(x)) for k, x in files.items()} for name, files in bits.items()}


def recorded(file, crc32):
    """The `mean_file_bits` that `record` wrote for images with a checksum, or None."""
    records = disk.read_json(file) if file.exists() else []
    current = crc32, lossless_files.FORMATS
    errors = AttributeError, KeyError, TypeError, ValueError
    with restated(f"records of codecs in {file}", "a damaged file", "Remove it", *errors):
        matches = [x["bits"] for x in records if (x["crc32"], x["settings"]) == current]
        return {name: dict(bits) for name, bits in matches[0].items()} if matches else None


def record(file, measured, *, crc32, bits):
    """Records `mean_file_bits` of the images that `measured` describes, replacing an older record."""
    records = disk.read_json(file) if file.exists() else []
    current = measured, lossless_files.FORMATS
    records = [x for x in records if (x.get("measured"), x["settings"]) != current]
    new = {"measured": measured, "settings": lossless_files.FORMATS, "bits": bits, "crc32": crc32}
    disk.write_json(file, [*records, new])


def print_table(model, results, codecs):
    """Prints a row per factor: its part of the totals, and the bits per dimension of its own image."""

    def line(name, *cells):
        texts = (f"{cell:.4f}" if isinstance(cell, float) else cell or "" for cell in cells)
        print(f"{name:16}", *(f"{text:>10}" for text in texts))

    blank = [""] * (len(results) - 1)
    own = splits.bits_kind(model)
    so_far = 0.0
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
        print("No exact figure: some auxiliary image has no declared sum that fixes it.")
    if "restricted" in results:
        print("Restricted: images that contradict a fixed auxiliary image are ruled out.")
    if codecs:
        print(lossless_files.NOTE)


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_part()
    jobs.define_flags()
    condition = (
        "Whether a conditional model uses the labels; by default, if the images have labels. "
        "--nocondition evaluates without them."
    )
    flags.DEFINE_bool("condition", None, condition)
    flags.DEFINE_bool("bytes", False, "Also compresses the images, and prints the size.")
    flags.DEFINE_bool("codecs", False, "Measures PNG and other files even if codecs.json has them.")
