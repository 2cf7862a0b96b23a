"""Whether training takes the same steps under TensorFlow and under JAX.

    python -m benchmarks.backends losses.npz
    KERAS_BACKEND=jax python -m benchmarks.backends losses.npz

The first takes steps from the weights of `cifar10-pyramid`, without dropout, on crops of photographs, and
leaves their losses and the images. The second, which needs no TensorFlow, takes the same ones and compares.
"""

import pathlib

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import backend, data, program, training
from pixelcnn_aux.training import steps

MODEL, FACTOR = "cifar10-pyramid", "32x32"
STEPS, BATCH, LEARNING_RATE = 300, 4, 1e-4


def losses(images):
    """Of each step, the mean bits per dimension of its batch."""
    model = pa.load(MODEL)
    factor = model.factors[FACTOR]
    optimizer = training.AveragingAdam(LEARNING_RATE)
    optimizer.build(factor.trainable_variables)
    step = steps.make(model, FACTOR, factor, optimizer, training.default_strategy())
    random = np.random.default_rng(0)
    batches = (images[random.integers(0, len(images), BATCH)] for _ in range(STEPS))
    return np.array([float(step(batch)[0]) for batch in batches])


def main(file):
    file = pathlib.Path(file)
    if not file.exists():
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


if __name__ == "__main__":
    program.run(main, ["FILE.npz"])
