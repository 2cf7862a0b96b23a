"""TensorFlow and its data sets, imported where a data set is read that needs them."""

import contextlib
import functools


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


def _missing(what, package):
    return ImportError(
        f"Expected {what}. Received: no such package. Run pip install {package}, or choose a data "
        "set that does without: --dataset arrays, --dataset photos."
    )
