"""Programs that evaluate what training left."""

from pixelcnn_aux import quiet  # before the programs import TensorFlow
