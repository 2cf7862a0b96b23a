"""Trains a factor of a model in a workdir with Keras's own `fit`; can be stopped and goes on."""

import sys
import time
import zlib

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import workdir

BETAS = (0.95, 0.9995)  # Adam's, as in PixelCNN++ (Salimans et al., 2017)
MAX_AVERAGE_DECAY = 0.9995  # of the weight average, likewise


def default_strategy():
    """`MirroredStrategy` where the host has several GPUs, and otherwise TensorFlow's default."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def train_factor(model, name, images, validation_images, training, folder, seed=0, strategy=None):
    """Trains one factor, from its last checkpoint on where there is one.

    The data's order, the weights drawn at the start and the dropout masks are functions of the seed,
    the factor's name and the step, so that a run that was stopped ends with the weights of one that
    was not.

    Args:
      model: `AuxiliaryModel`, for the chain that the factor is part of.
      name: str, the factor's name.
      images, validation_images: `data.Images`, full images.
      training: `presets.Training`.
      folder: path of the workdir: averaged weights, checkpoints and logs go to its sub-folder `name`.
      seed: int.
      strategy: `tf.distribute.Strategy`; `default_strategy()` where None.

    Returns:
      The factor, with averaged weights.

    Raises:
      RuntimeError: if another process trains this factor in this folder.
      ValueError: if the last checkpoint is damaged or of another network; nothing is overwritten.
    """
    seed = zlib.crc32(f"{seed}/{name}".encode()) % 2**31
    strategy = strategy or default_strategy()
    with workdir.lock(folder, name):
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            factor = model.new_factor(name)
            rate = keras.optimizers.schedules.ExponentialDecay(
                training.learning_rate, decay_steps=1, decay_rate=training.decay
            )
            optimizer = keras.optimizers.Adam(rate, *BETAS)
            optimizer.build(factor.trainable_variables)
        average = model.new_factor(name)
        seconds = tf.Variable(0.0, dtype=tf.float64)
        checkpoint = tf.train.Checkpoint(
            factor=_tensors(factor),
            optimizer=_tensors(optimizer),
            average=_tensors(average),
            seconds=seconds,
        )
        manager = tf.train.CheckpointManager(
            checkpoint, str(workdir.checkpoints(folder, name)), max_to_keep=2
        )
        if manager.latest_checkpoint:
            _restore(checkpoint, manager.latest_checkpoint)
        elif left := sorted(workdir.checkpoints(folder, name).glob("ckpt-*.index")):
            raise ValueError(
                f"Expected in {left[-1].parent} a file 'checkpoint' that names the last one. Received none, "
                f"or a damaged one, beside {left[-1].name}. Remove the folder to start anew."
            )
        else:
            first = next(iter(images.training_batches(training.batch_size, seed)))
            with strategy.scope():
                factor.initialize_from_data(*model.pair(name, first))
            average.set_weights(factor.get_weights())

        step = _steps_done(optimizer)
        steps = training.epochs * training.steps_per_epoch
        print(
            f"{name}: {factor.count_params():,} parameters, step {step:,} of {steps:,}", flush=True
        )
        if step < steps:
            factor.compile(optimizer, loss=factor.likelihood.bits_per_dim, jit_compile=False)
            factor.fit(
                _training_pairs(model, name, images, training.batch_size, seed, step),
                epochs=training.epochs,
                initial_epoch=step // training.steps_per_epoch,
                steps_per_epoch=training.steps_per_epoch,
                shuffle=False,  # The pipeline does it, by a seed.
                verbose=1 if sys.stdout.isatty() else 2,
                callbacks=[
                    WeightAverage(average),
                    Throughput(training.batch_size, seconds),
                    Validation(average, _validation_pairs(model, name, validation_images)),
                    keras.callbacks.TensorBoard(str(workdir.logs(folder, name)), write_graph=False),
                    Save(folder, name, average, manager),
                ],
            )
        workdir.save_weights(folder, name, average)
        print(f"{name}: {steps:,} steps in {float(seconds):,.0f} s of training", flush=True)
    return average


def _steps_done(optimizer):
    """As an int, whatever strategy mirrors the counter."""
    return int(optimizer.iterations.value.numpy())


def _tensors(owner):
    """The TensorFlow variables behind Keras's: all of a model's or an optimizer's, in order."""
    return [variable.value for variable in owner.variables]


def _restore(checkpoint, path):
    try:
        checkpoint.restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise ValueError(
            f"Expected a checkpoint of this factor at {path}. Received one that is damaged or of "
            f"another network ({type(error).__name__}: {str(error).splitlines()[0]}). To go on "
            f"from the one before it, name that in the file 'checkpoint' beside it; to start anew, remove "
            f"the folder."
        ) from error


def _training_pairs(model, name, images, batch_size, seed, first_step):
    """Batches as `fit` takes them: (inputs of the factor, its images)."""

    def pair(full):
        image, auxiliary = model.pair(name, full)
        return (image if auxiliary is None else (image, auxiliary)), image

    batches = images.training_batches(batch_size, seed, first_step)
    return batches.map(pair, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _validation_pairs(model, name, images, batch_size=64):
    return [model.pair(name, batch) for batch in images.batches(batch_size)]


def mean_bits(factor, pairs):
    """Mean bits per own dimension over (image, auxiliary) batches of any sizes: each image counts once.

    Args:
      factor: `Factor`.
      pairs: iterable of what `factor.log_prob` takes.

    Returns:
      float, summed in double precision.
    """
    bits, dimensions = 0.0, 0
    for image, auxiliary in pairs:
        nats = factor.log_prob(image, auxiliary).numpy().astype(np.float64)
        bits -= nats.sum() / np.log(2.0)
        dimensions += int(np.prod(image.shape))
    return bits / dimensions


class WeightAverage(keras.callbacks.Callback):
    """Keeps an exponential average of the trained factor's weights in a second factor.

    The decay at step t is min(0.9995, (1 + t) / (10 + t)), so that a short run's average forgets its
    first weights.

    Args:
      average: `Factor` like the one trained.
    """

    def __init__(self, average):
        super().__init__()
        self.average = average

    def on_train_begin(self, logs=None):
        means = [mean.value for mean in self.average.trainable_variables]
        weights = [weight.value for weight in self.model.trainable_variables]

        @tf.function
        def update():
            step = tf.cast(self.model.optimizer.iterations.value, tf.float32)
            decay = tf.minimum(MAX_AVERAGE_DECAY, (1.0 + step) / (10.0 + step))
            for mean, weight in zip(means, weights, strict=True):
                mean.assign_add((1.0 - decay) * (weight - mean))

        self.update = update

    def on_train_batch_end(self, batch, logs=None):
        self.update()


class Throughput(keras.callbacks.Callback):
    """Shows bits per dimension, by that name, and images per second; counts the seconds of training."""

    def __init__(self, batch_size, seconds):
        super().__init__()
        self.batch_size = batch_size
        self.seconds = seconds

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.elapsed = time.perf_counter() - self.start
        self.images_per_s = (batch + 1) * self.batch_size / self.elapsed
        logs.update(bits_per_dim=logs["loss"], images_per_s=self.images_per_s)

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.assign_add(self.elapsed)
        logs.update(bits_per_dim=logs["loss"], images_per_s=self.images_per_s)


class Validation(keras.callbacks.Callback):
    """Adds the bits per dimension of the validation images under the averaged weights."""

    def __init__(self, average, pairs):
        super().__init__()
        self.average = average
        self.pairs = pairs

    def on_epoch_end(self, epoch, logs=None):
        logs["val_bits_per_dim"] = mean_bits(self.average, self.pairs)


class Save(keras.callbacks.Callback):
    """Keeps a checkpoint, and the averaged weights beside it, at the end of every epoch."""

    def __init__(self, folder, name, average, manager):
        super().__init__()
        self.folder = folder
        self.name = name
        self.average = average
        self.manager = manager

    def on_epoch_end(self, epoch, logs=None):
        self.manager.save(checkpoint_number=_steps_done(self.model.optimizer))
        workdir.save_weights(self.folder, self.name, self.average)
