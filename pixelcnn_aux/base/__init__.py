"""The bottom layer: arrays, files, arguments, errors. It imports no other part of the package."""
