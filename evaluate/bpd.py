"""Bits per dimension of a split: python -m evaluate.bpd --split test.

Exact means over all images, under the averaged weights, as a table and as WORKDIR/bpd.json. The total
bounds the images' -log2 p(X) from above (equation 5).
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
    print(f"As {' and '.join(evaluation.CODECS)} files:", flush=True)
    codecs = codec_bits(model, batches(), progress())
    print(f"{FLAGS.split} split, {count:,} images")
    print_table(model, result, codecs)
    file = folder / "bpd.json"
    file.write_text(json.dumps({"split": FLAGS.split, "num_images": count, **result}, indent=2))
    print(f"Wrote {file}")


def codec_bits(model, batches, progress):
    """Means over all images: dict, name -> {codec: bits per own dimension}, of color images' factors."""
    bits, count = {}, 0
    for batch in batches:
        for name, images in model.auxiliaries(batch).items():
            if images.shape[-1] == 3:
                by_codec = bits.setdefault(name, {codec: [] for codec in evaluation.CODECS})
                for codec, values in by_codec.items():
                    values.extend(evaluation.codec_bits_per_dim(codec, images))
        count += len(batch)
        progress(count)
    return {
        name: {codec: np.mean(values) for codec, values in by_codec.items()}
        for name, by_codec in bits.items()
    }


def print_table(model, result, codecs):
    """A row for each factor: its share of the total, and figures per dimension of its own image.

    These are the factor alone, given the auxiliary image; the bound of its image, by all factors so far;
    and codecs on the same images. The paper's table 2 may be read as either of the former two.
    """
    height, width = model.image_size
    print(f"{'':25} per dimension of the factor's own image")
    print(
        f"{'':16} {'bits/dim':>8} {'alone':>9} {'bound':>8}",
        *(f"{codec:>8}" for codec in evaluation.CODECS),
    )
    so_far = 0.0
    for name, (h, w) in model.sizes().items():
        bits = result["factors"][name]
        so_far += bits
        own = h * w * model.factors[name].likelihood.num_channels / (height * width * 3)
        print(
            f"{name:16} {bits:8.4f} {bits / own:9.4f} {so_far / own:8.4f}",
            *(f"{value:8.4f}" for value in codecs.get(name, {}).values()),
        )
    print(f"{'total':16} {result['total']:8.4f}   standard error {result['std_error']:.4f}")
    print(f"{', '.join(evaluation.CODECS)}: lossless, each image its own file")


if __name__ == "__main__":
    common.define_flags()
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, "Only the first so many; all if unset.", lower_bound=1)
    program.run(main)
