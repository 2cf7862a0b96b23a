"""Programs that evaluate what training left."""

from pixelcnn_aux.commands import process

process.begin_if_run()
