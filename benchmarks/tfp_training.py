"""TFP's PixelCNN, trained as the documentation of `tfp.distributions.PixelCNN` trains one.

The network, the learning rate and the batches are those of the example there, a small network for MNIST, on
images of three channels: 628,328 parameters. The learning rate stays, no weights are averaged, and no images
are flipped. Images are shuffled one by one; the example shuffles batches.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import pixelcnn_aux as pa
from benchmarks import common, rival
from pixelcnn_aux.runs import disk

NETWORK = {
    "num_resnet": 1,
    "num_hierarchies": 2,
    "num_filters": 32,
    "num_logistic_mix": 5,
    "dropout_p": 0.3,
}
TRAINING = pa.Training(
    epochs=1, steps_per_epoch=1, batch_size=16, learning_rate=1e-3, decay=1.0, flip=False
)
_VALIDATION_BATCH = 64


class TFPRun:
    """A run in a folder: a contestant, as `race.ChainRun`.

    Attributes:
      network: dict, the arguments of the network.
      training: dict, "image" -> `Training`, but for how many steps there are.
    """

    network, training = NETWORK, {"image": TRAINING}

    def __init__(self, folder, image_size):
        self._folder, self._image_size = folder, image_size
        self._distribution, self._optimizer, self._take = self._new()

    def _new(self):
        """The distribution, its optimizer, and a function that takes a step of both."""
        distribution = tfp.distributions.PixelCNN((*self._image_size, 3), **NETWORK)
        optimizer = tf_keras.optimizers.Adam(TRAINING.learning_rate)
        return distribution, optimizer, rival.training_step(distribution, optimizer)

    @property
    def parameters(self):
        """dict, "image" -> int."""
        return {"image": self._distribution.network.count_params()}

    def step(self, name):
        """A function that takes a step of training, of random images, and leaves the run as it is."""
        *_, take = self._new()
        images = common.random_images(TRAINING.batch_size, self._image_size)
        return lambda: take(images)

    def bits(self):
        """Bits per dimension of the validation images at the end of each epoch so far: list of float."""
        file = self._folder / "bits.json"
        return disk.read_json(file) if file.exists() else []

    def train(self, training, images, validation_images):
        """Trains from the end of the last epoch on, with the images that a run has that was never stopped.

        Its dropout masks are others. `training` is as the attribute, with all steps.
        """
        training = training["image"]
        checkpoint = tf.train.Checkpoint(
            network=self._distribution.network, optimizer=self._optimizer
        )
        folder = disk.writable(self._folder)
        manager = tf.train.CheckpointManager(checkpoint, folder, max_to_keep=1)
        manager.restore_or_initialize()
        first = int(self._optimizer.iterations)
        tf_keras.utils.set_random_seed(first)
        bits = self.bits()[: first // training.steps_per_epoch]
        batches = images.training_batches(training.batch_size, 0, first, flip=training.flip)
        for step in range(first + 1, training.steps + 1):
            self._take(next(batches))
            if step % training.steps_per_epoch == 0:
                bits.append(self._mean_bits(validation_images))
                print(f"Epoch {len(bits)}/{training.epochs}: {bits[-1]:.4f} bits", flush=True)
                # Before the checkpoint: a run that goes on from an earlier one drops them again.
                disk.write_json(folder / "bits.json", bits)
                manager.save()

    def _mean_bits(self, images):
        @tf.function(autograph=False, reduce_retracing=True)
        def log_prob(batch):
            return self._distribution.log_prob(tf.cast(batch, tf.float32), training=False)

        batches = images.batches(_VALIDATION_BATCH)
        nats = -sum(float(tf.reduce_sum(log_prob(batch))) for batch in batches)
        return nats / images.pixels.size / math.log(2.0)
