"""The transforms psi: image -> auxiliary image, equation (4).

All in integers, so that every device computes the same auxiliary image.
"""

import tensorflow as tf


def check_images(images, channels=None, num_values=256, what="images"):
    """Returns uint8 images as a tensor, or says what is wrong with them.

    Args:
      images: uint8 [B, H, W, C].
      channels: int, the C expected; None for any.
      num_values: int, pixels must be below it. Checked where the values are known: not while a graph
        is traced.
      what: str, how an error calls the images.

    Raises:
      ValueError: for another dtype, rank or number of channels, or a pixel value out of range.
    """
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8 or images.shape.rank != 4:
        raise ValueError(
            f"Expected {what} as uint8 [B, H, W, {channels or 'C'}]. "
            f"Received: {images.dtype.name} {images.shape.as_list()}"
        )
    if channels is not None and images.shape[-1] != channels:
        raise ValueError(
            f"Expected {what} with {channels} channel{'s' * (channels > 1)}. "
            f"Received: shape {images.shape.as_list()}"
        )
    if num_values < 256 and tf.executing_eagerly() and tf.size(images) > 0:
        largest = int(tf.reduce_max(tf.cast(images, tf.int32)))
        if largest >= num_values:
            raise ValueError(
                f"Expected {what} with pixel values from 0 to {num_values - 1}. "
                f"Received: a value of {largest}"
            )
    return images


class Grayscale:
    """The quantized grayscale view of an RGB image (section 3.1).

    BT.601 luma, rounded down, of which the `bits` most significant bits are kept.
    """

    def __init__(self, bits=4):
        self.bits = bits
        self.channels = 1
        self.num_values = 2**bits

    def __call__(self, images):
        """uint8 [B, H, W, 3] -> uint8 [B, H, W, 1], values 0 .. 2 ** bits - 1. Raises ValueError."""
        rgb = tf.cast(check_images(images, channels=3), tf.int32)
        luma = tf.reduce_sum(rgb * [299, 587, 114], axis=-1, keepdims=True) // 1000
        return tf.cast(luma // 2 ** (8 - self.bits), tf.uint8)

    def size(self, image_size):
        """(H, W) of the image -> (H, W) of its auxiliary image."""
        return image_size

    def known(self, mask):
        """Where an image is known (uint8 [B, H, W, 1], 1 or 0) -> where its auxiliary image is."""
        return mask


class HalfResolution:
    """The view of half the height and width (section 3.2): the rounded mean of each 2 x 2 block.

    Of images with any number of pixel values: colors, or the grays of `Grayscale`.
    """

    def __call__(self, images):
        """uint8 [B, H, W, C] -> uint8 [B, H / 2, W / 2, C]. Raises ValueError, also for odd sides."""
        images = check_images(images)
        self.size(images.shape[1:3])
        sums = _over_blocks(tf.reduce_sum, tf.cast(images, tf.int32))
        return tf.cast((sums + 2) // 4, tf.uint8)

    def size(self, image_size):
        """(H, W) of the image -> (H, W) of its auxiliary image. Raises ValueError for odd sides."""
        height, width = image_size
        if height % 2 or width % 2:
            raise ValueError(f"Expected even sides to halve. Received: {height} x {width}")
        return height // 2, width // 2

    def known(self, mask):
        """As `Grayscale.known`: a pixel is known where its whole block is."""
        return _over_blocks(tf.reduce_min, mask)


def _over_blocks(reduce, images):
    """[B, H, W, C] -> [B, H / 2, W / 2, C], from each block of 2 x 2."""
    _, height, width, channels = images.shape
    blocks = tf.reshape(images, [-1, height // 2, 2, width // 2, 2, channels])
    return reduce(blocks, axis=[2, 4])
