"""Adds a run to the package's trained models: python -m benchmarks.pack --workdir W --name NAME ...

Rounds weights to 16 bits, and kernels --in_8_bits to 8, at next to no cost in bits. Rounded factors keep
their weights, whose kernels take 8 bits already. The card gets the figures of `evaluate.bpd --split test`,
for all test images and the same weights. The model is written completely or not at all.
"""

import pathlib
import tempfile

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.base import disk, rounding
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import bpd, chosen_run, program
from pixelcnn_aux.run_files import tensors, trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

MOST_BITS = 0.001  # bits per dimension that rounding may cost
NUM_IMAGES = 500  # most validation images to measure that cost on
FACTS = {
    "purpose": "A few words for pixelcnn-aux models.",
    "data": "The training images.",
    "license": "The license of the training images.",
    "machine": "The machine that trained the model.",
    "command": "The command that trained the model.",
}


def main():
    target = trained.FOLDER / FLAGS.name
    is_new = target.parent == trained.FOLDER and not target.exists()
    expect(is_new, "a new name", FLAGS.name, f"Choose another one, or remove {target} first")
    folder = chosen_run.workdir()
    print(f"Packing {folder}", flush=True)
    model = pa.load(folder)
    check_parts(model, FLAGS.in_8_bits)
    result = test_result(folder, model)
    with (
        disk.explained(f"to write {target}"),
        tempfile.TemporaryDirectory(dir=trained.FOLDER) as folder_aside,
    ):
        packed = pathlib.Path(folder_aside, FLAGS.name)
        seconds = write_run(folder, model, packed, FLAGS.in_8_bits)
        loaded = pa.load(packed)
        check_cost(chosen_run.images(folder, model, "validation"), model, loaded)
        card = {name: FLAGS[name].value for name in FACTS}
        card |= {**result, "seconds": round(seconds), "fingerprint": bpd.identity(loaded)}
        disk.write_json(packed / "card.json", card)
        packed.rename(target)
    print(f"Wrote {target}: {trained.pretrained()[FLAGS.name]['bytes']:,} bytes")


def check_parts(model, parts):
    """Raises ValueError for parts without kernels."""
    names = [name for factor in model.factors.values() for name in kernels(factor)]
    for part in parts:
        received = f"{part!r}, without a kernel as {names[0]}"
        fits = any(name.startswith(f"{part}/") for name in names)
        expect(fits, f"a factor of {[*model.factors]}, or a part", received, "Give one of these")


def check_cost(images, model, packed):
    """Raises ValueError if packing costs more than `MOST_BITS` on the first images."""
    condition = images.condition(model.condition)
    before, after = (
        splits.mean_bits(x, chosen_run.batches(images, NUM_IMAGES), condition)
        for x in (model, packed)
    )
    unit = f"bits per dimension on {min(NUM_IMAGES, images.num_images)} validation images"
    print(f"Cost of packing: {after - before:+.5f} {unit}")
    expected = f"weights whose packing costs at most {MOST_BITS} bits per dimension"
    remedy = "Leave out --in_8_bits, or train longer or with a lower learning rate"
    expect(after - before <= MOST_BITS, expected, after - before, remedy)


def test_result(folder, model):
    """The figures of `evaluate.bpd` for the card: of all test images, by the run's current weights."""
    file = trained.outputs(folder) / "bpd.json"
    images = chosen_run.images(folder, model, "test")
    settings = {
        "dataset": chosen_run.source(folder)["dataset"],
        "split": "test",
        "num_images": images.num_images,
        "crc32": bpd.checksum(chosen_run.batches(images)),
        "best": False,
        "model": bpd.identity(model),
        # Without classes, for comparison with other models.
        "condition": None if model.condition is None else False,
    }
    try:
        figures = disk.read_dict(file, "figures")
    except (FileNotFoundError, ValueError):  # missing or damaged
        figures = {}
    differences = disk.differences(settings, {key: figures.get(key) for key in settings})
    expected = f"in {file} figures of all {images.num_images:,} test images, by the run's weights"
    flag = "" if model.condition is None else " --nocondition"
    remedy = f"Run python -m evaluate.bpd --split test --workdir {folder}{flag} first"
    expect(not differences, expected, differences if figures else "none", remedy)
    bits = figures[splits.bits_kind(model)]
    card = {"bits_per_dim": bits["total"], "std_error": bits["std_error"]}
    return {**card, "split": "test", "num_images": images.num_images}


def write_run(folder, model, packed, in_8_bits=()):
    """Writes the packed run to a new folder; returns the seconds of training."""
    run, packed, seconds = RunFolder(folder), RunFolder(packed), 0
    packed.create(run.shared_config())
    for name, factor in model.factors.items():
        source, target = run[name], packed[name]
        rows, recorded = metrics.read(source.metrics), source.shared_training()
        expected = f"{source.metrics} with one epoch or more, and {source.training}"
        received = f"nothing in {source.training if rows else source.metrics}"
        expect(rows and recorded, expected, received, "Restore it, or train on")
        target.record_training(recorded)
        metrics.write(target.metrics, rows)
        if factor.rounded:
            write_whole(factor, target.weights)
        else:
            parts = tuple(f"{part}/" for part in in_8_bits)
            small = {
                name: direction(v, axis)
                for name, (v, axis) in kernels(factor).items()
                if name.startswith(parts)
            }
            write_rounded(source.weights, target.weights, small)
        seconds += rows[-1]["seconds"]
    return seconds


def write_whole(factor, file):
    """Writes the weights of a factor of whole numbers, with kernels as int8."""

    def units(name, v):
        bias = arrays[name.replace("/v", "/b")]
        return np.round(v * rounding.kernel_units(v, bias)).astype(np.int8)

    arrays = {f"{factor.name}/{path}": x for path, x in factor.weights.items()}
    whole = {name: units(name, v) for name, (v, _) in kernels(factor).items()}
    tensors.write(file, {**arrays, **whole}, tensors.identity(factor))


def direction(v, output_axis):
    """A kernel from -127 to 127, where its length does not matter: int8."""
    axes = tuple(np.delete(range(v.ndim), output_axis))
    return np.round(127 * v / np.abs(v).max(axis=axes, keepdims=True)).astype(np.int8)


def kernels(factor):
    """dict, name of a kernel in files -> (array, axis of its output channels)."""
    layers = factor.layers()
    _ = factor.with_layers(layers).modules
    axes = {f"{path}/v": -1 - layer.transposed for path, layer in layers.made_layers.items()}
    return {f"{factor.name}/{path}": (factor.weights[path], axis) for path, axis in axes.items()}


def write_rounded(file, smaller, exceptions):
    """Copies a file of weights as float16, except for `exceptions`, dict name -> array."""
    arrays, notes = tensors.read(file)
    expected = "weights from -65,504 to 65,504, which 16 bits hold"
    for name, array in arrays.items():
        fits = np.abs(array).max(initial=0) <= np.finfo(np.float16).max
        received = f"larger ones in the array {name} of {file}"
        expect(fits, expected, received, "Train with a lower learning rate")
    small = {name: array.astype(np.float16) for name, array in arrays.items()}
    tensors.write(smaller, {**small, **exceptions}, notes)


def define_flags():
    chosen_run.define_source()
    flags.DEFINE_string("name", None, "The name of the model.", required=True)
    for name, text in FACTS.items():
        flags.DEFINE_string(name, None, text, required=True)
    flags.DEFINE_list("in_8_bits", [], "Factors, or parts as image/embedding, to round to 8 bits.")


if __name__ == "__main__":
    program.start()
