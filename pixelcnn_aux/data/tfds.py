"""TensorFlow Datasets, imported where a data set is read that needs it."""

from pixelcnn_aux.data import decoding


def builder(name, data_dir):
    """`tfds.core.DatasetBuilder` of a data set. Raises ImportError without TensorFlow or its data sets."""
    return _module().builder(name, data_dir=data_dir)


def examples(prepared, split, decoded=True, batch_size=None):
    """Iterates over the examples of a split, dicts of NumPy arrays, in the order of their files.

    Args:
      prepared: `tfds.core.DatasetBuilder` whose data set is prepared.
      split: str, a split of TFDS's.
      decoded: bool; where not, images are the bytes of their files.
      batch_size: as `as_dataset` takes it.
    """
    tfds = _module()
    # One file at a time and nothing shuffled: the order is that of the files.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = None if decoded else {"image": tfds.decode.SkipDecoding()}
    dataset = prepared.as_dataset(
        split=split, read_config=config, decoders=decoders, batch_size=batch_size
    )
    return dataset.as_numpy_iterator()


def _module():
    try:
        import tensorflow as tf
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            "Expected TensorFlow and TensorFlow Datasets, which read this data set. Received: no such "
            "package. Run pip install tensorflow tensorflow-datasets importlib_resources, or choose a data "
            "set that does without, such as --dataset folder."
        ) from error
    decoding.leave_gpus(tf)
    return tensorflow_datasets
