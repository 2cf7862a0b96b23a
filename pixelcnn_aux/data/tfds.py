"""TensorFlow Datasets, imported only by the data sets that need it."""

from pixelcnn_aux.base.errors import needs
from pixelcnn_aux.data import decoding


def builder(name, data_dir):
    """`tfds.core.DatasetBuilder` of a data set. Raises ImportError without TensorFlow or TFDS."""
    return _module().builder(name, data_dir=data_dir)


def examples(prepared, split, decoded=True, batch_size=None):
    """Iterates over examples, dicts of arrays, in file order; images are bytes unless `decoded`."""
    tfds = _module()
    # One file at a time without shuffling keeps the files' order.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = None if decoded else {"image": tfds.decode.SkipDecoding()}
    options = {"read_config": config, "decoders": decoders, "batch_size": batch_size}
    return prepared.as_dataset(split=split, **options).as_numpy_iterator()


def _module():
    with needs(
        "TensorFlow and TensorFlow Datasets, which read this data set",
        "Run pip install tensorflow tensorflow-datasets importlib_resources, or choose another data set, "
        "such as --dataset folder",
    ):
        import tensorflow as tf
        import tensorflow_datasets
    decoding.leave_gpus(tf)
    return tensorflow_datasets
