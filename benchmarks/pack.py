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
from pixelcnn_aux import layers, rounding, summaries
from pixelcnn_aux.commands import bpd, chosen_run, program
from pixelcnn_aux.rounded_factor import RoundedFactor
from pixelcnn_aux.runs import disk, tensors, trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

MOST_BITS = 0.001  # that rounding may cost, in bits per dimension
NUM_IMAGES = 500  # of the validation split at most, on which that is measured


def main():
    target = trained.FOLDER / FLAGS.name
    if target.parent != trained.FOLDER or target.exists():
        raise ValueError(
            f"Expected a new name. Received: {FLAGS.name}. Choose another one, or remove {target} first."
        )
    folder = chosen_run.workdir()
    print(f"Packing {folder}", flush=True)
    model = pa.load(folder)
    for name in FLAGS.in_8_bits:
        model.position(name)  # raises ValueError for an unknown factor
    result = test_result(folder, model)
    with (
        disk.explained(f"to write {target}"),
        tempfile.TemporaryDirectory(dir=trained.FOLDER) as made,
    ):
        packed = pathlib.Path(made) / FLAGS.name
        seconds = write_run(folder, model, packed, FLAGS.in_8_bits)
        images = chosen_run.images(folder, model, "validation")
        condition = images.condition(model.condition)
        loaded = pa.load(packed)
        before, after = (
            splits.mean_bits(x, chosen_run.batches(images, NUM_IMAGES), condition)
            for x in (model, loaded)
        )
        count = min(NUM_IMAGES, images.num_images)
        print(
            f"As they are packed: {after - before:+.5f} bits per dimension on {count} validation images"
        )
        if after - before > MOST_BITS:
            raise ValueError(
                f"Expected weights that cost {MOST_BITS} bits per dimension at most as they are packed. "
                f"Received: {after - before}. Leave out --in_8_bits, train on, or with a lower learning rate."
            )
        card = {"purpose": FLAGS.purpose, **result, "data": FLAGS.data, "license": FLAGS.license}
        card |= {"seconds": round(seconds)}
        card |= {"machine": FLAGS.machine, "command": FLAGS.command}
        card["fingerprint"] = bpd.identity(loaded)
        disk.write_json(packed / "card.json", card)
        packed.rename(target)
    print(f"Wrote {target}: {trained.pretrained()[FLAGS.name]['bytes']:,} bytes")


def test_result(folder, model):
    """The figures of `evaluate.bpd` about the run, for its card.

    Raises ValueError unless that is of all test images, and of the weights that the run has now.
    """
    file = trained.outputs(folder) / "bpd.json"
    images = chosen_run.images(folder, model, "test")
    expected = {
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
        found = disk.read_dict(file, "figures")
    except (FileNotFoundError, ValueError):  # none, or a damaged one
        found = {}
    received = {key: found.get(key) for key in expected}
    flag = "" if model.condition is None else " --nocondition"
    if differences := disk.differences(expected, received):
        raise ValueError(
            f"Expected in {file} the figures of all {images.num_images:,} test images, by the averaged "
            f"weights of the run as they are now. Received: {differences if found else 'none'}. "
            f"Run python -m evaluate.bpd --split test --workdir {folder}{flag} first."
        )
    bits = found[summaries.bits_kind(model)]
    card = {"bits_per_dim": bits["total"], "std_error": bits["std_error"]}
    return {**card, "split": "test", "num_images": images.num_images}


def write_run(folder, model, packed, in_8_bits=()):
    """Writes into a new folder what is kept of a run, and returns the seconds that training took.

    Args:
      folder: path of the run.
      model: `AuxiliaryModel`.
      packed: path of the new folder.
      in_8_bits: list of str, the factors whose kernels take 8 bits.
    """
    run, packed = RunFolder(folder), RunFolder(packed)
    packed.create(run.shared_config())
    seconds = 0
    for name in model.factors:
        given, made = run[name], packed[name]
        rows, recorded = metrics.read(given.metrics), given.shared_training()
        if not rows or not recorded:
            raise ValueError(
                f"Expected {given.metrics} with one epoch or more, and {given.training}. "
                f"Received: nothing in {given.training if rows else given.metrics}. Restore it, or train on."
            )
        made.record_training(recorded)
        metrics.write(made.metrics, rows)
        if isinstance(factor := model.factors[name], RoundedFactor):
            write_whole(factor, made.weights)
        else:
            kernels = kernels_in_8_bits(factor) if name in in_8_bits else {}
            write_rounded(given.weights, made.weights, kernels)
        seconds += rows[-1]["seconds"]
    return seconds


def write_whole(factor, file):
    """Writes the weights of a quantized `RoundedFactor`, kernels as int8."""
    whole = {}
    for layer in layers.normalized_layers(factor):
        kernel = layer.kernel()
        units = keras.ops.round(kernel * rounding.kernel_units(kernel, layer.bias()))
        whole[id(layer.v)] = np.asarray(keras.ops.convert_to_numpy(units), np.int8)
    arrays = {
        name: whole.get(id(weight), np.asarray(weight.value))
        for name, weight in tensors.named_weights(factor).items()
    }
    tensors.write(file, arrays, tensors.identity(factor))


def kernels_in_8_bits(factor):
    """dict, name of a weight -> int8: directions of kernels, whose lengths do not matter."""
    kernels = {}
    for layer in layers.normalized_layers(factor):
        v = np.asarray(layer.v.value)
        others = tuple(np.delete(range(v.ndim), layer.kernel_output_axis))
        kernels[id(layer.v)] = np.round(127 * v / np.abs(v).max(axis=others, keepdims=True))
    names = {id(weight): name for name, weight in tensors.named_weights(factor).items()}
    return {names[key]: kernel.astype(np.int8) for key, kernel in kernels.items()}


def write_rounded(file, smaller, kernels):
    """Writes the weights of a file to another one as float16, but for `kernels`, dict, name -> array.

    Raises ValueError for numbers beyond those of 16 bits.
    """
    arrays, notes = tensors.read(file)
    for name, array in arrays.items():
        if np.abs(array).max(initial=0) > np.finfo(np.float16).max:
            raise ValueError(
                "Expected weights from -65,504 to 65,504, which 16 bits hold. Received: others in the array "
                f"{name} of {file}. Train with a lower learning rate."
            )
    small = {name: array.astype(np.float16) for name, array in arrays.items()}
    tensors.write(smaller, {**small, **kernels}, notes)


def define_flags():
    chosen_run.define_source()
    texts = {
        "name": "The name of the model.",
        "purpose": "In a few words, for pixelcnn-aux models.",
    }
    texts |= {"data": "The images that it was trained on."}
    texts |= {"license": "The license of these images.", "machine": "The machine that trained it."}
    for name, text in {**texts, "command": "The command that trained it."}.items():
        flags.DEFINE_string(name, None, text, required=True)
    flags.DEFINE_list("in_8_bits", [], "Factors whose kernels take 8 bits.")


if __name__ == "__main__":
    program.start()
