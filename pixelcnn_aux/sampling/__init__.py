"""Exact draws of images from chains of factors, at about the cost of one evaluation."""

from pixelcnn_aux.sampling.any_size import (
    as_seen_whole as as_seen_whole,
    complete as complete,
    draw_and_score as draw_and_score,
    enlarge as enlarge,
    upper_half as upper_half,
)
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
