"""Times draws and training steps of networks with random weights, in turns.

    python -m benchmarks.times sides

- sides: draws of images of several sizes, given half resolutions, by the light network of Pyramid PixelCNN
  along diagonals and pixel by pixel, by masked convolutions along diagonals, and in groups of pixels.
- celeba: draws by the pyramid of the preset of that name, and by PixelCNN++ at its size, in graphs.
- cifar10: draws by the pyramids of the presets `parallel` and `small`.
- exact: training steps and draws of the last factor of the pyramid `cifar10`, as in the paper and exact.
- training: training steps of PixelCNN++ with 64 filters on 32 x 32 images.

TFP's PixelCNN evaluates its network for each pixel: the time of a step is multiplied by the pixels. It is its
documentation's, in `training` one with as many parameters. Prints medians, and images per second.
"""

import dataclasses
import functools
from unittest import mock

from absl import flags

import pixelcnn_aux as pa
from benchmarks import rival, tools
from pixelcnn_aux.base import arguments
from pixelcnn_aux.commands import program
from pixelcnn_aux.factors import factor as factor_module
from pixelcnn_aux.scanning.rows import RowScan
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS
ARGUMENTS = ["COMPARISON"]

TFP = "TFP's, by its step"
LIGHT = {"filters": 32, "blocks": 3, "embedding_blocks": 1, "depth": 1}
ADAM = pa.Training(epochs=1, steps_per_epoch=1, batch_size=1, learning_rate=1e-3, decay=1.0)
SMALL = (32, 32)


def draw(model, batch, **options):
    return functools.partial(model.sample, [[0, k] for k in range(batch)], **options)


def auxiliary(model, batch):
    """The last auxiliary images of a batch of random images, as an argument of `sample`."""
    images = tools.random_images(batch, model.image_size)
    [*_, (name, auxiliary), _] = model.auxiliaries(images).items()
    return {name: auxiliary}


def sides(batch):
    """Yields (size (H, W); dict, name -> function to time)."""
    for side in (32, 64, 128, 256):
        size = (side, side)
        models = {
            "light, along diagonals": pa.pyramid(size, (side // 2, side // 2), **LIGHT),
            "masked": pa.parallel_pyramid(size, halvings=1, masked=1, num_components=5),
            "groups": pa.parallel_pyramid(size, halvings=1),
        }
        draws = {x: draw(y, batch, given=auxiliary(y, batch)) for x, y in models.items()}
        by_rows = mock.patch.object(factor_module, "DiagonalScan", lambda *x: RowScan(*x[:3]))
        draws["light, pixel by pixel"] = by_rows(draws["light, along diagonals"])
        # Its activations for large batches do not fit in memory.
        yield size, {**draws, TFP: rival.drawing_step(batch, size)} if batch == 1 else draws


def celeba(batch):
    """As `sides`; with new models for each batch size, whose first graphs have that size."""
    pyramid = tools.build(presets.PYRAMID["celeba"])
    models = {"pyramid": pyramid, "PixelCNN++": pa.pixelcnn_pp(pyramid.image_size)}
    for suffix, jit_compile in {"": False, ", XLA": True}.items():
        draws = {x + suffix: draw(y, batch, jit_compile=jit_compile) for x, y in models.items()}
        yield pyramid.image_size, draws


def cifar10(batch):
    models = {name: tools.build(presets.PYRAMID[name]) for name in ("parallel", "small")}
    draws = {name: draw(model, batch) for name, model in models.items()}
    yield SMALL, {**draws, TFP: rival.drawing_step(batch, SMALL)}


def exact(batch):
    preset = presets.PYRAMID["cifar10"]
    [*_, name] = preset.training
    training = dataclasses.replace(preset.training[name], batch_size=batch, mixed_precision=True)
    ways = {"paper": False, "exact": True}
    models = {x: tools.build(preset, exact=y, centered=y) for x, y in ways.items()}
    steps = {x: tools.training_step(y, name, training) for x, y in models.items()}
    yield SMALL, {f"{x}, training step": step for x, step in steps.items()}
    halves = auxiliary(models["paper"], batch)
    for label, jit_compile in {"draw": False, "draw, XLA": True}.items():
        options = {"given": halves, "jit_compile": jit_compile}
        yield SMALL, {f"{x}, {label}": draw(y, batch, **options) for x, y in models.items()}


def training(batch):
    model = pa.pixelcnn_pp(blocks=2, filters=64, dropout=0.5)
    distribution = rival.like(model.factors["image"].network, SMALL)
    step = rival.training_step(distribution, ADAM.learning_rate)
    steps = {"TFP's": functools.partial(step, tools.random_images(batch, SMALL))}
    for name, mixed in {"float32": False, "mixed precision": True}.items():
        settings = dataclasses.replace(ADAM, batch_size=batch, mixed_precision=mixed)
        steps[name] = tools.training_step(model, "image", settings)
    yield SMALL, steps


COMPARISONS = {x.__name__: x for x in (sides, celeba, cifar10, exact, training)}


def main(name):
    cases = COMPARISONS[arguments.choice("COMPARISON", name, COMPARISONS)]
    columns = {"images": "6", "size": "<9", "": "<24", "seconds": "9.3g", "images/s": "9.3g"}
    table = tools.Table(columns)
    for batch in map(int, FLAGS.batch_sizes):
        for (height, width), functions in cases(batch):
            for way, seconds in tools.medians_in_turn(functions, FLAGS.runs).items():
                seconds *= height * width if way == TFP else 1
                table.add(batch, f"{height} x {width}", way, seconds, batch / seconds)


def define_flags():
    tools.define_timing("1,16")


if __name__ == "__main__":
    program.start()
