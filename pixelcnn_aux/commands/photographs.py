"""Draws pictures from photographs, for the commands color, enlarge and complete."""

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
    """Defines the flags of these commands; the arguments are defaults."""
    flags.DEFINE_string("workdir", workdir, "A run, or the name of a trained model of the package.")
    out = "The picture, a PNG file, or the folder for pictures; the current folder if unset."
    flags.DEFINE_string("out", None, out)
    flags.DEFINE_integer("num", num, "Pictures per photograph, the likeliest first.", 1)
    chosen_run.define_draws(log_scale_shift=log_scale_shift)
    flags.DEFINE_bool("jit", False, "Compiles drawing with XLA: minutes at first, then faster.")


def draw_each(files, ending, call, scenes=None, **options):
    """Draws --num pictures from each photograph, and writes them as new PNG files.

    `call(photographs)`, for [B, H, W, 3] copies of a photograph, returns the name of a drawing method and its
    positional arguments; `options` are keyword arguments. With `num`, one call draws all pictures in order.
    `scenes` is the name of a model.
    """
    expect(files, "photographs", "none", "Name image files", kind=app.UsageError)
    photographs = [read_image(file) for file in files]
    outputs = _outputs(files, ending)
    model = pa.load(FLAGS.workdir)
    if scenes:
        options["scenes"] = pa.load(scenes)
    count = 1 if "num" in options else FLAGS.num
    options = {
        "seeds": [[FLAGS.seed, k] for k in range(count)],
        "log_scale_shift": FLAGS.log_scale_shift,
        "mode": FLAGS.mode,
        "jit_compile": FLAGS.jit,
        "condition": chosen_run.label_condition(model, count),
        **options,
    }
    repeated = (np.broadcast_to(x, (count, *x.shape)) for x in photographs)
    draw = functools.partial(sampling.drawn_with_bits, how=options, has_bits=count > 1)
    calls = [functools.partial(draw, call=call(x)) for x in repeated]
    start = time.perf_counter()
    with contextlib.closing(processes.in_order(model, calls)) as results:
        for file, paths in zip(files, outputs):
            print(f"Drawing from {file} with {FLAGS.workdir} ...", flush=True)
            drawn, bits = next(results)
            for output, k in zip(paths, np.argsort(bits, kind="stable")):
                with disk.new_file(output) as opened:
                    Image.fromarray(drawn[k]).save(opened, "PNG")
                height, width, _ = drawn[k].shape
                score = f", {bits[k]:.3f} bits/dim" if count > 1 else ""
                seconds = time.perf_counter() - start
                text = f"{height} x {width}{score}, after {seconds:.1f} s"
                print(f"Wrote {output}: {text}", flush=True)


def _outputs(files, ending):
    """New paths for each photograph's pictures; makes their folder."""
    out = pathlib.Path(FLAGS.out or ".")
    if out.suffix and not out.is_dir():
        expected, remedy = "one photograph for one picture", "Name a folder with --out"
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
