"""Draws images from a model, as one picture, such as

    pixelcnn-aux sample --workdir cifar10-grayscale --dataset photos
    pixelcnn-aux sample --workdir cifar10-pyramid --dataset photos --given 16x16 --num 8

The picture has images drawn from the model, each below the auxiliary images that it was drawn from; and test
images, their auxiliary images, and images drawn given those, as the paper's figures 2 and 3. For a model of
classes it has a row of images of each class, unless --label horse (or 7) chooses one, or --label -1 none.

With --given NAME there are several draws for each test image from one of its auxiliary images: colors from
grays, or super-resolution. With --known half the lower half of test images is resampled. With --sweep, as
figure 4, images are drawn from the same seeds with the mixtures' log-scales reduced more and more, and by MAP
sampling. A model of classes draws all of these for the class --label, or for none. --image_file PICTURE.jpg
gives a picture of your own instead of test images; a model of images of any size takes it in its size:

    pixelcnn-aux sample --workdir runs/mine --image_file PICTURE.jpg --given half

--out FOLDER, a name without a suffix, takes any number of draws in files of some hundreds: arrays, 000000.npz
and so on, or with --format tar PNG files with their classes, as WebDataset reads them. Classes take turns
unless --label chooses one. The same command goes on with a run that was stopped.
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
from pixelcnn_aux.base.inputs import upper_half
from pixelcnn_aux.codec import pictures
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.data import decoding, image_folder

FLAGS = flags.FLAGS

MAX_NUM = 1024  # images in a row of a picture
SWEEP = [-step / 10 for step in range(11)]  # of log_scale_shift, figure 4


def main():
    if FLAGS.out and not pathlib.Path(FLAGS.out).suffix:
        sample_shards()
        return
    _check_picture()
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out, image_grid.SUFFIXES)
    present = [f"--{name}" for name in ("log_scale_shift", "mode") if FLAGS[name].present]
    expected = "--sweep without --log_scale_shift and --mode: it goes through them"
    expect(not (FLAGS.sweep and present), expected, " and ".join(present), "Leave these out")
    folder, model = chosen_run.load(FLAGS.best)
    # Before anything is drawn: a wrong --label is refused, too.
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
    fits = FLAGS.num <= MAX_NUM
    remedy = "Name a folder by --out, which takes any number"
    expect(fits, f"--num of at most {MAX_NUM:,} for a picture", FLAGS.num, remedy)
    fits = not any(FLAGS[name].present for name in ("format", "jobs", "scheduler"))
    expected = "--format, --jobs and --scheduler with a folder --out"
    expect(fits, expected, f"--out {FLAGS.out}", "Name a folder, or leave them out")


def sample_shards():
    """Draws --num images to a folder."""
    of_pictures = [
        name for name in ("given", "known", "sweep", "image_file") if FLAGS[name].present
    ]
    expected, received = "a folder --out for draws alone", ", ".join(f"--{x}" for x in of_pictures)
    expect(not of_pictures, expected, received, "Name a picture by --out")
    _, model = chosen_run.load(FLAGS.best)
    condition = jobs.condition(model)
    if isinstance(model.condition, Classes) and FLAGS.label is None:
        condition = "in turn"
    function = functools.partial(
        draws,
        seed=FLAGS.seed,
        condition=condition,
        size=None if model.image_size else [FLAGS.side] * 2,
        how={"log_scale_shift": FLAGS.log_scale_shift, "mode": FLAGS.mode},
        as_tar=FLAGS.format == "tar",
    )
    size = jobs.at_once(model.image_size or [FLAGS.side] * 2)
    suffix = f".{FLAGS.format}"
    out = {"folder": FLAGS.out, "suffix": suffix, "unit": "image"}
    shards = jobs.run(function, range(FLAGS.num), model, size=size, best=FLAGS.best, **out)
    print(f"Wrote {FLAGS.out}: {FLAGS.num:,} images in {len(shards):,} files {suffix}")


def draws(model, indices, *, seed, condition, size, how, as_tar):
    """Draws of a shard: arrays "image" [n, H, W, C] and, by a model of classes, "label"; or a tar file."""
    conditions = jobs.repeated(condition, len(indices))
    if condition == "in turn":
        conditions = [index % model.condition.num_classes for index in indices]
    seeds = np.array([[seed, index] for index in indices], np.int32)
    *_, images = model.sample(seeds, condition=conditions, image_size=size, **how).values()
    found = {"image": np.asarray(images)}
    if isinstance(model.condition, Classes):
        found["label"] = np.array(conditions)
    return _tar(indices, **found) if as_tar else found


def _tar(indices, image, label=None):
    """The bytes of a tar file of images as PNG, and of their classes."""
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as tar:

        def add(name, data):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        for position, index in enumerate(indices):
            pictures.write(picture := io.BytesIO(), pictures.Picture(image[position], {}))
            add(f"{index:08}.png", picture.getvalue())
            if label is not None:
                add(f"{index:08}.cls", str(label[position]).encode())
    return file.getvalue()


def test_images(folder, model):
    """Some test images, or the picture --image_file: uint8 [N, H, W, C]."""
    if pathlib.Path(FLAGS.image_file or "").suffix.lower() in decoding.SUFFIXES:
        return image_folder.read_image(FLAGS.image_file, model.image_size)[np.newaxis]
    images = chosen_run.images(folder, model, "test")
    return (images if model.image_size else images.centers(FLAGS.side)).spread(FLAGS.num)


def by_class(model):
    """Rows of the picture of a model of classes: images of each."""
    [*_, image] = model.factors

    rows = []
    for label, name in enumerate(chosen_run.class_names(model)):
        drawn = sample(model, f"images of {name}", condition=np.full(FLAGS.num, label))
        rows.append((name, image, drawn[image]))
    return rows


def samples(model, originals):
    """Rows of the picture of samples; with `originals`, also draws given their auxiliary images."""
    *auxiliaries, image = model.factors
    rows = [(f"{name}\ndrawn", name, images) for name, images in sample(model, "images").items()]
    if originals is not None:
        given = model.auxiliaries(originals)
        rows.append(("test\nimages", image, originals))
        for name in auxiliaries:
            drawn = sample(model, f"images given {name}", len(originals), given={name: given[name]})
            rows.append((f"their\n{name}", name, given[name]))
            rows.append((f"drawn\ngiven {name}", image, drawn[image]))
    return rows


def draws_given(model, originals, name, *, times=3):
    """Rows of the picture of several draws from one auxiliary image of each test image."""
    [*_, image] = model.factors
    given = model.auxiliaries(originals).get(name)
    rows = [(f"test\n{name}", name, given)]
    for first in range(0, times * len(originals), len(originals)):
        how = {"first": first, "given": {name: given}}
        drawn = sample(model, f"images given {name}", len(originals), **how)
        rows.append(("drawn", image, drawn[image]))
    return [*rows, ("test\nimages", image, originals)]


def completions(model, originals):
    """Rows of the picture of test images whose lower half is drawn."""
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
    """Rows of the picture of the same seeds at ever smaller scales, the last by MAP sampling."""
    [*_, image] = model.factors
    ways = [(f"{shift:g}", f"at {shift:g}", {"log_scale_shift": shift}) for shift in SWEEP]
    ways.append(("MAP", "by MAP sampling", {"mode": "map"}))
    return [(x, image, sample(model, f"images {what}", **how)[image]) for x, what, how in ways]


def sample(model, what, num=None, *, first=0, **kwargs):
    """Draws images as flags and `kwargs` of `AuxiliaryModel.sample` say: dict, name -> [num, h, w, c]."""
    num = num or FLAGS.num
    seeds = np.array([[FLAGS.seed, first + index] for index in range(num)], np.int32)
    start = time.perf_counter()
    print(f"Drawing {num} {what} ...", flush=True)
    how = {"condition": chosen_run.label_condition(model, num)}
    how |= {"log_scale_shift": FLAGS.log_scale_shift, "mode": FLAGS.mode, **kwargs}
    if model.image_size is None and not {"given", "known", "image_size"} & set(kwargs):
        how["image_size"] = (FLAGS.side, FLAGS.side)
    images = model.sample(seeds, **how)
    print(f"... in {time.perf_counter() - start:.1f} s", flush=True)
    return images


def in_colors(model, rows):
    """Rows for `image_grid.labeled`, of rows (label, name of the images' factor, uint8 [N, h, w, c])."""
    values = {name: factor.likelihood.num_values for name, factor in model.factors.items()}
    return [(label, image_grid.to_rgb(images, values[name])) for label, name, images in rows]


def define_flags():
    chosen_run.define_flags()
    chosen_run.define_draws()
    flags.DEFINE_integer("num", 16, "How many images of each kind.", 1)
    side = "The height and width of images that a model of images of any size draws."
    flags.DEFINE_integer("side", 128, side, 1, arguments.LARGEST)
    flags.DEFINE_string("given", None, "The auxiliary image of test images to draw from.")
    known = "The half of test images that is kept: the rest is completed."
    flags.DEFINE_enum("known", None, ["half"], known)
    flags.DEFINE_bool("sweep", None, "Draws figure 4: smaller and smaller scales, and MAP.")
    flags.mark_flags_as_mutual_exclusive(["given", "known", "sweep"])  # each is a picture
    out = f"The picture, {', '.join(image_grid.SUFFIXES)}, or a folder; a picture in WORKDIR if unset."
    flags.DEFINE_string("out", None, out)
    flags.DEFINE_enum("format", "npz", ["npz", "tar"], "Of the files of a folder --out.")
    jobs.define_flags(shards=False)
