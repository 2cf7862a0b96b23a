"""Pictures of any size, also larger than a model's: colored, enlarged, completed."""

from pixelcnn_aux import sampling
from pixelcnn_aux.annotations import ArrayLike, Tensor


class PictureModel:
    """What of an `AuxiliaryModel` draws pictures of any size.

    A model of images of any size draws them whole. Others draw them in windows of their size that overlap, in
    raster order. Each window is given what those above it and to its left have drawn, so that seams agree,
    and nothing else of the picture: colors may drift from one end to the other. To where the last windows
    end, a picture is extended by its last row and column, of which nothing is returned.

    Arguments of all methods:
      seeds: int32 [B, 2]: picture b depends on seeds[b] and images[b] alone, but for rounding. None: [0, b].
      log_scale_shift, mode, jit_compile, condition: as for `AuxiliaryModel.sample`. All windows of a picture
        have its condition.

    All methods raise ValueError as `AuxiliaryModel.sample` does.
    """

    def colorize(
        self,
        images: ArrayLike,
        seeds: ArrayLike | None = None,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
    ) -> Tensor:
        """Colors pictures, by a model of colors given grays, such as `cifar10-grayscale`.

        Args:
          images: uint8 [B, H, W, 1], grays from 0 to 255; or uint8 [B, H, W, 3], photographs, of which only
            the grays are seen. The model's transform computes the auxiliary images of both.
          seeds, log_scale_shift, mode, jit_compile, condition: see the class.

        Returns:
          uint8 [B, H, W, 3]; by an exact model, pictures that have the auxiliary images of `images`.

        Raises:
          ValueError: also for images of another dtype or shape, or a model of no colors given grays.
        """
        how = (seeds, log_scale_shift, mode, jit_compile, condition)
        return sampling.colorize(self, images, *how)

    def enlarge(
        self,
        images: ArrayLike,
        times: int = 2,
        seeds: ArrayLike | None = None,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
    ) -> Tensor:
        """Enlarges pictures, by a model with auxiliary images of lower resolution, such as `photographs`.

        Args:
          images: uint8 [B, h, w, C].
          times: int, how many times as high and wide: 2 by the last factor of a pyramid, 4 by the last two.
          seeds, log_scale_shift, mode, jit_compile, condition: see the class.

        Returns:
          uint8 [B, times * h, times * w, C]; by an exact model, pictures whose auxiliary images are `images`.

        Raises:
          ValueError: also for images of another dtype or shape, or other times than the model enlarges.
        """
        how = (seeds, log_scale_shift, mode, jit_compile, condition)
        return sampling.enlarge(self, images, times, *how)

    def complete(
        self,
        images: ArrayLike,
        mask: ArrayLike,
        seeds: ArrayLike | None = None,
        log_scale_shift: ArrayLike = 0.0,
        mode: str = "sample",
        jit_compile: bool = False,
        condition: ArrayLike | None = None,
    ) -> Tensor:
        """Draws what is not known of pictures: completion, as by `AuxiliaryModel.sample`.

        Args:
          images: uint8 [B, H, W, C].
          mask: uint8 [B, H, W, 1], 1 at the pixels to keep and 0 at those to draw. One is drawn given those
            before it in the raster order of its window, known or drawn.
          seeds, log_scale_shift, mode, jit_compile, condition: see the class.

        Returns:
          uint8 [B, H, W, C].

        Raises:
          ValueError: also for images or a mask of another dtype or shape.
        """
        how = (seeds, log_scale_shift, mode, jit_compile, condition)
        return sampling.complete(self, images, mask, *how)
