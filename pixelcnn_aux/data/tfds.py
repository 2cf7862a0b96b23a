"""TensorFlow Datasets, imported where a data set is read that needs it."""

from pixelcnn_aux.base.errors import needs
from pixelcnn_aux.data import decoding


def builder(name, data_dir):
    """`tfds.core.DatasetBuilder` of a data set. Raises ImportError without TensorFlow or its data sets."""
    return _module().builder(name, data_dir=data_dir)


def examples(prepared, split, decoded=True, batch_size=None):
    """Iterates over examples, dicts of arrays, in the order of files; images not `decoded` are bytes."""
    tfds = _module()
    # One file at a time and nothing shuffled: the order is that of the files.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    how = {"decoders": None if decoded else {"image": tfds.decode.SkipDecoding()}}
    found = prepared.as_dataset(split=split, read_config=config, batch_size=batch_size, **how)
    return found.as_numpy_iterator()


def _module():
    with needs(
        "TensorFlow and TensorFlow Datasets, which read this data set",
        "Run pip install tensorflow tensorflow-datasets importlib_resources, or choose a data set that does "
        "without, such as --dataset folder",
    ):
        import tensorflow as tf
        import tensorflow_datasets
    decoding.leave_gpus(tf)
    return tensorflow_datasets
