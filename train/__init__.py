"""Programs that train."""

import sys

from pixelcnn_aux.programs import process

if sys.argv[0] == "-m":  # Python is about to run a module that is here
    process.begin()
