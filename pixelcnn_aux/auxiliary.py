"""The transforms psi from an image to its auxiliary image, equation (4).

All compute in integers, so that every device computes the same auxiliary image.
"""

import functools
import re
from typing import Any, cast

import numpy as np

from pixelcnn_aux import sums
from pixelcnn_aux.base import arguments, arrays
from pixelcnn_aux.base.arguments import Size, Tensor
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_images, check_sides_known
from pixelcnn_aux.base.serialization import Configured, register
from pixelcnn_aux.likelihoods import Likelihood
from pixelcnn_aux.sums import FixedSum

LUMA = (299, 587, 114)  # BT.601 weights of R, G and B, in thousandths


class Transform(Configured):
    """A function psi from images to smaller or coarser ones, and the properties that a chain needs.

    A subclass defines `__call__`, and attributes that differ from the defaults. `__call__` uses `keras.ops`,
    or `tf` for TensorFlow alone, and accepts tensors of an unknown batch size, as in a pipeline. The class
    must be registered, so that a run can be loaded again:

    ```python
    @keras.saving.register_keras_serializable(package="my_package")
    class Red(pa.auxiliary.Transform):
        channels = 1

        def __call__(self, images):
            return images[..., :1]
    ```

    Attributes:
      name: str, the default name of the factor that models the auxiliary image.
      channels: int, the channels of the auxiliary image; None if the same as the image's.
      num_values: int, the number of its pixel values, at most 65,536; None if the same as the image's.
      ratio: int, a power of two: the image's height and width over those of the auxiliary image.
    """

    # Any, so that subclasses can set and use an int.
    channels: Any = None
    num_values: Any = None
    ratio: int = 1
    # Subclasses and instances may set it.
    name: str = cast(str, functools.cached_property(lambda self: _snake_case(type(self).__name__)))

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, H, W, C] -> [B, H / ratio, W / ratio, channels]. Raises ValueError.

        Images are uint8 up to 256 values, and uint16 above.
        """
        raise NotImplementedError

    def likelihood(self) -> Likelihood | None:
        """The likelihood of the auxiliary image, or None for the default.

        The default is a `LogisticMixture` for more than 256 values; also for 256 or more colors, if the image
        has one and as many channels. Otherwise it is `Categorical`.
        """
        return None

    def fixed_sum(self, num_values: int) -> FixedSum | None:
        """The sum of each block's values that the auxiliary image fixes, up to rounding.

        Every block with a sum in an auxiliary value's window must have that auxiliary value.

        Args:
          num_values: int, of the images, whose values are 0 .. num_values - 1.

        Returns:
          `sums.FixedSum`, or None if the auxiliary image is not such a function of a sum.
        """
        return None

    def size(self, image_size: Size) -> tuple[int, int]:
        """(H, W) of the image -> (H, W) of its auxiliary image. Raises ValueError for unsupported sides."""
        check_sides_known(image_size)
        height, width = image_size
        expect(
            height % self.ratio == width % self.ratio == 0,
            f"a height and width that are multiples of {self.ratio}, for {type(self).__name__}",
            f"{height} x {width}",
            "Choose another image size",
        )
        return height // self.ratio, width // self.ratio

    def known(self, mask: Tensor) -> Tensor:
        """The mask of known pixels of the auxiliary image, for a mask of known pixels of the image.

        Override it in a transform whose values depend on pixels outside their block of ratio x ratio.

        Args:
          mask: uint8 [B, H, W, 1], 1 or 0.

        Returns:
          uint8 [B, H / ratio, W / ratio, 1]: 1 where all pixels of the block are known.
        """
        return sums.reduce_blocks(arrays.min, mask, self.ratio)


@register()
class Grayscale(Transform):
    """The quantized grayscale view of an RGB image (section 3.1): the highest bits of its BT.601 luma.

    Args:
      bits: int, 1 to 8; 4 in the paper. Raises ValueError for others.
    """

    name = "grayscale"
    channels = 1

    def __init__(self, bits: int = 4):
        self.bits = arguments.whole("bits", bits, 1, 8)
        self.num_values = 2**self.bits

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> uint8 [B, H, W, 1], values 0 .. 2 ** bits - 1. Raises ValueError."""
        rgb = arrays.cast(check_images(images, channels=3, num_values=256), "int32")
        luma = arrays.sum(rgb * np.array(LUMA, np.int32), axis=-1, keepdims=True) // 1000
        return arrays.cast(luma // 2 ** (8 - self.bits), "uint8")

    def fixed_sum(self, num_values: int) -> FixedSum | None:
        if num_values != 256:
            return None  # some grays would have no image
        return FixedSum([[LUMA]], step=1000 * 2 ** (8 - self.bits))


@register()
class HalfResolution(Transform):
    """The view of half the height and width (section 3.2): the rounded mean of each 2 x 2 block.

    Images may have any channels and pixel values, such as colors or the grays of `Grayscale`. The last row or
    column of an odd height or width counts twice.
    """

    ratio = 2

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), C] of their dtype. Raises ValueError."""
        images = check_images(images)
        check_sides_known(images.shape[1:3])
        total = sums.reduce_blocks(arrays.sum, arrays.cast(images, "int32"), self.ratio)
        return arrays.cast((total + 2) // 4, images.dtype)

    def size(self, image_size: Size) -> tuple[int, int]:
        """(H, W) of the image -> (H, W) of its auxiliary image. Raises ValueError for an unknown side."""
        check_sides_known(image_size)
        height, width = (-(-side // self.ratio) for side in image_size)
        return height, width

    def fixed_sum(self, num_values: int) -> FixedSum:
        spread = 8.0 * max(num_values / 256, 1.0)
        return FixedSum([[1, 1], [1, 1]], step=4, first=-2, num_values=num_values, spread=spread)


@register()
class HighBits(Transform):
    """The most significant bits of each value: x >> (of - bits).

    Images may have any channels. It may come before or after a half resolution.

    Args:
      bits: int, 1 to `of` - 1, the bits to keep. Raises ValueError for others.
      of: int, 2 to 16, the bits of the image's values.
    """

    name = "high_bits"

    def __init__(self, bits: int, of: int = 16):
        self.of = arguments.whole("of", of, 2, 16)
        self.bits = arguments.whole("bits", bits, 1, self.of - 1)
        self.num_values = 2**self.bits

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, H, W, C] of 2 ** of values -> [B, H, W, C] of 2 ** bits. Raises ValueError."""
        values = arrays.cast(check_images(images, num_values=2**self.of), "int32")
        values = values // 2 ** (self.of - self.bits)  # not in place: `values` may be the images
        return arrays.cast(values, arguments.pixel_dtype(self.num_values))

    def fixed_sum(self, num_values: int) -> FixedSum:
        expected = f"images of {2**self.of:,} values, for HighBits of {self.of} bits"
        received = f"num_values={num_values:,}"
        expect(num_values == 2**self.of, expected, received, "Choose `of` to fit")
        step = 2 ** (self.of - self.bits)
        return FixedSum([[1]], step=step, num_values=num_values, spread=step / 2)


def _snake_case(name):
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
