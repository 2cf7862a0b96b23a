"""Weights of the reference implementations, brought into this package's networks."""

from typing import TYPE_CHECKING

from pixelcnn_aux import lazy

if TYPE_CHECKING:
    from pixelcnn_aux.interop.references import (
        authors_pyramid as authors_pyramid,
        openai_pixelcnn_pp as openai_pixelcnn_pp,
    )
    from pixelcnn_aux.interop.unpickling import read_variables as read_variables
else:
    _PUBLIC = {
        "authors_pyramid": "references:authors_pyramid",
        "openai_pixelcnn_pp": "references:openai_pixelcnn_pp",
        "read_variables": "unpickling:read_variables",
    }
    __getattr__ = lazy.names(__name__, _PUBLIC)
