"""Networks, written in `keras.ops`: their interface, and two whose shapes are data (`topology`)."""

from pixelcnn_aux import topology as topology
from pixelcnn_aux.networks import architectures as architectures
from pixelcnn_aux.networks.embedding import Embedding as Embedding
from pixelcnn_aux.networks.masked import MaskedPixelCNN as MaskedPixelCNN
from pixelcnn_aux.networks.network import Network as Network
from pixelcnn_aux.networks.parallel import ParallelPixelCNN as ParallelPixelCNN
from pixelcnn_aux.networks.pixelcnn import PixelCNN as PixelCNN
