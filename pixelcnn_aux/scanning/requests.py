"""`DrawRequest`, the arguments of draws."""

from typing import Any, NamedTuple

from pixelcnn_aux.base.arguments import Size, Tensor

METHODS = ("incremental", "full")  # of evaluating a network pixel by pixel


class DrawRequest(NamedTuple):
    """A request for images, which `AuxiliaryModel.sample` passes to the scan of each factor.

    Tensors have a row per image. The fields after `by` differ between the factors of a chain. Pixels are
    uint8 up to 256 pixel values, and uint16 above.
    """

    seeds: Tensor = None  # int32 [B, 2]
    log_scale_shift: Tensor = None  # float32 [B]; or [B, H, W], for one factor
    condition: Tensor = None  # as in `Inputs`
    mode: str = "sample"  # or "map"
    method: str = "incremental"  # or "full"
    jit_compile: bool = False  # whether XLA compiles the drawing
    by: str | None = None  # "numpy" or "graph", which draws
    size: Size | None = None  # (H, W) of the images
    auxiliary: Tensor = None  # pixels [B, h, w, c]; None for an unconditional factor
    # Pixels [B, H, W, C], and a mask, uint8 [B, H, W, 1], 1 where they are known; None if all are to be
    # drawn.
    completed: Any = None
    # Lower and upper bounds of each value, pixels [B, H, W, C] each; None without bounds.
    within: Any = None
    # Weights of several images per request, which `sampling/particles.py` keeps; None for one image each.
    particles: Any = None
    # The source of noise, or float [B, H, W, noise_size] of it: bounded for a factor with a fixed sum,
    # and if `within` is set.
    noise: Any = None
