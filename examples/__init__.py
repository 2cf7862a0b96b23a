"""Extensions of this package, each in one file of its own."""

from pixelcnn_aux.commands import process

process.begin_if_run()
