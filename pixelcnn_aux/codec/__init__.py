"""A lossless codec: images as about as many bits as a model's likelihood says.

codec = pa.codec.Codec(pa.load("photographs"))
data = codec.compress(images)           # images: list of uint8 [H, W, 3], of any sizes -> bytes
codec.decompress(data)                  # the same images
"""

import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelcnn_aux.codec.codec import Codec as Codec
else:

    def __getattr__(name):  # as in `pixelcnn_aux`
        if name != "Codec":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return pkgutil.resolve_name("pixelcnn_aux.codec.codec:Codec")
