"""Bits per dimension of a split: python -m evaluate.bpd --split test.

Exact means over all images, under the averaged weights, as a table and as WORKDIR/bpd.json.
"""

import json

import keras
from absl import flags

from evaluate import common
from pixelcnn_aux import data, evaluation, program

FLAGS = flags.FLAGS

BATCH_SIZE = 100


def main():
    folder, model = common.load()
    images = common.images(folder, model, FLAGS.split)
    count = min(images.num_images, FLAGS.num_images or images.num_images)

    def batches():
        return images.batches(BATCH_SIZE, count)

    bar = keras.utils.Progbar(count, unit_name="image")
    result = evaluation.summarize(evaluation.bits_per_dim(model, batches(), bar.update))
    codecs = {codec: evaluation.codec_bits_per_dim(codec, batches()) for codec in evaluation.CODECS}
    print_table(model, result, codecs, f"{FLAGS.split} split, {count:,} images")
    file = folder / "bpd.json"
    file.write_text(json.dumps({"split": FLAGS.split, "num_images": count, **result}, indent=2))
    print(f"Wrote {file}")


def print_table(model, result, codecs, title):
    height, width = model.image_size
    print(f"{title}\n{'':12} {'bits/dim':>9} {'bits/own dim':>13}")
    for name, (h, w) in model.sizes().items():
        own = h * w * model.factors[name].likelihood.num_channels / (height * width * 3)
        bits = result["factors"][name]
        print(f"{name:12} {bits:9.4f} {bits / own:13.4f}")
    print(f"{'total':12} {result['total']:9.4f}   standard error {result['std_error']:.4f}")
    for codec, bits in codecs.items():
        print(f"{codec:12} {bits:9.4f}   lossless, each image its own file")


if __name__ == "__main__":
    common.define_flags()
    flags.DEFINE_enum("split", "test", data.SPLITS, "Which images.")
    flags.DEFINE_integer("num_images", None, "Only the first so many; all if unset.", lower_bound=1)
    program.run(main)
