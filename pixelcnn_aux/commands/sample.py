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

--out FOLDER, a name without a suffix, writes any number of draws in files of up to 128: arrays in
000000.npz and so on, or with --format tar PNG files and classes, which WebDataset reads. Classes take turns
unless --label chooses one. The same command continues a stopped one.
"""

import functools
import io
import pathlib
import tarfile
import time

import numpy as np
from absl import flags

from pixelcnn_aux import image_grid
from pixelcnn_aux.base import arguments, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.codec import picture_files
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.data import decoding, image_folder
from pixelcnn_aux.sampling.any_size import upper_half

FLAGS = flags.FLAGS

MAX_NUM = 1024  # images per row
SWEEP = [-step / 10 for step in range(11)]  # of log_scale_shift, figure 4


def main():
    if FLAGS.out and not pathlib.Path(FLAGS.out).suffix:
        sample_shards()
        return
    _check_picture()
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


def _check_picture():
    remedy = "Name a folder by --out, which takes any number"
    expect(FLAGS.num <= MAX_NUM, f"--num up to {MAX_NUM:,} for a picture", FLAGS.num, remedy)
    present = [f"--{x}" for x in ("format", "jobs", "scheduler") if FLAGS[x].present]
    remedy = "Name a folder by --out, or leave them out"
    expect(not present, "flags of a picture", " and ".join(present), remedy)


def sample_shards():
    """Writes --num draws to a folder."""
    present = [f"--{x}" for x in ("given", "known", "sweep", "image_file") if FLAGS[x].present]
    expected = "a picture as --out, since images are drawn from others"
    expect(not present, expected, " and ".join(present), "Leave these out")
    _, model = chosen_run.load(FLAGS.best)
    condition = jobs.condition(model)
    if isinstance(model.condition, Classes) and FLAGS.label is None:
        condition = "in turn"
    size = None if model.image_size else [FLAGS.side] * 2
    options = {"image_size": size, "log_scale_shift": FLAGS.log_scale_shift, "mode": FLAGS.mode}
    settings = {"seed": FLAGS.seed, "condition": condition, "as_tar": FLAGS.format == "tar"}
    shards = jobs.run(
        functools.partial(draws, options=options, **settings),
        range(FLAGS.num),
        model,
        folder=FLAGS.out,
        size=jobs.at_once(size or model.image_size),
        suffix=f".{FLAGS.format}",
        unit="image",
        best=FLAGS.best,
    )
    print(f"Wrote {FLAGS.out}: {FLAGS.num:,} images in {len(shards):,} files")


def draws(model, indices, *, seed, condition, as_tar, options):
    """Draws of a shard: arrays "image" [n, H, W, C] and, with classes, "label" [n]; or a tar file."""
    conditions = jobs.repeated(condition, len(indices))
    if condition == "in turn":
        conditions = [index % model.condition.num_classes for index in indices]
    seeds = np.array([[seed, index] for index in indices], np.int32)
    *_, images = model.sample(seeds, condition=conditions, **options).values()
    arrays = {"image": np.asarray(images)}
    if isinstance(model.condition, Classes):
        arrays["label"] = np.array(conditions)
    return _tar(indices, **arrays) if as_tar else arrays


def _tar(indices, image, label=None):
    """The bytes of a tar file of images as PNG, and of their classes."""
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as tar:

        def add(name, data):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        for position, index in enumerate(indices):
            picture_files.write(picture := io.BytesIO(), picture_files.Picture(image[position], {}))
            add(f"{index:08}.png", picture.getvalue())
            if label is not None:
                add(f"{index:08}.cls", str(label[position]).encode())
    return file.getvalue()


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
    for label, name in enumerate(model.class_names()):
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
    """Converts rows (label, factor name, pixels [N, h, w, c]) for `image_grid.labeled`."""
    shown = {}  # factor name -> the last two arguments of `to_rgb`
    for name in {name: None for _, name, _ in rows}:
        num_values = model.factors[name].likelihood.num_values
        images = [images for _, row, images in rows if row == name]
        shown[name] = num_values, image_grid.window(name, images, num_values)
    return [(label, image_grid.to_rgb(images, *shown[name])) for label, name, images in rows]


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_draws()
    flags.DEFINE_integer("num", 16, "How many images of each kind.", 1)
    side = "The height and width of images that a model of images of any size draws."
    flags.DEFINE_integer("side", 128, side, 1, arguments.LARGEST)
    flags.DEFINE_string("given", None, "Draws given this auxiliary image of test images.")
    flags.DEFINE_enum("known", None, ["half"], "Keeps the upper half of test images.")
    flags.DEFINE_bool("sweep", None, "Draws figure 4: smaller and smaller scales, and MAP.")
    flags.mark_flags_as_mutual_exclusive(["given", "known", "sweep"])  # each is a picture
    out = f"The picture, {', '.join(image_grid.SUFFIXES)}, or a folder; a picture in WORKDIR if unset."
    flags.DEFINE_string("out", None, out)
    flags.DEFINE_enum("format", "npz", ["npz", "tar"], "Of the files of a folder --out.")
    jobs.define_flags(shards=False)
