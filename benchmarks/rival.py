"""TFP's PixelCNN: networks like ours, its documentation's example, training steps, and draws."""

import math

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks import tools

tfd = tfp.distributions

# The example in the documentation of `tfd.PixelCNN`: a small network for MNIST.
EXAMPLE = {"num_resnet": 1, "num_hierarchies": 2, "num_filters": 32, "num_logistic_mix": 5}


def example(shape):
    """The documentation's `tfd.PixelCNN` for images (H, W, C); the first images initialize it."""
    return tfd.PixelCNN(shape, **EXAMPLE, dropout_p=0.3)


def like(factor, size):
    """`tfd.PixelCNN` with the resolutions of a factor's network, and about its blocks and parameters."""
    network = factor.definitions["network"]
    resolutions = max(network.topology.levels()) + 1
    blocks = sum(step.kind == "block" for step in network.topology.steps)
    # TFP has 2 * num_resnet blocks at each resolution, and one more after each up-sampling.
    num_resnet = max(1, round((blocks - resolutions + 1) / (2 * resolutions)))

    def pixelcnn(filters):
        return tfd.PixelCNN((*size, 3), None, num_resnet, resolutions, filters, dropout_p=0.5)

    filters = network.filters
    # Parameters grow with the square of the filters. TFP's count includes masked taps, so it gets fewer.
    ratio = tools.network_parameters(factor) / pixelcnn(filters).network.count_params()
    distribution = pixelcnn(max(1, round(filters * math.sqrt(ratio))))
    # The first images initialize the weights. Blank ones would make them infinite.
    distribution.network(tf.random.uniform((1, *size, 3), -1, 1), training=False)
    return distribution


def training_step(distribution, learning_rate):
    """Function that takes a training step on uint8 [B, H, W, C]: mean nats per image."""
    optimizer = tf_keras.optimizers.Adam(learning_rate)

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            nats = distribution.log_prob(tf.cast(images, tf.float32), training=True)
            loss = -tf.reduce_mean(nats)
        weights = distribution.network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    return step


def log_prob(distribution):
    """Function of uint8 [B, H, W, C]: the sum of the images' log-likelihoods in nats."""

    def total(images):
        return tf.reduce_sum(distribution.log_prob(tf.cast(images, tf.float32), training=False))

    return tf.function(total, reduce_retracing=True)


def drawing_step(batch, size):
    """Function that draws a pixel of images of size (H, W) by the documentation's `tfd.PixelCNN`."""
    distribution, images = example((*size, 3)), tf.random.uniform((batch, *size, 3), -1, 1)
    distribution.network(images, training=False)  # initializes its weights
    return tf.function(lambda: draw(distribution, images)[:, -1, -1])


def draw(distribution, images):
    """Draws all pixels of float32 [B, H, W, 3], in [-1, 1], given the pixels before them.

    Reimplements a step of `tfd.PixelCNN.sample`, which is not public, with TFP's distributions.
    """
    logits, *mixture = distribution.network(images, training=False)
    component = tfd.Categorical(logits=logits).sample()
    locations, scales, coefficients = (
        tf.gather(x, component, axis=3, batch_dims=3) for x in mixture
    )
    red, green, blue = tf.unstack(tfd.Logistic(locations, scales).sample(), axis=-1)
    red_in_green, red_in_blue, green_in_blue = tf.unstack(coefficients, axis=-1)
    red = tf.clip_by_value(red, -1.0, 1.0)
    green = tf.clip_by_value(green + red_in_green * red, -1.0, 1.0)
    blue += red_in_blue * red + green_in_blue * green
    return tf.stack([red, green, tf.clip_by_value(blue, -1.0, 1.0)], axis=-1)
