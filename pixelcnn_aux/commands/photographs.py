"""Drawing pictures from each photograph, as color, enlarge and complete do."""

import functools
import io
import itertools
import json
import pathlib

import numpy as np
from absl import app, flags
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import sampling
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.codec import pictures
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.commands.score import image_files
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.jobs import Source

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
    jobs.define_flags()


def draw_each(paths, ending, call, scenes=None, **own):
    """Writes --num pictures that a model draws of each photograph, or of those in folders, as new PNG files.

    `call(photographs)`, of [B, H, W, 3], all the same, gives the name of a method that draws, and arguments
    before those of draws; `own` are others by keyword: with `num`, one call draws all in order; `scenes` is
    the name of a model. Workers import `call` by its name.
    """
    expect(paths, "photographs", "none", "Name image files, or folders", kind=app.UsageError)
    files = list(itertools.chain.from_iterable(map(image_files, paths)))
    outputs = _outputs(files, ending)
    model = pa.load(FLAGS.workdir)
    how = {
        "log_scale_shift": FLAGS.log_scale_shift,
        "mode": FLAGS.mode,
        "jit_compile": FLAGS.jit,
        **own,
    }
    condition = jobs.condition(model)
    function = functools.partial(
        drawn,
        call=call,
        seed=FLAGS.seed,
        count=FLAGS.num,
        condition=condition,
        scenes=scenes,
        how=how,
    )
    absolute = [[str(place.absolute()) for place in places] for places in outputs]
    items = [[*x, places] for x, places in zip(jobs.described(files), absolute)]
    shards = jobs.run(function, items, model, size=1, suffix=".json", unit="photograph")
    for places, shard in zip(outputs, shards):
        for output, (height, width, bits) in zip(places, json.loads(shard)):
            what = f"{height} x {width}" + (f", {bits:.3f} bits/dim" if FLAGS.num > 1 else "")
            print(f"Wrote {output}: {what}")


def drawn(model, items, *, call, seed, count, condition, scenes, how):
    """Writes the pictures of photographs, the likeliest first: a shard's. JSON: H, W and bits of each."""
    made = 1 if "num" in how else count
    how = {
        **how,
        "seeds": [[seed, k] for k in range(made)],
        "condition": jobs.repeated(condition, made),
    }
    if scenes:
        how["scenes"] = Source(scenes, by=None).load()
    written = []
    for path, _, _, places in items:
        photograph = read_image(path)
        photographs = np.broadcast_to(photograph, (made, *photograph.shape))
        images, bits = sampling.drawn_with_bits(model, call(photographs), how, has_bits=made > 1)
        for place, k in zip(places, np.argsort(bits, kind="stable")):
            Image.fromarray(images[k]).save(file := io.BytesIO(), "PNG")
            disk.write_once(pathlib.Path(place), file.getvalue())
            written.append([*images[k].shape[:2], float(bits[k])])
    return json.dumps(written).encode()


def _outputs(files, ending):
    """The paths of the pictures of each photograph, in a folder that is there then; new, but for --shards."""
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
        if not FLAGS.shards:
            disk.check_new(output)
    return outputs
