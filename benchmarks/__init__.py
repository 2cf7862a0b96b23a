"""Programs that measure speed, memory, and the gain from design choices."""

from pixelcnn_aux.commands import process

process.begin_if_run()
