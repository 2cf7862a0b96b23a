"""Models without Keras and TensorFlow: factors of arrays, evaluated in NumPy.

`layers` has those of networks, which `scanning` evaluates pixel by pixel or group by group.
"""

from pixelcnn_aux.engine.factor import Factor as Factor
