"""Drawing a picture from each photograph, as color, enlarge and complete do."""

import contextlib
import operator
import pathlib
import time

import numpy as np
from absl import app, flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux.codec import pictures
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.engine import processes
from pixelcnn_aux.errors import expect
from pixelcnn_aux.runs import disk

FLAGS = flags.FLAGS


def define_flags(workdir):
    """Defines the flags of all three; `workdir` is the default of --workdir."""
    flags.DEFINE_string("workdir", workdir, "A run, or the name of a trained model of the package.")
    out = "The picture, a PNG file, or a folder for pictures; the current folder if unset."
    flags.DEFINE_string("out", None, out)
    chosen_run.define_draws(log_scale_shift=-0.3)
    flags.DEFINE_bool("jit", False, "XLA compiles the drawing: minutes at first, then faster.")


def draw_each(files, ending, call, **own):
    """Writes what a model draws of each photograph, [1, h, w, 3], as a new PNG file.

    `call(photograph)`, of [1, H, W, 3], gives the name of a method that draws, and arguments before those of
    draws; `own` are others by keyword.
    """
    expect(files, "photographs", "none", "Name image files", kind=app.UsageError)
    outputs = _outputs(files, ending)
    photographs = [read_image(file) for file in files]
    model = pa.load(FLAGS.workdir) if FLAGS.jit else chosen_run.in_numpy(FLAGS.workdir)
    how = {
        "seeds": [[FLAGS.seed, 0]],
        "log_scale_shift": FLAGS.log_scale_shift,
        "mode": FLAGS.mode,
        "jit_compile": FLAGS.jit,
        "condition": chosen_run.label_condition(model.condition, 1),
        **own,
    }
    calls = [operator.methodcaller(*call(x[np.newaxis]), **how) for x in photographs]
    start = time.perf_counter()
    with contextlib.closing(processes.in_order(model, calls)) as drawn:
        for file, output in zip(files, outputs):
            print(f"From {file}, by {FLAGS.workdir} ...", flush=True)
            [picture] = np.asarray(next(drawn))
            with disk.new_file(output) as opened:
                Image.fromarray(picture).save(opened, "PNG")
            height, width, _ = picture.shape
            seconds = time.perf_counter() - start
            print(f"Wrote {output}: {height} x {width}, after {seconds:.1f} s", flush=True)


def _outputs(files, ending):
    """The paths of the pictures, new ones."""
    out = pathlib.Path(FLAGS.out or ".")
    if len(files) == 1 and not out.is_dir():
        outputs = [out]
    else:
        stems = (pathlib.Path(name).stem for name in pictures.names(files))
        outputs = [out / f"{stem}{ending}.png" for stem in stems]
    for output in outputs:
        disk.check_place("--out", output, (".png",))
        disk.check_new(output)
    return outputs
