"""Heat maps: where in a picture its bits are. Captions say so in words, which are alternative texts too."""

import matplotlib
import numpy as np

from pixelcnn_aux.demo.shown import Figure


def of_bits(bits):
    """`Figure` of the bits of each pixel, float [H, W]: dark ones took few."""
    most = max(float(bits.max()), 1.0)
    caption = (
        f"Bits of each pixel: black is 0, the lightest {most:.0f}; {bits.mean():.1f} on average"
    )
    return Figure(caption, [_colors("magma", bits / most)])


def of_excess(name, excess):
    """`Figure` of the bits of each pixel of a factor's image less their entropy, float [h, w]."""
    most = max(float(np.abs(excess).max()), 1.0)
    caption = (
        f"{name}: bits of each pixel less their entropy, red above 0 and blue below; from "
        f"{excess.min():.1f} to {excess.max():.1f}, {excess.mean():z.2f} on average"
    )
    return Figure(caption, [_colors("RdBu_r", (1 + excess / most) / 2)])


def _colors(colormap, shares):
    """uint8 [H, W, 3] of numbers from 0 to 1."""
    return np.ascontiguousarray(matplotlib.colormaps[colormap](shares, bytes=True)[..., :3])
