"""Extensions of this package, each in one file of its own."""

from pixelcnn_aux import quiet  # before the programs import TensorFlow
