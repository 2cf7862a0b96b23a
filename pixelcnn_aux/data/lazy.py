"""TensorFlow and its data sets, imported where a data set is read that needs them."""

import contextlib
import functools

from absl import logging


@functools.cache
def tensorflow():
    """The module, to decode image files. Raises ImportError where it is not installed."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise _missing("TensorFlow, which decodes image files", "tensorflow") from error
    import keras

    if keras.backend.backend() != "tensorflow":
        # It would take all of their memory. Too late where a program has used them already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tf


def tfds():
    """TensorFlow Datasets, the module. Raises ImportError where it is not installed."""
    tensorflow()
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise _missing("TensorFlow Datasets", "tensorflow-datasets") from error
    return tensorflow_datasets


def examples(builder, split, **options):
    """The examples of a split, a `tf.data.Dataset`, in the order of their files.

    Args:
      builder: `tfds.core.DatasetBuilder` whose data set is prepared.
      split: str, a split of TFDS's.
      **options: of the builder's `as_dataset`.
    """
    # One file at a time and nothing shuffled: the order is that of the files.
    config = tfds().ReadConfig(interleave_cycle_length=1, try_autocache=False)
    verbosity = logging.get_verbosity()
    if verbosity < logging.DEBUG:
        logging.set_verbosity(min(verbosity, logging.WARNING))  # TFDS tells at length what it opens
    try:
        return builder.as_dataset(split=split, read_config=config, **options)
    finally:
        logging.set_verbosity(verbosity)


def _missing(what, package):
    return ImportError(
        f"Expected {what}. Received: no such package. Run pip install {package}, or choose a data "
        "set that does without: --dataset arrays, --dataset photos."
    )
