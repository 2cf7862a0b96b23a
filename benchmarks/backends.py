"""Whether training takes the same steps under TensorFlow and under JAX.

    python -m benchmarks.backends losses.npz
    KERAS_BACKEND=jax python -m benchmarks.backends losses.npz

The first takes steps from the weights of `cifar10-pyramid`, without dropout, on crops of photographs, and
leaves their losses and the images. The second, which needs no TensorFlow, takes the same ones and compares.
"""

import pathlib

import numpy as np

import pixelcnn_aux as pa
from benchmarks import common
from pixelcnn_aux import backend, data
from pixelcnn_aux.commands import program
from pixelcnn_aux.runs import disk

ARGUMENTS = ["FILE.npz"]

MODEL, FACTOR = "cifar10-pyramid", "32x32"
TRAINING = pa.Training(epochs=1, steps_per_epoch=300, batch_size=4, learning_rate=1e-4, decay=1.0)
STEPS, BATCH = TRAINING.steps_per_epoch, TRAINING.batch_size


def losses(images):
    """Of each step, the mean bits per dimension of its batch."""
    step = common.training_step(pa.load(MODEL), FACTOR, TRAINING)
    random = np.random.default_rng(0)
    batches = (images[random.integers(0, len(images), BATCH)] for _ in range(STEPS))
    return np.array([float(step(batch)[0]) for batch in batches])


def main(file):
    file = pathlib.Path(file)
    if not file.exists():
        disk.check_place("FILE.npz", file)
        photographs = data.load("photos", "train", pa.load(MODEL).image_size)
        images = next(iter(photographs.batches(400, 400)))
        arrays = {"images": images, "losses": losses(images), "backend": backend.NAME}
        with file.open("xb") as opened:
            np.savez(opened, **arrays)
        print(f"Wrote {file}: compare under another backend, by the same command")
        return
    with np.load(file) as before:
        expected, found = before["losses"], losses(before["images"])
        print(f"{before['backend']} and {backend.NAME}, {STEPS} steps")
    differences = np.abs(found - expected)
    print(f"losses from {expected[0]:.4f} to {expected[-1]:.4f} bits per dimension")
    print(f"differences: {differences.max():.1e} at most, {differences[-1]:.1e} in the last step")


def define_flags():
    """It has no flags of its own."""


if __name__ == "__main__":
    program.start()
