"""A lossless codec: images as about as many bits as a model's likelihood says.

codec = pa.codec.Codec(pa.load("cifar10-pyramid"))
data = codec.compress(images)           # images: uint8 [B, H, W, 3] of the model's size -> bytes
codec.decompress(data)                  # the same images
"""

from pixelcnn_aux.codec.codec import Codec
