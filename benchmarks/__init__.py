"""Programs that measure: speed, memory, and what choices gain."""

from pixelcnn_aux.commands import process

process.begin_if_run()
