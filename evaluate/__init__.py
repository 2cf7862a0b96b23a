"""Programs that evaluate what training left."""

from pixelcnn_aux.programs import process

process.begin_if_run()
