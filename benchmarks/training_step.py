"""How close a training step comes to the arithmetic that its convolutions alone can reach.

    python -m benchmarks.training_step

Times, in turn in one process, a training step of a PixelCNN++ and the forward and backward pass of a bare
3 x 3 convolution, 128 to 64 channels, both float32 on 32 x 32 images in batches of 16; prints both in
GFLOP/s, and their ratio.
"""

import statistics
import time

import keras
import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from evaluate import flops
from pixelcnn_aux import program, training

FLAGS = flags.FLAGS

BATCH, SIDE = 16, 32


def training_step():
    """(function that takes one training step, FLOPs of a forward pass over the batch)."""
    model = pa.pixelcnn_pp(blocks=FLAGS.blocks, filters=FLAGS.filters, dropout=FLAGS.dropout)
    factor = model.factors["image"]
    images = tf.cast(tf.random.uniform([BATCH, SIDE, SIDE, 3], 0, 256, tf.int32), tf.uint8)
    factor.compile(
        keras.optimizers.Adam(1e-3, *training.BETAS),
        loss=factor.likelihood.bits_per_dim,
        jit_compile=False,
    )
    factor.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((images, images)).repeat())
    return lambda: factor.train_function(batches), flops.forward_pass(factor, images.shape)


def bare_convolution():
    """(function that runs a convolution forward and backward, FLOPs of its forward pass)."""
    x = tf.random.normal([BATCH, SIDE + 2, SIDE + 2, 128])
    kernel = tf.random.normal([3, 3, 128, 64])
    gradient = tf.random.normal([BATCH, SIDE, SIDE, 64])

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 1, "VALID")
        gradients = tape.gradient(y, [x, kernel], output_gradients=gradient)
        # All three are computed, since an element of each is asked for, but not copied.
        return [tensor[0, 0, 0, 0] for tensor in (y, *gradients)]

    return run, 2 * BATCH * SIDE * SIDE * 64 * 3 * 3 * 128


def main():
    candidates = {"training step": training_step(), "bare convolution": bare_convolution()}
    seconds = {name: [] for name in candidates}
    for run in range(FLAGS.runs + 2):
        for name, (function, _) in candidates.items():
            start = time.perf_counter()
            tf.nest.map_structure(lambda x: x.numpy(), function())
            if run >= 2:  # The first ones trace and warm up.
                seconds[name].append(time.perf_counter() - start)
    rates = {}
    for name, (_, forward) in candidates.items():
        median = statistics.median(seconds[name])
        rates[name] = 3 * forward / median / 1e9  # A backward pass costs two forward ones.
        print(
            f"{name:17} {3 * forward / 1e9:7.1f} GFLOP {median:8.4f} s {rates[name]:7.1f} GFLOP/s"
        )
    print(f"ratio             {rates['training step'] / rates['bare convolution']:.3f}")


if __name__ == "__main__":
    flags.DEFINE_integer("blocks", 2, "Gated blocks in each segment.")
    flags.DEFINE_integer("filters", 64, "Channels of both streams.")
    flags.DEFINE_float("dropout", 0.5, "The rate in the blocks.")
    flags.DEFINE_integer("runs", 15, "Timed runs of each; the median counts.")
    program.run(main)
