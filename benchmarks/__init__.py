"""Programs that measure: speed, memory, and what choices gain."""

import sys

from pixelcnn_aux.programs import process

if sys.argv[0] == "-m":  # Python is about to run a module that is here
    process.begin()
