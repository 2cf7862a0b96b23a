"""Programs that evaluate runs."""

from pixelcnn_aux.commands import process

process.begin_if_run()
