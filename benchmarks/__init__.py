"""Programs that measure: speed, memory, and what choices gain."""

from pixelcnn_aux import quiet  # before the programs import TensorFlow
