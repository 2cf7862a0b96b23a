"""Networks, each written once: NumPy evaluates them without a framework, and Keras trains them.

`topology`: the steps of a network as data. `network`: the interface of networks and of their parts.
`array_layers`: their layers, over weights.
`blocks`: residual blocks and streams. Each network has a module of its own. `architectures`: networks as
arguments of models. These modules import only functions of arrays and checks of arguments.
"""

from pixelcnn_aux.networks import architectures as architectures, topology as topology
from pixelcnn_aux.networks.array_layers import Layers as Layers
from pixelcnn_aux.networks.blocks import (
    GatedResidualBlock as GatedResidualBlock,
    ResidualBlock as ResidualBlock,
    Stream as Stream,
)
from pixelcnn_aux.networks.embedding import Embedding as Embedding
from pixelcnn_aux.networks.masked import MaskedPixelCNN as MaskedPixelCNN
from pixelcnn_aux.networks.network import (
    Module as Module,
    Network as Network,
    append_ones as append_ones,
    shift_down as shift_down,
    shift_right as shift_right,
)
from pixelcnn_aux.networks.parallel import ParallelPixelCNN as ParallelPixelCNN
from pixelcnn_aux.networks.pixelcnn import PixelCNN as PixelCNN
