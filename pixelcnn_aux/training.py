"""Trains the factors of a model in a workdir with Keras's own `fit`; can be stopped and goes on."""

import sys
import zlib
from typing import NamedTuple

import keras
import tensorflow as tf

from pixelcnn_aux import callbacks, data, workdir
from pixelcnn_aux.workdir import create as create_workdir

BETAS = (0.95, 0.9995)  # Adam's, as in PixelCNN++ (Salimans et al., 2017)


class Training(NamedTuple):
    """How a factor is trained.

    The learning rate decays by a constant factor a step, as in the paper. Adam's moments are those of
    PixelCNN++: 0.95 and 0.9995.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    decay: float  # of the learning rate, applied after each step
    flip: bool = True  # whether images are flipped left to right at random


def train(model, training, images, validation_images, workdir, factors=None, seed=0):
    """Trains factors of a model in a workdir, each from its last checkpoint on.

    The first weights are drawn from the seed, whatever those of `model` are.

    Args:
      model: `AuxiliaryModel`; its factors are given their averaged weights as they are done.
      training: `Training` of every factor, a dict, name -> `Training`, or a `presets.Preset`.
      images, validation_images: uint8 [N, H, W, 3], full images, or `data.Images`.
      workdir: path of a folder, a new one or that of an earlier run with the same arguments.
      factors: list of names of factors; all where None.
      seed: int.

    Raises:
      RuntimeError: if another process trains one of these factors in this folder.
      ValueError: for images of another size than the model's, a factor without `Training`, the workdir of
        another run, or a damaged checkpoint; nothing is overwritten.
    """
    settings = getattr(training, "training", training)  # a preset's
    if isinstance(settings, Training):
        settings = dict.fromkeys(model.factors, settings)
    names = list(model.factors) if factors is None else list(factors)
    for name in names:
        model.position(name)
        if name not in settings:
            raise ValueError(
                f"Expected a Training for each of {names}. Received: one for each of {list(settings)}"
            )
    images, validation_images = map(data.as_images, (images, validation_images))
    for split in (images, validation_images):
        if split.image_size != model.image_size:
            raise ValueError(
                f"Expected images of the model's size, {model.image_size}. Received: {split.image_size}"
            )
    create_workdir(
        workdir,
        {
            **images.source,
            "seed": seed,
            "training": {name: setting._asdict() for name, setting in settings.items()},
            "model": model.description(),
        },
    )
    print(f"Training in {workdir}: {images.num_images:,} images", flush=True)
    for name in names:
        average = train_factor(
            model, name, images, validation_images, settings[name], workdir, seed
        )
        model.factors[name].set_weights(average.get_weights())
        model.untrained = tuple(other for other in model.untrained if other != name)


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
      training: `Training`.
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
                f"Expected in {left[-1].parent} a file 'checkpoint' that names the last one. Received: none, "
                f"or a damaged one, beside {left[-1].name}. Remove the folder to start anew."
            )
        else:
            first = next(
                iter(images.training_batches(training.batch_size, seed, flip=training.flip))
            )
            with strategy.scope():
                factor.initialize_from_data(*model.pair(name, first))
            average.set_weights(factor.get_weights())

        step = callbacks.steps_done(optimizer)
        steps = training.epochs * training.steps_per_epoch
        print(
            f"{name}: {factor.count_params():,} parameters, step {step:,} of {steps:,}", flush=True
        )
        if step < steps:
            factor.compile(optimizer, jit_compile=False)
            factor.fit(
                _training_pairs(model, name, images, training, seed, step),
                epochs=training.epochs,
                initial_epoch=step // training.steps_per_epoch,
                steps_per_epoch=training.steps_per_epoch,
                shuffle=False,  # The pipeline does it, by a seed.
                verbose=1 if sys.stdout.isatty() else 2,
                callbacks=[
                    callbacks.WeightAverage(average),
                    callbacks.Throughput(training.batch_size, seconds),
                    callbacks.Validation(
                        average, _validation_pairs(model, name, validation_images)
                    ),
                    keras.callbacks.TensorBoard(str(workdir.logs(folder, name)), write_graph=False),
                    callbacks.Save(folder, name, average, manager),
                ],
            )
        workdir.save_weights(folder, name, average)
        print(f"{name}: {steps:,} steps in {float(seconds):,.0f} s of training", flush=True)
    return average


def _tensors(owner):
    """The TensorFlow variables behind Keras's: all of a model's or an optimizer's, in order."""
    return [variable.value for variable in owner.variables]


def _restore(checkpoint, path):
    try:
        checkpoint.restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
        raise ValueError(
            f"Expected a checkpoint of this factor at {path}. Received: one that is damaged or of "
            f"another network ({type(error).__name__}: {str(error).splitlines()[0]}). To go on "
            f"from the one before it, name that in the file 'checkpoint' beside it; to start anew, remove "
            f"the folder."
        ) from error


def _training_pairs(model, name, images, training, seed, first_step):
    """Batches as `fit` takes them: (inputs of the factor, its images)."""

    def pair(full):
        image, auxiliary = model.pair(name, full)
        return (image if auxiliary is None else (image, auxiliary)), image

    batches = tf.data.Dataset.from_generator(
        lambda: images.training_batches(training.batch_size, seed, first_step, training.flip),
        output_signature=tf.TensorSpec([training.batch_size, *images.image_size, 3], tf.uint8),
    )
    return batches.map(pair, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def _validation_pairs(model, name, images, batch_size=64):
    return [model.pair(name, batch) for batch in images.batches(batch_size)]
