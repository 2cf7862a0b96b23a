"""What everything else is built on, and what knows no images: arrays, files, arguments, errors.

Nothing in it imports other parts of the package.
"""
