"""Networks, written in `keras.ops`: their interface, and two whose shapes are data (`topology`)."""

from pixelcnn_aux.networks import architectures, topology
from pixelcnn_aux.networks.embedding import Embedding
from pixelcnn_aux.networks.network import METHODS, Network
from pixelcnn_aux.networks.pixelcnn import PixelCNN
