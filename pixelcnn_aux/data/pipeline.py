"""One split of a data set as tf.data pipelines: in order, shuffled, or by index."""

import math

import numpy as np
import tensorflow as tf

_MAX_KEPT = 2**30  # bytes of a split's pixels: all of CelebA at 32 x 32, half of it at 64 x 64


class Images:
    """One split of a data set, as batches of uint8 images.

    Attributes:
      num_images: how many images the split has.
      image_size: their (H, W).
      skipped: tuple of the names of files left out, since they are no images of this data set.
      source: where the images come from, as `load` sets it: {"dataset": its name, "image_dir": str,
        absolute path of the folder that was given}, each None if there is none.
    """

    def __init__(self, num_images, image_size, read, skipped=()):
        """The arguments are the attributes, but for `read`: a function that tf.data traces, of a scalar
        int64 index below `num_images`, which returns that image, uint8 [H, W, 3].
        """
        self.num_images = num_images
        self.image_size = tuple(image_size)
        self.skipped = tuple(skipped)
        self.source = {"dataset": None, "image_dir": None}
        self._read = read

    def batches(self, batch_size, num_images=None):
        """The images once, in a fixed order: a data set of uint8 [b, H, W, 3].

        Every b is `batch_size` but the last, which has what is left. `num_images` stops after
        the first so many images.
        """
        indices = tf.data.Dataset.range(self.num_images)
        if num_images is not None:
            indices = indices.take(num_images)
        return _batched(indices.map(self._read, tf.data.AUTOTUNE, deterministic=True), batch_size)

    def take(self, indices):
        """The images at some indices, without reading the others.

        Args:
          indices: sequence of int from 0 to `num_images` - 1, which count images as `batches` does.

        Returns:
          uint8 [len(indices), H, W, 3], a NumPy array.

        Raises:
          ValueError: an index out of range.
        """
        possible = range(self.num_images)
        wrong = [index for index in indices if index not in possible]
        if wrong:
            raise ValueError(
                f"Expected indices from 0 to {self.num_images - 1}. Received: {wrong}. "
                "Give ints below num_images."
            )
        dataset = tf.data.Dataset.from_tensor_slices(np.array(indices, np.int64))
        images = dataset.map(self._read, tf.data.AUTOTUNE, deterministic=True)
        batches = _batched(images, max(1, len(indices))).as_numpy_iterator()
        return np.concatenate([np.empty([0, *self.image_size, 3], np.uint8), *batches])

    def training_batches(self, batch_size, seed, first_step=0, flip=True):
        """Shuffled batches for ever: a data set of uint8 [batch_size, H, W, 3].

        Every epoch is a new permutation of all images, and a batch may span two epochs. Batch t
        is a function of (seed, t) alone, so that `first_step` goes on where a run stopped: it
        equals `.skip(first_step)` but reads nothing of what is skipped.

        Args:
          batch_size: int.
          seed: int, of the order and of the flips.
          first_step: int, the first batch's t.
          flip: bool, whether each image is mirrored (left to right) with probability 1/2, anew in
            every epoch. The order of the images is the same either way.
        """
        first_epoch, offset = divmod(first_step * batch_size, self.num_images)

        def epoch(number):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.num_images, dtype=tf.int64), seed=[seed, 2 * number], alg="philox"
            )
            uniforms = tf.random.stateless_uniform(
                [self.num_images], seed=[seed, 2 * number + 1], alg="philox"
            )
            return order, uniforms < (0.5 if flip else 0.0)

        def read(index, flipped):
            image = self._read(index)
            return tf.where(flipped, image[:, ::-1], image)

        # Nothing is computed of the epochs before the first step's, and of its own only the order.
        # (`index_shuffle` would need no order at all, but knows only 256 of them per seed.)
        order = tf.data.Dataset.counter(first_epoch).map(epoch).unbatch().skip(offset)
        images = order.map(read, tf.data.AUTOTUNE, deterministic=True)
        return _batched(images, batch_size, drop_remainder=True)


def from_arrays(pixels, skipped=()):
    """`Images` of pixels in memory.

    Args:
      pixels: uint8 [N, H, W, 3], an array or a tensor, of which a copy is kept.
      skipped: names of files left out, for `Images.skipped`.

    Raises:
      ValueError: pixels of another dtype or shape, or no image.
    """
    if not tf.is_tensor(pixels):
        pixels = np.asarray(pixels)
    shape = tuple(pixels.shape)
    if pixels.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise ValueError(
            f"Expected pixels as uint8 [N, H, W, 3], of one image at least. Received: "
            f"{pixels.dtype.name} {list(shape)}. Give RGB values from 0 to 255 as uint8."
        )
    with tf.device("CPU"):  # where tf.data gathers from it
        pixels = tf.convert_to_tensor(pixels)
    return Images(shape[0], shape[1:3], lambda index: pixels[index], skipped)


def as_images(images):
    """`images` themselves if they are `Images`; `from_arrays` of any others."""
    return images if isinstance(images, Images) else from_arrays(images)


def fits_in_memory(num_images, image_size):
    """Whether a data set's pixels, uint8 [num_images, H, W, 3], are few enough to keep."""
    return num_images * math.prod(image_size) * 3 <= _MAX_KEPT


def _batched(images, batch_size, drop_remainder=False):
    """Batches of a data set of images, read ahead."""
    options = tf.data.Options()
    # tf.data's rewriting of a pipeline keeps a copy of every tensor that it captures.
    options.experimental_optimization.apply_default_optimizations = False
    batches = images.batch(batch_size, drop_remainder=drop_remainder)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
