"""Programs that measure: speed, memory, and what choices gain."""

from pixelcnn_aux.programs import quiet  # before the programs import TensorFlow
