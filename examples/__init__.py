"""Extensions of this package, each in a single file."""

from pixelcnn_aux.commands import process

process.begin_if_run()
