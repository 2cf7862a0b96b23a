"""Makes a run part of the package: python -m benchmarks.pack --workdir W --name NAME ...

Its weights are rounded to 16 bits, which has to cost next to nothing, and the kernels of the factors
--in_8_bits to 8. Rounded factors keep their weights: their kernels take 8 bits already. The figures of
`evaluate.bpd --split test`, of all test images and the same weights, become part of the card. The model is
written whole or not at all.
"""

import pathlib
import tempfile

import keras
import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import layers, summaries
from pixelcnn_aux.base import disk, rounding, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import bpd, chosen_run, program
from pixelcnn_aux.factors.rounded_factor import RoundedFactor
from pixelcnn_aux.runs import tensors, trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

MOST_BITS = 0.001  # that rounding may cost, in bits per dimension
NUM_IMAGES = 500  # of the validation split at most, on which that is measured
FACTS = {
    "purpose": "In a few words, for pixelcnn-aux models.",
    "data": "The images that it was trained on.",
    "license": "The license of these images.",
    "machine": "The machine that trained it.",
    "command": "The command that trained it.",
}


def main():
    target = trained.FOLDER / FLAGS.name
    is_new = target.parent == trained.FOLDER and not target.exists()
    expect(is_new, "a new name", FLAGS.name, f"Choose another one, or remove {target} first")
    folder = chosen_run.workdir()
    print(f"Packing {folder}", flush=True)
    model = pa.load(folder)
    for name in FLAGS.in_8_bits:
        model.position(name)  # raises ValueError for an unknown factor
    result = test_result(folder, model)
    with (
        disk.explained(f"to write {target}"),
        tempfile.TemporaryDirectory(dir=trained.FOLDER) as place,
    ):
        packed = pathlib.Path(place, FLAGS.name)
        seconds = write_run(folder, model, packed, FLAGS.in_8_bits)
        loaded = pa.load(packed)
        check_cost(chosen_run.images(folder, model, "validation"), model, loaded)
        card = {name: FLAGS[name].value for name in FACTS}
        card |= {**result, "seconds": round(seconds), "fingerprint": bpd.identity(loaded)}
        disk.write_json(packed / "card.json", card)
        packed.rename(target)
    print(f"Wrote {target}: {trained.pretrained()[FLAGS.name]['bytes']:,} bytes")


def check_cost(images, model, packed):
    """Raises ValueError where packing costs more than `MOST_BITS` on the first images."""
    condition = images.condition(model.condition)
    before, after = (
        splits.mean_bits(x, chosen_run.batches(images, NUM_IMAGES), condition)
        for x in (model, packed)
    )
    unit = f"bits per dimension on {min(NUM_IMAGES, images.num_images)} validation images"
    print(f"As they are packed: {after - before:+.5f} {unit}")
    expected = f"weights that cost {MOST_BITS} bits per dimension at most as they are packed"
    remedy = "Leave out --in_8_bits, train on, or with a lower learning rate"
    expect(after - before <= MOST_BITS, expected, after - before, remedy)


def test_result(folder, model):
    """The figures of `evaluate.bpd` for the card: of all test images, by the weights that the run has now."""
    file = trained.outputs(folder) / "bpd.json"
    images = chosen_run.images(folder, model, "test")
    settings = {
        "dataset": chosen_run.source(folder)["dataset"],
        "split": "test",
        "num_images": images.num_images,
        "crc32": bpd.checksum(chosen_run.batches(images)),
        "best": False,
        "model": bpd.identity(model),
        # Of no class, so that the figures compare with those of other models.
        "condition": None if model.condition is None else False,
    }
    try:
        figures = disk.read_dict(file, "figures")
    except (FileNotFoundError, ValueError):  # missing or damaged
        figures = {}
    differences = disk.differences(settings, {key: figures.get(key) for key in settings})
    expected = (
        f"in {file} the figures of all {images.num_images:,} test images, by the averaged weights "
    )
    flag = "" if model.condition is None else " --nocondition"
    remedy = f"Run python -m evaluate.bpd --split test --workdir {folder}{flag} first"
    received = differences if figures else "none"
    expect(not differences, f"{expected}of the run as they are now", received, remedy)
    bits = figures[summaries.bits_kind(model)]
    card = {"bits_per_dim": bits["total"], "std_error": bits["std_error"]}
    return {**card, "split": "test", "num_images": images.num_images}


def write_run(folder, model, packed, in_8_bits=()):
    """Writes the packed run into a new folder, and returns the seconds that training took."""
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
        if isinstance(factor, RoundedFactor):
            write_whole(factor, target.weights)
        else:
            kernels = kernels_in_8_bits(factor) if name in in_8_bits else {}
            write_rounded(source.weights, target.weights, kernels)
        seconds += rows[-1]["seconds"]
    return seconds


def write_whole(factor, file):
    """Writes the weights of a quantized `RoundedFactor`, kernels as int8."""
    whole = {}
    for layer in layers.normalized_layers(factor.as_keras()):
        kernel = layer.kernel()
        units = keras.ops.round(kernel * rounding.kernel_units(kernel, layer.bias()))
        whole[id(layer.v)] = np.asarray(keras.ops.convert_to_numpy(units), np.int8)
    arrays = {
        name: whole.get(id(weight), np.asarray(weight.value))
        for name, weight in serialization.named_weights(factor.as_keras()).items()
    }
    tensors.write(file, arrays, tensors.identity(factor))


def kernels_in_8_bits(factor):
    """dict, name of a weight -> int8: directions of kernels, whose lengths do not matter."""
    names = {
        id(weight): name for name, weight in serialization.named_weights(factor.as_keras()).items()
    }
    kernels = {}
    for layer in layers.normalized_layers(factor.as_keras()):
        v = np.asarray(layer.v.value)
        others = tuple(np.delete(range(v.ndim), layer.kernel_output_axis))
        kernel = np.round(127 * v / np.abs(v).max(axis=others, keepdims=True))
        kernels[names[id(layer.v)]] = kernel.astype(np.int8)
    return kernels


def write_rounded(file, smaller, kernels):
    """Writes the weights of a file to another one as float16, but for `kernels`, dict, name -> array."""
    arrays, notes = tensors.read(file)
    expected = "weights from -65,504 to 65,504, which 16 bits hold"
    for name, array in arrays.items():
        fits = np.abs(array).max(initial=0) <= np.finfo(np.float16).max
        received = f"others in the array {name} of {file}"
        expect(fits, expected, received, "Train with a lower learning rate")
    small = {name: array.astype(np.float16) for name, array in arrays.items()}
    tensors.write(smaller, {**small, **kernels}, notes)


def define_flags():
    chosen_run.define_source()
    flags.DEFINE_string("name", None, "The name of the model.", required=True)
    for name, text in FACTS.items():
        flags.DEFINE_string(name, None, text, required=True)
    flags.DEFINE_list("in_8_bits", [], "Factors whose kernels take 8 bits.")


if __name__ == "__main__":
    program.start()
