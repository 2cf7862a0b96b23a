"""Programs that measure: speed, memory, and what choices gain."""

from pixelcnn_aux.programs import process

process.begin_if_run()
