"""Applies the trained models of the package to photographs: pixelcnn-aux tour.

In a first picture, `cifar10-grayscale` draws images, some by class, and `cifar10-pyramid` draws photographs
from half their size. In a second one, `photographs` enlarges two photographs by four and compresses them
without loss. Then the tour prints bits per dimension of crops of both, next to PNG and WebP, and fine-tunes
`cifar10-pixelcnn` on the other photographs with `train pixelcnn`, which lowers its bits.
"""

import pathlib
import signal
import subprocess
import sys

import numpy as np
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data, image_grid
from pixelcnn_aux.base import disk
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.commands import chosen_run, plots, sample
from pixelcnn_aux.data import photos
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS

COLORS, SIZES = "cifar10-grayscale", "cifar10-pyramid"  # models of the package
WHOLE = "photographs"  # of any size
TUNED = "cifar10-pixelcnn"  # the smallest network, which trains soonest
CLASSES = {"airplanes": 0, "horses": 7, "ships": 8}  # CIFAR-10 labels
SIDE = 256  # of whole photographs, in pixels
CROPS = 48  # from two photographs
# A few steps, in half a minute.
FINE_TUNING = "--dataset photos --epochs 1 --steps_per_epoch 40 --batch_size 8 --learning_rate 1e-4"


def main():
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out, (".png", ".pdf"))
    out = pathlib.Path(FLAGS.out or disk.writable(RunFolder.RUNS) / "tour.png")
    models = {name: pa.load(name) for name in (COLORS, SIZES, TUNED)}
    image_grid.write(out, picture(models))
    print(f"Wrote {out}")
    whole = out.with_stem(f"{out.stem}-{WHOLE}")
    plots.write(whole, photographs(), dpi=120)
    print(f"Wrote {whole}")
    held_out = [data.load("photos", x, models[COLORS].image_size) for x in ("validation", "test")]
    crops = data.Images(np.concatenate([split.pixels for split in held_out]))
    images = data.Images(crops.spread(CROPS))
    bits = {name: mean_bits(model, images) for name, model in models.items()}
    for codec in lossless_files.FORMATS:
        bits[f"{codec} files"] = np.mean(lossless_files.bits_per_dim(codec, images.pixels))
    print(f"\nBits per dimension of {images.num_images} crops of two photographs:", flush=True)
    print_bits(bits)
    run = fine_tune()
    print_bits({TUNED: bits[TUNED], run: mean_bits(pa.load(run), images)})


def picture(models):
    """The first picture: draws, some by class, and photographs from half their size."""
    model = models[COLORS]
    originals = photos.squares(model.image_size[0])
    num = len(originals)
    drawn = sample.sample(model, f"images from {COLORS}", num)
    rows = [(f"{name}\ndrawn", name, images) for name, images in drawn.items()]
    for name, label in CLASSES.items():
        drawn = sample.sample(model, name, num, condition=np.full(num, label))
        rows.append((f"{name}\ndrawn", "image", drawn["image"]))
    rows = sample.in_colors(model, rows)
    model = models[SIZES]
    print(f"With {SIZES}:", flush=True)
    enlarged = sample.draws_given(model, originals, [*model.factors][-2], times=1)[:-1]
    return image_grid.labeled([*rows, *sample.in_colors(model, enlarged)])


def photographs():
    """The second picture: enlargements, and the sizes and bits of lossless files."""
    originals = photos.squares(SIDE)[:2]  # held out
    print(f"With {WHOLE}:", flush=True)
    model = pa.load(WHOLE)
    codec = pa.codec.Codec(model)
    small = np.asarray(list(model.auxiliaries(originals).values())[-3])
    enlarged = model.enlarge(small, 4, seeds=[[FLAGS.seed, 0]] * 2, log_scale_shift=-0.3)
    figure = plots.figure(figsize=(12.5, 4.2), layout="constrained")
    rows = figure.subplots(2, 6, width_ratios=(1, 1, 1, 1, 1, 1.4))
    for row, original, reduced, redrawn in zip(rows, originals, small, enlarged):
        file = codec.compress([original])
        _, [bits] = codec.decompress_with_bits(file)
        nearest, bicubic = (
            Image.fromarray(reduced).resize((SIDE, SIDE), x) for x in (0, Image.Resampling.BICUBIC)
        )
        views = {
            "a quarter of the sides": nearest,
            "enlarged by 4: bicubic": bicubic,
            f"enlarged by 4: {WHOLE}": redrawn,
            "original": original,
            "its bits, pixel by pixel": bits,
        }
        for axes, image in zip(row, views.values()):
            axes.imshow(image, cmap="magma", vmin=0)
            axes.set_axis_off()
        sizes = {
            x: lossless_files.bits_per_dim(x, original[np.newaxis])[0] * original.size / 8
            for x in lossless_files.FORMATS
        }
        _draw_sizes(row[-1], {**sizes, WHOLE: len(file)})
    for axes, title in zip(rows[0], [*views, "the original as a lossless file, in bytes"]):
        axes.set_title(title, fontsize=8)
    return figure


def _draw_sizes(axes, sizes):
    bars = axes.barh([*sizes], [*sizes.values()], color=["silver"] * (len(sizes) - 1) + ["C1"])
    axes.bar_label(bars, [f"{size:,.0f}" for size in sizes.values()], padding=-40, fontsize=8)
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()


def mean_bits(model, images):
    condition = chosen_run.label_condition(model, images.num_images)
    return splits.mean_bits(model, chosen_run.batches(images), condition)


def print_bits(bits):
    for name, value in bits.items():
        print(f"{name:32} {value:.3f}", flush=True)


def fine_tune():
    """Fine-tunes the weights of `TUNED` by a command that it prints, and returns the workdir."""
    command = f"-m pixelcnn_aux train pixelcnn --init {TUNED} {FINE_TUNING} --workdir".split()
    command.append(FLAGS.workdir)
    print("\nFine-tuning, on the other photographs:\npython", *command, flush=True)
    # Leave Ctrl-C to the training process, which saves its progress and ends.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        ended = subprocess.run([sys.executable, *command], check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    if ended.returncode:
        sys.exit(ended.returncode)  # the process has printed its error
    return FLAGS.workdir


def define_flags():
    chosen_run.define_draws(log_scale_shift=-0.5)
    flags.DEFINE_string("workdir", str(RunFolder.RUNS / "tour"), "The run of the fine-tuning.")
    flags.DEFINE_string("out", None, "The picture; tour.png under runs if unset.")
