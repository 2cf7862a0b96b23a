"""Shows what the trained models of the package do with photographs: python -m evaluate.tour.

In one picture: `cifar10-grayscale` draws images, also of some classes, colors the grays of photographs, and
completes their lower halves; `cifar10-pyramid` enlarges them from half their size. In a second one, of whole
photographs: `photographs` enlarges them from a half and a quarter of their sides, completes them, and draws
one. Then prints bits per dimension of crops of two photographs, beside PNG and WebP, and fine-tunes the first
model on the other photographs by `train.grayscale`, which lowers its bits.
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
from pixelcnn_aux.commands import chosen_run, plots, program, sample
from pixelcnn_aux.data import lossless_files, photos
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits

FLAGS = flags.FLAGS

COLORS, SIZES = "cifar10-grayscale", "cifar10-pyramid"  # models of the package
WHOLE = "photographs"  # the one of images of any size
CLASSES = {"airplanes": 0, "horses": 7, "ships": 8}  # of CIFAR-10
SIDE = 256  # pixels, of the photographs for `WHOLE`; the scene that it draws has twice as many
CROPS = 48  # of two photographs
# Less than a minute of the demo preset.
FINE_TUNING = "--epochs 1 --steps_per_epoch 40 --batch_size 8 --learning_rate 1e-4".split()


def main():
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out, (".png", ".pdf"))
    out = pathlib.Path(FLAGS.out or disk.writable(RunFolder.RUNS) / "tour.png")
    models = {name: pa.load(name) for name in (COLORS, SIZES)}
    image_grid.write(out, picture(models))
    print(f"Wrote {out}")
    whole = out.with_stem(f"{out.stem}-{WHOLE}")
    plots.write(whole, photographs(pa.load(WHOLE)), dpi=150)
    print(f"Wrote {whole}")
    held_out = [data.load("photos", x, models[COLORS].image_size) for x in ("validation", "test")]
    crops = data.Images(np.concatenate([split.pixels for split in held_out]))
    images = data.Images(crops.spread(CROPS))
    found = {name: mean_bits(model, images) for name, model in models.items()}
    for codec in lossless_files.FORMATS:
        found[f"{codec} files"] = np.mean(lossless_files.bits_per_dim(codec, images.pixels))
    print(f"\nBits per dimension of {images.num_images} crops of two photographs:", flush=True)
    print_bits(found)
    run = fine_tune()
    print_bits({COLORS: found[COLORS], run: mean_bits(pa.load(run), images)})


def picture(models):
    """The first picture: draws of both models of CIFAR-10, most of them from photographs."""
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


def photographs(model):
    """The second figure: two photographs, smaller views of them, draws from these; and a scene."""
    originals = photos.squares(SIDE)[:2]  # held out
    num, size = len(originals), originals.shape[1:3]
    print(f"With {WHOLE}:", flush=True)
    columns = [("photographs", originals)]
    for name, view in list(model.auxiliaries(originals).items())[-2:-4:-1]:
        small = map(Image.fromarray, np.asarray(view))
        larger = [x.resize(size, Image.Resampling.BICUBIC) for x in small]
        drawn = sample.sample(model, f"images given {name}", num, given={name: view})
        columns.append((f"{name} the sides, bicubic", np.stack(larger)))
        columns.append((f"drawn, given {name}", drawn["image"]))
    mask = np.ones((num, *size, 1), np.uint8)
    mask[:, SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = 0
    completed = sample.sample(model, "completions", num, known=originals, mask=mask)["image"]
    columns += [("masked", np.where(mask, originals, np.uint8(127))), ("completed", completed)]
    scene = sample.sample(model, "scene", 1, image_size=(2 * SIDE, 2 * SIDE))["image"]
    figure = plots.figure(figsize=(2 * len(columns) + 4, 4.2), layout="constrained")
    grid = figure.add_gridspec(num, len(columns) + 2)
    for column, (label, images) in enumerate(columns):
        for row, image in enumerate(np.asarray(images)):
            _show(figure.add_subplot(grid[row, column]), image, "" if row else label)
    _show(figure.add_subplot(grid[:, -2:]), np.asarray(scene)[0], "drawn")
    return figure


def _show(axes, image, label):
    axes.imshow(image)
    axes.set_axis_off()
    axes.set_title(label, fontsize=8)


def mean_bits(model, images):
    condition = chosen_run.label_condition(model.condition, images.num_images)
    return splits.mean_bits(model, chosen_run.batches(images), condition)


def print_bits(found):
    for name, value in found.items():
        print(f"{name:32} {value:.3f}", flush=True)


def fine_tune():
    """Trains on from the weights of `COLORS`, by the command that it prints. Returns the workdir."""
    command = ["-m", "train.grayscale", "--init", COLORS, *FINE_TUNING, "--workdir", FLAGS.workdir]
    print("\nFine-tuning, on the other photographs:\npython", *command, flush=True)
    # Ctrl-C is for the training, which saves what it has done and ends.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        ended = subprocess.run([sys.executable, *command], check=False)
    finally:
        signal.signal(signal.SIGINT, before)
    if ended.returncode:
        sys.exit(ended.returncode)  # it has printed why
    return FLAGS.workdir


def define_flags():
    chosen_run.define_draws(log_scale_shift=-0.5)
    flags.DEFINE_string("workdir", str(RunFolder.RUNS / "tour"), "Of the run that fine-tunes.")
    flags.DEFINE_string("out", None, "The picture; tour.png under runs if unset.")


if __name__ == "__main__":
    program.start()
