"""Programs that evaluate what training left."""

from pixelcnn_aux.programs import quiet  # before the programs import TensorFlow
