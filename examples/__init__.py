"""Extensions of this package, each in one file of its own."""

from pixelcnn_aux.programs import quiet  # before the programs import TensorFlow
