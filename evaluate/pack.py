"""Makes a run part of the package: python -m evaluate.pack --workdir W --name NAME ...

Its weights are rounded to 16 bits, which has to cost next to nothing. What `evaluate.bpd --split test` found
about the run goes with them.
"""

import json
import shutil

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from evaluate import common
from pixelcnn_aux import disk, program, weight_files, workdir, zoo
from pixelcnn_aux.training import metrics

FLAGS = flags.FLAGS

MOST_BITS = 0.001  # that rounding may cost, in bits per dimension
NUM_IMAGES = 500  # of the validation split, on which that is measured


def main():
    folder, model = common.load()
    with disk.explained(
        f"a run that evaluate.bpd --split test has evaluated, in {folder / 'bpd.json'}"
    ):
        bits = json.loads((folder / "bpd.json").read_text())
    target = zoo.FOLDER / FLAGS.name
    if target.exists():
        raise ValueError(f"Expected a new name. Received: {FLAGS.name}. Remove {target} first.")
    workdir.create(target, workdir.read(folder))
    seconds = 0
    for name in model.factors:
        weights = workdir.weights_file(target, name)
        weights.parent.mkdir()
        weight_files.shrink(workdir.weights_file(folder, name), weights)
        for file in (workdir.metrics(folder, name), workdir.training(folder, name)):
            shutil.copy(file, weights.parent)
        seconds += metrics.read(workdir.metrics(folder, name))[-1]["seconds"]
    rise = mean_bits(pa.load(target), folder) - mean_bits(model, folder)
    print(f"In 16 bits: {rise:+.5f} bits per dimension on {NUM_IMAGES} validation images")
    if rise > MOST_BITS:
        shutil.rmtree(target)
        raise ValueError(
            f"Expected weights that cost {MOST_BITS} bits per dimension at most in 16 bits. Received: {rise}"
        )
    card = {
        "bits_per_dim": bits["total"],
        "std_error": bits["std_error"],
        "split": bits["split"],
        "num_images": bits["num_images"],
        "data": FLAGS.data,
        "license": FLAGS.license,
        "seconds": round(seconds),
        "machine": FLAGS.machine,
        "command": FLAGS.command,
    }
    (target / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"Wrote {target}: {zoo.pretrained()[FLAGS.name]['bytes']:,} bytes")


def mean_bits(model, folder):
    """Bits per dimension of validation images."""
    images = common.images(folder, model, "validation")
    batches = images.batches(common.batch_size(model.image_size), NUM_IMAGES)
    return np.concatenate([model.bits_per_dim(batch)["total"] for batch in batches]).mean()


def define_flags():
    common.define_flags()
    flags.DEFINE_string("name", None, "The name of the model.", required=True)
    flags.DEFINE_string("data", None, "The images that it was trained on.", required=True)
    flags.DEFINE_string("license", None, "The license of these images.", required=True)
    flags.DEFINE_string("machine", None, "What it was trained on.", required=True)
    flags.DEFINE_string("command", None, "The command that trained it.", required=True)


if __name__ == "__main__":
    define_flags()
    program.run(main)
