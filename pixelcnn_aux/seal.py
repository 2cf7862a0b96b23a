"""A checksum at the beginning of a file, which is compared before anything in the file is interpreted.

HDF5 reads a damaged file as it can: it may give other numbers, and it may not come to an end. It takes the
first 512 bytes of a file for its user's, and looks for its own behind them, so that a sealed file is one of
HDF5 still, for Keras and for any other reader.
"""

import hashlib

_SIZE = 512  # bytes
_START = b"pixelcnn_aux, sha256 of what follows these 512 bytes: "
_HDF5 = b"\x89HDF\r\n\x1a\n"


def sealed(contents):
    """The bytes of a sealed file of HDF5, of those of one that is not."""
    digest = hashlib.sha256(contents).hexdigest().encode()
    return (_START + digest + b"\n").ljust(_SIZE, b"\0") + contents


def opened(contents):
    """The bytes of HDF5 in a file, sealed or, as Keras alone writes it, not.

    Raises ValueError where they are not those that were sealed, or the file is another one.
    """
    if contents.startswith(_HDF5):
        return contents
    if not contents.startswith(_START):
        raise ValueError("another beginning than that of a file of weights")
    kept = contents[_SIZE:]
    if sealed(kept) != contents:
        raise ValueError("its bytes are not those that were written: their checksum differs")
    return kept
