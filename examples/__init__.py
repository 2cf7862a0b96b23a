"""Extensions of this package, each in one file of its own."""

from pixelcnn_aux.programs import process

process.begin_if_run()
