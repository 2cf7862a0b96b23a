"""The package without Keras and TensorFlow: factors and models in NumPy.

    model = pa.engine.load("cifar10-pyramid")
    model.sample([[0, 0], [0, 1]])["32x32"]          # uint8 [2, 32, 32, 3]

`layers` has those of networks, which `scanning` evaluates pixel by pixel or group by group. Nothing is
traced, and results are the same under TensorFlow and JAX.
"""

from pixelcnn_aux.engine.factor import Factor as Factor, Unsupported as Unsupported
from pixelcnn_aux.engine.model import Model as Model, load as load
