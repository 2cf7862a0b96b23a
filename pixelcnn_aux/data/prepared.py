"""What TFDS has prepared on this machine. TFDS is slow to import: only where it is needed."""

from absl import logging

from pixelcnn_aux.data import heavy


def examples(builder, split, **options):
    """The examples of a split, a `tf.data.Dataset`, in the order of their files.

    Args:
      builder: `tfds.core.DatasetBuilder` whose data set is prepared.
      split: str, a split of TFDS's.
      **options: of the builder's `as_dataset`.
    """
    # One file at a time and nothing shuffled: the order is that of the files.
    config = heavy.tfds().ReadConfig(interleave_cycle_length=1, try_autocache=False)
    verbosity = logging.get_verbosity()
    if verbosity < logging.DEBUG:
        logging.set_verbosity(min(verbosity, logging.WARNING))  # TFDS tells at length what it opens
    try:
        return builder.as_dataset(split=split, read_config=config, **options)
    finally:
        logging.set_verbosity(verbosity)
