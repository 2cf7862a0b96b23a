"""A lossless codec: compresses images to about as many bits as a model's likelihood assigns them.

codec = pa.codec.Codec(pa.load("photographs"))
data = codec.compress(images)           # images: list of uint8 [H, W, 3] of any sizes -> bytes
codec.decompress(data)                  # the same images
"""

from typing import TYPE_CHECKING

from pixelcnn_aux.base import lazy

if TYPE_CHECKING:
    from pixelcnn_aux.codec.codec import Codec as Codec
else:
    __getattr__, _PUBLIC = lazy.names(__name__, {"codec": "Codec"})
    __all__ = _PUBLIC  # for help()

    def __dir__():
        return [*globals(), *_PUBLIC]
