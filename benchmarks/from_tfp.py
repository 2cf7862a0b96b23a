"""The example of `tfp.distributions.PixelCNN` and ours of the same arguments, for as many minutes each.

    python -m benchmarks.from_tfp --image_file digits.npz --minutes 4

TFP's documentation trains its example on MNIST (`benchmarks/tfp_training.py`); ours is that of
docs/information.md. Minutes are of steps alone: how long one takes is measured of both in turn, before both
are trained from new weights. Prints bits per dimension of the first test images.
"""

import math
import statistics
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from absl import flags

import pixelcnn_aux as pa
from benchmarks import common, rival, tfp_training, timed_runs, timing
from pixelcnn_aux import data
from pixelcnn_aux.commands import chosen_run, program
from pixelcnn_aux.training import devices

FLAGS = flags.FLAGS
NETWORK = {"filters": 32, "blocks": 1, "resolutions": 2, "num_components": 5, "dropout": 0.3}
OURS = pa.Training(
    epochs=1, steps_per_epoch=1, batch_size=16, learning_rate=4e-3, muon_ratio=12.5, flip=False
)
ROUNDS, TESTED, AT_ONCE = 25, 500, 50  # steps that are timed, test images, those evaluated at once


def theirs(shape):
    """A distribution of TFP's example, and a function that takes a step of its training."""
    distribution = tfp.distributions.PixelCNN(shape, **tfp_training.NETWORK)
    optimizer = tf_keras.optimizers.Adam(tfp_training.TRAINING.learning_rate)
    return distribution, rival.training_step(distribution, optimizer)


def their_bits(distribution, images):
    log_prob = tf.function(lambda batch: distribution.log_prob(batch, training=False))
    batches = tf.split(tf.cast(images, tf.float32), len(images) // AT_ONCE)
    return -sum(tf.reduce_sum(log_prob(x)).numpy() for x in batches) / images.size / math.log(2.0)


def main():
    flagged = {"channels": 1, **chosen_run.image_flags()}
    images, validation, test = (data.load("arrays", x, None, **flagged) for x in data.SPLITS)
    test, shape = test.pixels[:TESTED], (*images.image_size, 1)
    model = pa.pixelcnn_pp(images.image_size, channels=1, **NETWORK)
    folder = tempfile.mkdtemp()
    ours = timed_runs.in_its_precision(OURS, folder, "image")
    policy = devices.mixed_policy() if ours.mixed_precision else None

    batch = next(images.training_batches(ours.batch_size, 0, flip=False))
    takes = {"TFP": theirs(shape)[1], "ours": common.training_step(model, "image", ours, policy)}
    timed = {name: lambda take=take: take(batch) for name, take in takes.items()}
    seconds = timing.seconds_in_turn(timed, ROUNDS)
    paces = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    steps = {name: int(60 * FLAGS.minutes / pace) for name, pace in paces.items()}

    distribution, take = theirs(shape)
    batches = images.training_batches(ours.batch_size, 0, flip=False)
    for _ in range(steps["TFP"]):
        take(next(batches))
    bits = {"TFP": their_bits(distribution, test)}
    training = timed_runs.planned({"image": ours}, {"image": paces["ours"]}, FLAGS.minutes, 1)
    pa.train(model, training, images, validation, folder)
    bits["ours"] = np.mean(model.bits_per_dim(test)["total"])
    parameters = {
        "TFP": distribution.network.count_params(),
        "ours": model.factors["image"].count_params(),
    }
    print(f"{'':6} {'parameters':>10} {'ms a step':>9} {'steps':>6} {'bits':>7}")
    for name, found in bits.items():
        print(
            f"{name:6} {parameters[name]:10,} {1000 * paces[name]:9.0f} {steps[name]:6,} {found:7.4f}"
        )


def define_flags():
    chosen_run.define_images()
    flags.DEFINE_float("minutes", 4.0, "Of the steps of each.", lower_bound=0.1)


if __name__ == "__main__":
    program.start()
