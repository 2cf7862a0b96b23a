"""Drawing pictures from each photograph, as color, enlarge and complete do."""

import contextlib
import functools
import itertools
import pathlib
import time

import numpy as np
from absl import app, flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import sampling
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.codec import pictures
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.factors import processes

FLAGS = flags.FLAGS


def define_flags(workdir, num=1, log_scale_shift=-0.3):
    """Defines the flags of all three; the arguments are defaults."""
    flags.DEFINE_string("workdir", workdir, "A run, or the name of a trained model of the package.")
    out = "The picture, a PNG file, or a folder for pictures, which may be new; the current one if unset."
    flags.DEFINE_string("out", None, out)
    several = "How many pictures of each photograph: NAME-1.png and so on, the likeliest first."
    flags.DEFINE_integer("num", num, several, lower_bound=1)
    chosen_run.define_draws(log_scale_shift=log_scale_shift)
    flags.DEFINE_bool("jit", False, "XLA compiles the drawing: minutes at first, then faster.")


def draw_each(files, ending, call, scenes=None, **own):
    """Writes --num pictures that a model draws of each photograph as new PNG files.

    `call(photographs)`, of [B, H, W, 3], all the same, gives the name of a method that draws, and arguments
    before those of draws; `own` are others by keyword: with `num`, one call draws all in order; `scenes` is
    the name of a model.
    """
    expect(files, "photographs", "none", "Name image files", kind=app.UsageError)
    photographs = [read_image(file) for file in files]
    outputs = _outputs(files, ending)
    model = pa.load(FLAGS.workdir)
    if scenes:
        own["scenes"] = pa.load(scenes)
    count = 1 if "num" in own else FLAGS.num
    how = {
        "seeds": [[FLAGS.seed, k] for k in range(count)],
        "log_scale_shift": FLAGS.log_scale_shift,
        "mode": FLAGS.mode,
        "jit_compile": FLAGS.jit,
        "condition": chosen_run.label_condition(model, count),
        **own,
    }
    repeated = (np.broadcast_to(x, (count, *x.shape)) for x in photographs)
    draw = functools.partial(sampling.drawn_with_bits, how=how, has_bits=count > 1)
    calls = [functools.partial(draw, call=call(x)) for x in repeated]
    start = time.perf_counter()
    with contextlib.closing(processes.in_order(model, calls)) as results:
        for file, places in zip(files, outputs):
            print(f"From {file}, by {FLAGS.workdir} ...", flush=True)
            drawn, bits = next(results)
            for output, k in zip(places, np.argsort(bits, kind="stable")):
                with disk.new_file(output) as opened:
                    Image.fromarray(drawn[k]).save(opened, "PNG")
                height, width, _ = drawn[k].shape
                what = f"{height} x {width}" + (f", {bits[k]:.3f} bits/dim" if count > 1 else "")
                seconds = time.perf_counter() - start
                print(f"Wrote {output}: {what}, after {seconds:.1f} s", flush=True)


def _outputs(files, ending):
    """The paths of the pictures of each photograph, new ones, in a folder that is there then."""
    out = pathlib.Path(FLAGS.out or ".")
    if out.suffix and not out.is_dir():
        expected, remedy = "one photograph for one picture", "Name a folder by --out"
        expect(len(files) == 1, expected, f"{len(files)}, and --out {out}", remedy)
        outputs = [[out]]
    else:
        disk.writable(out)
        stems = (pathlib.Path(name).stem for name in pictures.names(files))
        outputs = [[out / f"{stem}{ending}.png"] for stem in stems]
    if FLAGS.num > 1:
        numbers = range(1, FLAGS.num + 1)
        outputs = [[x.with_stem(f"{x.stem}-{k}") for k in numbers] for [x] in outputs]
    for output in itertools.chain(*outputs):
        disk.check_place("--out", output, (".png",))
        disk.check_new(output)
    return outputs
