"""Drawing images from chains of factors, exactly, near the cost of one evaluation.

It needs TensorFlow, which factors and chains do not: a chain imports it where it draws.
"""

from pixelcnn_aux.sampling.chains import (
    can_complete,
    draw,
    draw_factor,
    kept_pixels,
    names_from,
    sample,
)
from pixelcnn_aux.sampling.noise import noise
from pixelcnn_aux.sampling.pictures import colorize, complete, enlarge
