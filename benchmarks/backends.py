"""Whether training takes the same steps under TensorFlow and under JAX.

    python -m benchmarks.backends losses.npz
    KERAS_BACKEND=jax python -m benchmarks.backends losses.npz

The first takes steps from the weights of `cifar10-pyramid`, without dropout, on crops of photographs, and
leaves their losses and the images. The second, which needs no TensorFlow, takes the same ones and compares.
"""

import pathlib

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux import data, program, training
from pixelcnn_aux.training import steps

FLAGS = flags.FLAGS

MODEL, FACTOR, BATCH = "cifar10-pyramid", "32x32", 4


def losses(images):
    """Of each step, the mean bits per dimension of its batch."""
    model = pa.load(MODEL)
    factor = model.factors[FACTOR]
    optimizer = training.AveragingAdam(FLAGS.learning_rate)
    optimizer.build(factor.trainable_variables)
    step = steps.make(model, FACTOR, factor, optimizer, training.default_strategy())
    random = np.random.default_rng(0)
    batches = (images[random.integers(0, len(images), BATCH)] for _ in range(FLAGS.steps))
    return np.array([float(step(batch)[0]) for batch in batches])


def main(file):
    file = pathlib.Path(file)
    if not file.exists():
        photographs = data.load("photos", "train", pa.load(MODEL).image_size)
        images = next(iter(photographs.batches(400, 400)))
        np.savez(file, images=images, losses=losses(images))
        print(f"Wrote {file}: compare under another backend, by the same command")
        return
    with np.load(file) as before:
        expected, found = before["losses"], losses(before["images"])
    differences = np.abs(found - expected)
    print(f"losses from {expected[0]:.4f} to {expected[-1]:.4f} bits per dimension")
    print(f"differences: {differences.max():.1e} at most, {differences[-1]:.1e} in the last step")


if __name__ == "__main__":
    flags.DEFINE_integer("steps", 300, "How many.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 1e-4, "Of all steps.", lower_bound=0.0)
    program.run(main, ["FILE.npz"])
