"""TFP's PixelCNN++, with which this package is compared: a network, a step of its training, its draws."""

import math

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def pixelcnn(network, size, dropout=0.5):
    """A `tfp.distributions.PixelCNN` of a network's resolutions, and about its blocks and parameters."""
    resolutions = max(network.topology.levels()) + 1
    blocks = sum(step.kind == "block" for step in network.topology.steps)
    # It has 2 * num_resnet blocks at each resolution, and one more after each up-sampling.
    num_resnet = max(1, round((blocks - resolutions + 1) / (2 * resolutions)))

    def made(filters):
        return tfd.PixelCNN((*size, 3), None, num_resnet, resolutions, filters, dropout_p=dropout)

    filters = network.above.filters
    # Parameters go with the square of the filters. Its masked taps count too, which makes it smaller.
    ratio = network.count_params() / made(filters).network.count_params()
    result = made(max(1, round(filters * math.sqrt(ratio))))
    # Its weights are initialized by the first images that it sees. Blank ones would make infinities of them.
    result.network(tf.random.uniform((1, *size, 3), -1, 1), training=False)
    return result


def training_step(distribution, optimizer):
    """Function that takes a step of training TFP's PixelCNN on uint8 [B, H, W, 3]: nats an image."""

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(
                distribution.log_prob(tf.cast(images, tf.float32), training=True)
            )
        weights = distribution.network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        return loss

    return step


def draw(logits, locations, scales, coefficients):
    """Draws all pixels from what the network gives, as `tfp.distributions.PixelCNN.sample` does at each step.

    That step is no public function of TFP's: this one is made of its distributions.

    Args:
      logits: float32 [B, H, W, K], of a mixture's components.
      locations, scales, coefficients: float32 [B, H, W, K, 3], of pixels scaled to [-1, 1].

    Returns:
      float32 [B, H, W, 3], in [-1, 1].
    """
    component = tfd.Categorical(logits=logits).sample()
    locations, scales, coefficients = (
        tf.gather(x, component, axis=3, batch_dims=3) for x in (locations, scales, coefficients)
    )
    red, green, blue = tf.unstack(tfd.Logistic(locations, scales).sample(), axis=-1)
    red_in_green, red_in_blue, green_in_blue = tf.unstack(coefficients, axis=-1)
    red = tf.clip_by_value(red, -1.0, 1.0)
    green = tf.clip_by_value(green + red_in_green * red, -1.0, 1.0)
    blue += red_in_blue * red + green_in_blue * green
    return tf.stack([red, green, tf.clip_by_value(blue, -1.0, 1.0)], axis=-1)
