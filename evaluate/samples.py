"""Draws what a model has learnt, as the paper's figures 2 and 3: python -m evaluate.samples.

Above: images drawn from the model, each below the auxiliary images that it was drawn from. Below: test
images, their auxiliary images, and images drawn given those.
"""

import pathlib
import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from absl import flags

from evaluate import common
from pixelcnn_aux import likelihoods, program

FLAGS = flags.FLAGS


def main():
    folder, model = common.load()
    seeds = tf.constant([[FLAGS.seed, index] for index in range(FLAGS.num)], tf.int32)

    def sample(what, **kwargs):
        start = time.perf_counter()
        print(f"Drawing {FLAGS.num} {what} ...", flush=True)
        images = model.sample(
            seeds, log_scale_shift=FLAGS.log_scale_shift, mode=FLAGS.mode, **kwargs
        )
        print(f"... in {time.perf_counter() - start:.0f} s", flush=True)
        return images

    rows = [(f"{name}\ndrawn", name, images) for name, images in sample("images").items()]
    *auxiliaries, image = model.factors
    if auxiliaries:
        test = common.images(folder, model, "test")
        # Evenly over the split: neighbours in it may be much alike.
        step = max(1, test.num_images // FLAGS.num)
        originals = np.concatenate(list(test.batches(256).as_numpy_iterator()))[::step][: FLAGS.num]
        seeds = seeds[: len(originals)]
        given = model.auxiliaries(originals)
        rows += [("test\nimages", image, originals)]
        for name in auxiliaries:
            drawn = sample(f"images given {name}", given={name: given[name]})[image]
            rows += [(f"their\n{name}", name, given[name]), (f"drawn\ngiven {name}", image, drawn)]

    out = pathlib.Path(FLAGS.out or folder / "samples.png")
    figure = draw(model, rows)
    figure.savefig(out, dpi=160, bbox_inches="tight")
    print(f"Wrote {out}")


def draw(model, rows):
    """A figure of rows of images: (label, name of the factor that models them, uint8 [N, h, w, c])."""
    columns = max(len(images) for _, _, images in rows)
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(0.6 * columns + 1, 0.62 * len(rows)), squeeze=False
    )
    for axis, (label, name, images) in zip(axes[:, 0], rows):
        largest = model.factors[name].likelihood.num_values - 1
        strip = np.concatenate(
            [
                np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=largest)
                for image in np.asarray(images)
            ],
            axis=1,
        )
        gray = strip.shape[-1] == 1
        axis.imshow(
            strip[..., 0] if gray else strip,
            cmap="gray",
            vmin=0,
            vmax=largest,
            interpolation="nearest",
        )
        axis.set_axis_off()
        axis.text(-0.01, 0.5, label, transform=axis.transAxes, ha="right", va="center", fontsize=7)
    figure.tight_layout(pad=0.2)
    return figure


if __name__ == "__main__":
    common.define_flags()
    flags.DEFINE_integer("num", 16, "How many images of each kind.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of all draws.")
    flags.DEFINE_float("log_scale_shift", 0.0, "Added to log-scales; below 0 the draws vary less.")
    flags.DEFINE_enum("mode", "sample", likelihoods.MODES, "map: a drawn component's location.")
    flags.DEFINE_string("out", None, "The picture; WORKDIR/samples.png if unset.")
    program.run(main)
