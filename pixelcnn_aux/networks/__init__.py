"""Networks, written in `keras.ops`: two classes, whose shapes are data (`topology`)."""

from pixelcnn_aux.networks import topology
from pixelcnn_aux.networks.embedding import Embedding
from pixelcnn_aux.networks.pixelcnn import PixelCNN
