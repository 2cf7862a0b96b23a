"""Draws images from a model, and writes them as one picture, for example

    pixelcnn-aux sample --workdir cifar10-grayscale --dataset photos
    pixelcnn-aux sample --workdir cifar10-pyramid --dataset photos --given 16x16 --num 8

The picture shows drawn images, each below its auxiliary images; then test images, their auxiliary images, and
images drawn given those, as in the paper's figures 2 and 3. For a class-conditional model it shows a row per
class instead, unless --label horse (or 7) chooses a class, or --label -1 no class.

--given NAME draws several images given one auxiliary image of each test image: colorization, or
super-resolution. --known half resamples the lower half of test images. --sweep, as in figure 4, draws from
the same seeds with smaller and smaller log-scales of the mixtures, and by MAP sampling. In these modes a
class-conditional model draws the class --label, or no class. --image_file PICTURE.jpg replaces the test
images with your own picture; a model of any image size takes it at its own size:

    pixelcnn-aux sample --workdir runs/mine --image_file PICTURE.jpg --given half
"""

import pathlib
import time

import numpy as np
from absl import flags

from pixelcnn_aux import image_grid
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import upper_half
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.data import decoding, image_folder

FLAGS = flags.FLAGS

MAX_NUM = 1024  # images per row
SWEEP = [-step / 10 for step in range(11)]  # of log_scale_shift, figure 4


def main():
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out, image_grid.SUFFIXES)
    present = [f"--{name}" for name in ("log_scale_shift", "mode") if FLAGS[name].present]
    expected = "--sweep without --log_scale_shift and --mode, which it varies itself"
    expect(not (FLAGS.sweep and present), expected, " and ".join(present), "Omit them")
    folder, model = chosen_run.load(FLAGS.best)
    # Raise errors about the output and --label before anything is drawn.
    results = None if FLAGS.out else chosen_run.outputs(folder)
    chosen_run.label_condition(model, 1)
    by_classes = isinstance(model.condition, Classes) and FLAGS.label is None
    originals = None
    if FLAGS.known or FLAGS.given or not (FLAGS.sweep or by_classes or len(model.factors) == 1):
        originals = test_images(folder, model)
    if FLAGS.sweep:
        name, rows = "sweep", sweep(model)
    elif FLAGS.known:
        name, rows = "completions", completions(model, originals)
    elif FLAGS.given:
        name, rows = f"given_{FLAGS.given}", draws_given(model, originals, FLAGS.given)
    elif by_classes:
        name, rows = "samples", by_class(model)
    else:
        name, rows = "samples", samples(model, originals)
    if FLAGS.label is not None:
        name += f"_class_{FLAGS.label}"
    out = pathlib.Path(FLAGS.out or results / f"{name}.png")
    image_grid.write(out, image_grid.labeled(in_colors(model, rows)))
    print(f"Wrote {out}")


def test_images(folder, model):
    """--num test images, or the picture --image_file: uint8 [N, H, W, C]."""
    if pathlib.Path(FLAGS.image_file or "").suffix.lower() in decoding.SUFFIXES:
        return image_folder.read_image(FLAGS.image_file, model.image_size)[np.newaxis]
    images = chosen_run.images(folder, model, "test")
    return (images if model.image_size else images.centers(FLAGS.side)).spread(FLAGS.num)


def by_class(model):
    """Rows with drawn images of each class."""
    [*_, image] = model.factors
    rows = []
    for label, name in enumerate(chosen_run.class_names(model)):
        drawn = sample(model, f"images of {name}", condition=np.full(FLAGS.num, label))
        rows.append((name, image, drawn[image]))
    return rows


def samples(model, originals):
    """Rows with drawn images; with `originals`, also draws given their auxiliary images."""
    *auxiliaries, image = model.factors
    rows = [(f"{name}\ndrawn", name, images) for name, images in sample(model, "images").items()]
    if originals is not None:
        views = model.auxiliaries(originals)
        rows.append(("test\nimages", image, originals))
        for name in auxiliaries:
            drawn = sample(model, f"images given {name}", len(originals), given={name: views[name]})
            rows.append((f"their\n{name}", name, views[name]))
            rows.append((f"drawn\ngiven {name}", image, drawn[image]))
    return rows


def draws_given(model, originals, name, *, times=3):
    """Rows with several draws given one auxiliary image of each test image."""
    [*_, image] = model.factors
    views = model.auxiliaries(originals).get(name)
    rows = [(f"test\n{name}", name, views)]
    num = len(originals)
    for first in range(0, times * num, num):
        drawn = sample(model, f"images given {name}", num, first=first, given={name: views})
        rows.append(("drawn", image, drawn[image]))
    return [*rows, ("test\nimages", image, originals)]


def completions(model, originals):
    """Rows with test images whose lower half is drawn."""
    [*_, image] = model.factors
    mask = upper_half(originals)
    middle = (model.factors[image].likelihood.num_values - 1) // 2
    drawn = sample(model, "completions", len(originals), known=originals, mask=mask)
    return [
        ("masked", image, np.where(mask, originals, originals.dtype.type(middle))),
        ("completed", image, drawn[image]),
        ("test\nimages", image, originals),
    ]


def sweep(model):
    """Rows drawn from the same seeds at smaller and smaller scales, the last by MAP sampling."""
    [*_, image] = model.factors
    rows = []
    for shift in SWEEP:
        drawn = sample(model, f"images at {shift:g}", log_scale_shift=shift)
        rows.append((f"{shift:g}", image, drawn[image]))
    drawn = sample(model, "images by MAP sampling", mode="map")
    return [*rows, ("MAP", image, drawn[image])]


def sample(model, text, num=None, *, first=0, **kwargs):
    """Draws images by the flags and `kwargs` of `AuxiliaryModel.sample`: dict, name -> [num, h, w, c].

    `text` names the images in a printed line; `first` is the second number of the first seed.
    """
    num = num or FLAGS.num
    seeds = np.array([[FLAGS.seed, first + index] for index in range(num)], np.int32)
    start = time.perf_counter()
    print(f"Drawing {num} {text} ...", flush=True)
    options = {
        "condition": chosen_run.label_condition(model, num),
        "log_scale_shift": FLAGS.log_scale_shift,
        "mode": FLAGS.mode,
        **kwargs,
    }
    if model.image_size is None and not {"given", "known", "image_size"} & set(kwargs):
        options["image_size"] = (FLAGS.side, FLAGS.side)
    images = model.sample(seeds, **options)
    print(f"... in {time.perf_counter() - start:.1f} s", flush=True)
    return images


def in_colors(model, rows):
    """Converts rows (label, factor name, uint8 [N, h, w, c]) for `image_grid.labeled`."""
    values = {name: factor.likelihood.num_values for name, factor in model.factors.items()}
    return [(label, image_grid.to_rgb(images, values[name])) for label, name, images in rows]


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_draws()
    flags.DEFINE_integer("num", 16, "The number of images per row.", 1, MAX_NUM)
    side = "The height and width of images drawn by a model of any image size."
    flags.DEFINE_integer("side", 128, side, 1, arguments.LARGEST)
    flags.DEFINE_string("given", None, "Draws given this auxiliary image of test images.")
    flags.DEFINE_enum("known", None, ["half"], "Keeps the upper half of test images.")
    flags.DEFINE_bool("sweep", None, "Draws figure 4: smaller and smaller scales, and MAP.")
    flags.mark_flags_as_mutual_exclusive(["given", "known", "sweep"])  # each makes its own picture
    out = f"The picture ({', '.join(image_grid.SUFFIXES)}); a file in WORKDIR if unset."
    flags.DEFINE_string("out", None, out)
