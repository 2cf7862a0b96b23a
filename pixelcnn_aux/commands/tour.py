"""Applies the trained models of the package to photographs: pixelcnn-aux tour.

In a first picture, `cifar10-grayscale` draws images, some by class, colors photographs, and completes
their lower halves; `cifar10-pyramid` enlarges photographs from half their size. A second picture shows the
results of `color`, `complete` and `enlarge --times 4` on whole photographs. Then the tour prints bits per
dimension of crops of two photographs, next to PNG and WebP, and fine-tunes the first model on the other
photographs with `train grayscale`, which lowers its bits.
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
from pixelcnn_aux.commands import chosen_run, plots, sample
from pixelcnn_aux.data import lossless_files, photos
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS

COLORS, SIZES = "cifar10-grayscale", "cifar10-pyramid"  # models of the package
WHOLE, SCENES = "photographs", "cifar10-pixelcnn"  # complete whole photographs together
CLASSES = {"airplanes": 0, "horses": 7, "ships": 8}  # CIFAR-10 labels
SIDE = 256  # of whole photographs, in pixels
CROPS = 48  # from two photographs
# A few steps, in little more than a minute.
FINE_TUNING = "--dataset photos --epochs 1 --steps_per_epoch 40 --batch_size 8 --learning_rate 1e-4"


def main():
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out, (".png", ".pdf"))
    out = pathlib.Path(FLAGS.out or disk.writable(RunFolder.RUNS) / "tour.png")
    models = {name: pa.load(name) for name in (COLORS, SIZES)}
    image_grid.write(out, picture(models))
    print(f"Wrote {out}")
    whole = out.with_stem(f"{out.stem}-{WHOLE}")
    plots.write(whole, photographs(models[COLORS]), dpi=150)
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
    print_bits({COLORS: bits[COLORS], run: mean_bits(pa.load(run), images)})


def picture(models):
    """The first picture: draws of both CIFAR-10 models, mostly from photographs."""
    model = models[COLORS]
    originals = photos.squares(model.image_size[0])
    num = len(originals)
    drawn = sample.sample(model, f"images from {COLORS}", num)
    rows = [(f"{name}\ndrawn", name, images) for name, images in drawn.items()]
    for name, label in CLASSES.items():
        drawn = sample.sample(model, name, num, condition=np.full(num, label))
        rows.append((f"{name}\ndrawn", "image", drawn["image"]))
    rows += sample.draws_given(model, originals, "grayscale", times=2)
    rows = sample.in_colors(model, [*rows, *sample.completions(model, originals)[:-1]])
    model = models[SIZES]
    print(f"With {SIZES}:", flush=True)
    enlarged = sample.draws_given(model, originals, [*model.factors][-2], times=1)[:-1]
    return image_grid.labeled([*rows, *sample.in_colors(model, enlarged)])


def photographs(colors):
    """The second picture: two photographs, the programs' inputs, and their default outputs."""
    originals = photos.squares(SIDE)[:2]  # held out
    print(f"With {WHOLE}:", flush=True)
    model = pa.load(WHOLE)
    options = {"seeds": len(originals) * [[FLAGS.seed, 0]]}
    colored = colors.colorize(originals, num=1, **options)[:, 0]
    options["log_scale_shift"] = -0.3
    mask = np.ones_like(originals[..., :1])
    mask[:, SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = 0
    completed = model.complete(originals, mask, **options, particles=64, scenes=pa.load(SCENES))
    small = np.asarray(list(model.auxiliaries(originals).values())[-3])
    views = {
        "photographs": originals,
        "gray": [Image.fromarray(x).convert("L").convert("RGB") for x in originals],
        "colored": colored,
        "masked": np.where(mask, originals, np.uint8(127)),
        "completed": completed,
        "a quarter of the sides": [Image.fromarray(x).resize((SIDE, SIDE), 0) for x in small],
        "enlarged": model.enlarge(small, 4, **options),
    }
    figure = plots.figure(figsize=(2 * len(views), 4.2), layout="constrained")
    axes = figure.subplots(len(originals), len(views))
    for column, (label, images) in zip(axes.T, views.items()):
        column[0].set_title(label, fontsize=8)
        for panel, image in zip(column, images):
            panel.imshow(image)
            panel.set_axis_off()
    return figure


def mean_bits(model, images):
    condition = chosen_run.label_condition(model, images.num_images)
    return splits.mean_bits(model, chosen_run.batches(images), condition)


def print_bits(bits):
    for name, value in bits.items():
        print(f"{name:32} {value:.3f}", flush=True)


def fine_tune():
    """Fine-tunes the weights of `COLORS` by a command that it prints, and returns the workdir."""
    command = f"-m pixelcnn_aux train grayscale --init {COLORS} {FINE_TUNING} --workdir".split()
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
