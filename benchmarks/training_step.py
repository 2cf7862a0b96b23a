"""How fast training steps are, beside TFP's PixelCNN and beside what a convolution alone reaches.

    python -m benchmarks.training_step --filters 64

Times, in turn in one process, on 32 x 32 images in batches of 16: a training step of a PixelCNN++ as
`train.pixelcnn` takes it, in float32 and in mixed precision; one of `tfp.distributions.PixelCNN` with about
the same parameters, its own loss and Adam; and the forward and backward pass of a bare 3 x 3 convolution, 128
to 64 channels. Prints medians, and ratios to TFP's. The steps of this package average the weights as well.
"""

import functools
import statistics

import tensorflow as tf
import tf_keras
from absl import flags

import pixelcnn_aux as pa
from benchmarks import common, cost, rival, timing
from pixelcnn_aux import training
from pixelcnn_aux.commands import program
from pixelcnn_aux.training import devices

FLAGS = flags.FLAGS

BATCH, HEIGHT, WIDTH = 16, 32, 32
TFP = "TFP's PixelCNN"
TRAINING = pa.Training(epochs=1, steps_per_epoch=1, batch_size=BATCH, learning_rate=1e-3, decay=1.0)


def tfp_step(factor, images):
    """Function that takes one training step of TFP's PixelCNN."""
    network = factor.network
    distribution = rival.pixelcnn(network, (HEIGHT, WIDTH), FLAGS.dropout)
    rate = TRAINING.learning_rate
    optimizer = tf_keras.optimizers.Adam(rate, *training.BETAS, jit_compile=False)
    count = distribution.network.count_params()
    print(f"Parameters: {network.count_params():,}, and {count:,} of TFP's PixelCNN", flush=True)
    return functools.partial(rival.training_step(distribution, optimizer), tf.constant(images))


def bare_convolution():
    """Function that runs a convolution forward and backward, and FLOPs of that."""
    x = tf.random.normal([BATCH, HEIGHT + 2, WIDTH + 2, 128])
    kernel = tf.random.normal([3, 3, 128, 64])
    gradient = tf.random.normal([BATCH, HEIGHT, WIDTH, 64])

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 1, "VALID")
        gradients = tape.gradient(y, [x, kernel], output_gradients=gradient)
        # All three are computed, since an element of each is asked for, but not copied.
        return [tensor[0, 0, 0, 0] for tensor in (y, *gradients)]

    return run, 3 * 2 * BATCH * HEIGHT * WIDTH * 64 * 3 * 3 * 128


def main():
    model = pa.pixelcnn_pp(blocks=FLAGS.blocks, filters=FLAGS.filters, dropout=FLAGS.dropout)
    factor, images = model.factors["image"], common.random_images(BATCH, model.image_size)
    policy = devices.mixed_policy()
    steps = {x: common.training_step(model, "image", TRAINING, x) for x in (None, policy)}
    convolution, convolution_flops = bare_convolution()
    candidates = {
        "float32": lambda: steps[None](images),
        policy: lambda: steps[policy](images),
        TFP: tfp_step(factor, images),
        "bare convolution": convolution,
    }
    seconds = timing.seconds_in_turn(candidates, FLAGS.runs + 2)
    # The first ones trace and warm up.
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    # A backward pass costs two forward ones.
    step_flops = 3 * cost.forward_flops(factor, images.shape)
    arithmetic = {"float32": step_flops, policy: step_flops, "bare convolution": convolution_flops}
    print(f"{'':18} {'ms':>8} {'of TFP':>8} {'GFLOP/s':>8}")
    for name, median in medians.items():
        ratio = "" if name == "bare convolution" else f"{median / medians[TFP]:.3f}"
        rate = f"{arithmetic[name] / median / 1e9:.1f}" if name in arithmetic else ""
        print(f"{name:18} {1000 * median:8.1f} {ratio:>8} {rate:>8}")


def define_flags():
    flags.DEFINE_integer("blocks", 2, "Gated blocks in each segment.")
    flags.DEFINE_integer("filters", 64, "Channels of both streams.")
    flags.DEFINE_float("dropout", 0.5, "The rate in the blocks.")
    flags.DEFINE_integer("runs", 15, "Timed runs of each; the median counts.", lower_bound=1)


if __name__ == "__main__":
    program.start()
