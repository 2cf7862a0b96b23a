"""Weights of the reference implementations, brought into this package's networks."""

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelcnn_aux.interop.references import (
        authors_pyramid as authors_pyramid,
        openai_pixelcnn_pp as openai_pixelcnn_pp,
    )
    from pixelcnn_aux.interop.unpickling import read_variables as read_variables
else:
    _MODULES = {
        "authors_pyramid": "references",
        "openai_pixelcnn_pp": "references",
        "read_variables": "unpickling",
    }

    def __getattr__(name):  # as in `pixelcnn_aux`
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return pkgutil.resolve_name(f"{__name__}.{_MODULES[name]}:{name}")
