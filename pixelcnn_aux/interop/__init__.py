"""Imports weights of the reference implementations."""

from typing import TYPE_CHECKING

from pixelcnn_aux.base import lazy

if TYPE_CHECKING:
    from pixelcnn_aux.interop.references import (
        authors_pyramid as authors_pyramid,
        openai_pixelcnn_pp as openai_pixelcnn_pp,
    )
    from pixelcnn_aux.interop.unpickling import read_variables as read_variables
else:
    _NAMES = {"references": "authors_pyramid openai_pixelcnn_pp", "unpickling": "read_variables"}
    __getattr__, _PUBLIC = lazy.names(__name__, _NAMES)
