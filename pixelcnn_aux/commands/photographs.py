"""Draws pictures from photographs, for the commands color, enlarge and complete."""

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
from pixelcnn_aux.codec import picture_files
from pixelcnn_aux.commands import chosen_run, jobs
from pixelcnn_aux.data.files import image_files
from pixelcnn_aux.data.image_folder import read_image
from pixelcnn_aux.jobs import Source

FLAGS = flags.FLAGS


def define_flags(workdir, num=1, log_scale_shift=-0.3):
    """Defines the flags of these commands; the arguments are defaults."""
    flags.DEFINE_string("workdir", workdir, "A run, or the name of a trained model of the package.")
    out = "The picture, a PNG file, or the folder for pictures; the current folder if unset."
    flags.DEFINE_string("out", None, out)
    flags.DEFINE_integer("num", num, "Pictures per photograph, the likeliest first.", 1)
    chosen_run.define_draws(log_scale_shift=log_scale_shift)
    flags.DEFINE_bool("jit", False, "Compiles drawing with XLA: minutes at first, then faster.")
    jobs.define_flags()


def draw_each(paths, ending, draw, scenes=None, **options):
    """Draws --num pictures from each photograph, of files and folders, and writes them as new PNG files.

    `draw(model, photographs, **options)` draws from [B, H, W, 3] copies of a photograph; with `num` among the
    options, one call draws all pictures in order. `scenes` is a model's name or run. Workers import `draw` by
    its name.
    """
    expect(paths, "photographs", "none", "Name image files, or folders", kind=app.UsageError)
    files = list(itertools.chain.from_iterable(map(image_files, paths)))
    outputs = _outputs(files, ending)
    model = pa.load(FLAGS.workdir)
    options |= {"log_scale_shift": FLAGS.log_scale_shift, "mode": FLAGS.mode}
    options |= {"jit_compile": FLAGS.jit}
    scenes = scenes and Source(scenes, by=None).pinned()
    settings = {"draw": draw, "seed": FLAGS.seed, "count": FLAGS.num, "scenes": scenes}
    condition = jobs.condition(model)
    function = functools.partial(drawn, condition=condition, options=options, **settings)
    absolute = [[str(place.absolute()) for place in places] for places in outputs]
    items = [(file.absolute(), places) for file, places in zip(files, absolute)]
    how = {"suffix": ".json", "unit": "photograph", "done": jobs.as_written}
    shards = jobs.run(function, items, model, size=1, **how)
    for places, shard in zip(outputs, shards):
        for output, (_, _, height, width, bits) in zip(places, json.loads(shard)):
            score = f", {bits:.3f} bits/dim" if bits else ""  # 0 if it was not computed
            print(f"Wrote {output}: {height} x {width}{score}")


def drawn(model, items, *, draw, seed, count, condition, scenes, options):
    """Writes a shard's pictures; returns path, checksum, H, W and bits of each as JSON."""
    batch = 1 if "num" in options else count
    seeds = [[seed, k] for k in range(batch)]
    options = {**options, "seeds": seeds, "condition": jobs.repeated(condition, batch)}
    if scenes:
        options["scenes"] = scenes.load()
    written = []
    for path, places in items:
        photograph = read_image(path)
        photographs = np.broadcast_to(photograph, (batch, *photograph.shape))
        own_draw = functools.partial(draw, model, photographs)
        images, bits = sampling.draw_and_score(model, own_draw, options, batch > 1)
        for place, k in zip(places, np.argsort(bits, kind="stable")):
            Image.fromarray(images[k]).save(file := io.BytesIO(), "PNG")
            disk.write_once(pathlib.Path(place), file.getvalue())
            written.append([place, disk.checksum(place), *images[k].shape[:2], float(bits[k])])
    return json.dumps(written).encode()


def _outputs(files, ending):
    """Paths for each photograph's pictures, new ones unless --shards is set; makes their folder."""
    out = pathlib.Path(FLAGS.out or ".")
    if out.suffix and not out.is_dir():
        expected, remedy = "one photograph for one picture", "Name a folder with --out"
        expect(len(files) == 1, expected, f"{len(files)}, and --out {out}", remedy)
        outputs = [[out]]
    else:
        disk.remove_unfinished(disk.writable(out))
        stems = (pathlib.Path(name).stem for name in picture_files.names(files))
        outputs = [[out / f"{stem}{ending}.png"] for stem in stems]
    if FLAGS.num > 1:
        numbers = range(1, FLAGS.num + 1)
        outputs = [[x.with_stem(f"{x.stem}-{k}") for k in numbers] for [x] in outputs]
    for output in itertools.chain(*outputs):
        disk.check_place("--out", output, (".png",))
        if not FLAGS.shards:
            disk.check_new(output)
    return outputs
