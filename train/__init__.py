"""Programs that train."""

from pixelcnn_aux.programs import process

process.begin_if_run()
