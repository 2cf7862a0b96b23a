"""Exact draws of images from chains of factors, at about the cost of one evaluation."""

from pixelcnn_aux.sampling.chains import (
    Noise as Noise,
    can_complete as can_complete,
    checked as checked,
    draw as draw,
    draw_factor as draw_factor,
    kept_pixels as kept_pixels,
    names_from as names_from,
    noise as noise,
    sample as sample,
)
from pixelcnn_aux.sampling.colors import colorize as colorize
from pixelcnn_aux.sampling.pictures import (
    as_seen_whole as as_seen_whole,
    complete as complete,
    drawn_with_bits as drawn_with_bits,
    enlarge as enlarge,
)
