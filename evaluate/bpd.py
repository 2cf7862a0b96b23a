"""Bits per dimension of a split: python -m evaluate.bpd --split test.

Exact means over all images, under the averaged weights, as a table and as WORKDIR/bpd.json. The total
bounds the images' -log2 p(X) from above (equation 5). Beside it stand the same images as PNG and WebP
files, of which WORKDIR/codecs.json keeps the figures.
"""

import json

import keras
import numpy as np
from absl import flags

from evaluate import common
from pixelcnn_aux import data, evaluation, program

FLAGS = flags.FLAGS


def main():
    folder, model = common.load()
    images = common.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)

    def batches():
        return images.batches(common.batch_size(model.image_size), count)

    def progress():
        return keras.utils.Progbar(count, unit_name="image").update

    result = evaluation.summarize(evaluation.bits_per_dim(model, batches(), progress()))
    measured = {**common.source(folder), "split": FLAGS.split, "num_images": count}
    records = CodecRecords(folder / "codecs.json")
    names = [n for n, factor in model.factors.items() if evaluation.codecs_apply(factor.likelihood)]
    codecs = records.find(measured) if names else {}
    if codecs is None or (names and FLAGS.codecs):
        print(f"As {' and '.join(evaluation.CODECS)} files:", flush=True)
        codecs = codec_bits(model, names, batches(), progress())
        records.store(measured, codecs)
    print(f"{FLAGS.split} split, {count:,} images")
    print_table(model, result, codecs)
    file = folder / "bpd.json"
    file.write_text(json.dumps({"split": FLAGS.split, "num_images": count, **result}, indent=2))
    print(f"Wrote {file}")


class CodecRecords:
    """A file of what `codec_bits` found: compressing takes longer than a small model's evaluation."""

    def __init__(self, file):
        self.file = file

    def find(self, measured):
        """What is stored for images that `measured` describes, a dict that JSON can hold; None if nothing."""
        return next((r["bits"] for r in self._read() if self._is_of(r, measured)), None)

    def store(self, measured, bits):
        """Stores the result of `codec_bits` for these images, in the place of an earlier one."""
        others = [record for record in self._read() if not self._is_of(record, measured)]
        record = {"measured": measured, "settings": evaluation.CODECS, "bits": bits}
        self.file.write_text(json.dumps([*others, record], indent=2))

    def _is_of(self, record, measured):
        return (record["measured"], record["settings"]) == (measured, evaluation.CODECS)

    def _read(self):
        try:
            return json.loads(self.file.read_text()) if self.file.exists() else []
        except ValueError as error:
            raise ValueError(
                f"Expected JSON in {self.file}. Received: a damaged file ({error}). Remove it."
            ) from error


def codec_bits(model, names, batches, progress):
    """Means over all images that the factors of these names model.

    Returns:
      dict, factor name -> {codec: bits per dimension of the factor's own image}.
    """
    bits = {name: {codec: [] for codec in evaluation.CODECS} for name in names}
    count = 0
    for batch in batches:
        images = model.auxiliaries(batch)
        for name, by_codec in bits.items():
            for codec, values in by_codec.items():
                values.extend(evaluation.codec_bits_per_dim(codec, images[name]))
        count += len(batch)
        progress(count)
    return {
        name: {codec: float(np.mean(values)) for codec, values in by_codec.items()}
        for name, by_codec in bits.items()
    }


def print_table(model, result, codecs):
    """A row for each factor: its share of the total, and figures per dimension of its own image.

    These are the factor alone, given the auxiliary image; the bound of its image, by all factors so far;
    and codecs on the same images. The paper's table 2 may be read as either of the former two.
    """
    dims = {
        name: height * width * model.factors[name].likelihood.num_channels
        for name, (height, width) in model.sizes().items()
    }
    [*_, full] = dims.values()
    print(f"{'':25} per dimension of the factor's own image")
    print(
        f"{'':16} {'bits/dim':>8} {'alone':>9} {'bound':>8}",
        *(f"{codec:>8}" for codec in evaluation.CODECS),
    )
    so_far = 0.0
    for name, own in dims.items():
        bits = result["factors"][name]
        so_far += bits
        print(
            f"{name:16} {bits:8.4f} {bits * full / own:9.4f} {so_far * full / own:8.4f}",
            *(f"{value:8.4f}" for value in codecs.get(name, {}).values()),
        )
    print(f"{'total':16} {result['total']:8.4f}   standard error {result['std_error']:.4f}")
    if codecs:
        print(evaluation.CODECS_NOTE)


def define_flags():
    common.define_flags()
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, "Only the first so many; all if unset.", lower_bound=1)
    flags.DEFINE_bool("codecs", False, "Makes PNG and WebP files, even if codecs.json has figures.")


if __name__ == "__main__":
    define_flags()
    program.run(main)
