"""Entropy coding of values by tables of their probabilities, with the range coder of `constriction`.

A coder decides the values of images in the order in which models draw them: for each factor of a chain its
name (`begin`), then table by table, one of each image of a batch (`decide`), and `end`. What is known of the
images comes before, likewise. A batch may have more
rows than there are images: the others are filled with likely values, for which nothing is written.
"""

import numpy as np

try:
    import constriction
except ImportError as error:
    raise ImportError(
        "Expected constriction, which codes values by their probabilities. Received: no such package. "
        "Run pip install 'constriction>=0.5,<0.6'."
    ) from error

DIGIT = 256  # Values of more bits than 8 are written as two digits.
# Tables are made into whole numbers of 24 bits in the same way by all versions 0.5.
_IMPOSSIBLE = "Expected values that an encoder wrote. Received: others ({}). Get the file again."
_TABLES = constriction.stream.model.Categorical(perfect=False)


class Encoder:
    """Writes the values of images: dict, factor name -> uint8 or uint16 [N, h, w, c], or digits [N, n]."""

    def __init__(self, images):
        self.bits = {}  # name -> how many bits its images took
        self._images, self._name, self._values = images, None, None
        self._coder = constriction.stream.queue.RangeEncoder()

    def begin(self, name):
        images = np.asarray(self._images[name])
        values = np.moveaxis(images.astype(np.int32), 0, -1)  # [h, w, c, N], or [n, N]
        if images.dtype == np.uint16:
            values = np.stack(np.divmod(values, DIGIT), axis=-2)  # [h, w, c, 2, N]
        self._values = iter(np.ascontiguousarray(values.reshape(-1, values.shape[-1])))
        self._name, self.bits[name] = name, -self._coder.num_bits()

    def end(self):
        self.bits[self._name] += self._coder.num_bits()

    def decide(self, tables):
        """The next value of each image, int32 [B], which it writes.

        Tables are float32 [B, V], B >= N, in proportion to the probabilities: whole numbers, 0 where a value
        cannot be.
        """
        values = next(self._values)
        self._coder.encode(values, _TABLES, tables[: len(values)])
        return _filled(values, tables)

    def words(self):
        """uint32 [n], what was written."""
        return self._coder.get_compressed()


class Decoder:
    """Reads the values of `count` images from what an encoder wrote, uint32 [n]."""

    def __init__(self, words, count):
        self.bits = {}  # name -> list of float [N], of each value in turn: how many bits it took
        self._count, self._name = count, None
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def begin(self, name):
        self._name, self.bits[name] = name, []

    def end(self):
        pass

    def decide(self, tables):
        """As `Encoder.decide`. Raises ValueError for a value that cannot be, which no encoder wrote."""
        coded = tables[: self._count]
        try:
            values = self._coder.decode(_TABLES, coded)
        except AssertionError as error:  # as constriction has it
            raise ValueError(_IMPOSSIBLE.format(error)) from error
        shares = np.take_along_axis(coded, values[:, np.newaxis], axis=1)[:, 0]
        if not shares.all():
            raise ValueError(_IMPOSSIBLE.format("a value that its table rules out"))
        self.bits[self._name].append(np.log2(coded.sum(axis=1)) - np.log2(shares))
        return _filled(values, tables)


class DigitEncoder:
    """Writes digits by tables of their probabilities."""

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()

    def decide(self, tables, digits):
        """Writes digits, whole numbers [N].

        Args:
          tables: float32 [N, V], in proportion to the probabilities of each: whole numbers below 2 ** 24 in
            all, 0 where a digit cannot be.
          digits: whole numbers [N].

        Returns:
          (digits, float32 [N], how many bits each takes).
        """
        tables = np.ascontiguousarray(tables)
        self._coder.encode(digits.astype(np.int32), _TABLES, tables)
        return digits, _bits(tables, digits)

    def num_bits(self):
        """int, of what was written so far."""
        return self._coder.num_bits()

    def words(self):
        """uint32 [n], what was written."""
        return self._coder.get_compressed()


class DigitDecoder:
    """Reads the digits that a `DigitEncoder` wrote, from its words."""

    def __init__(self, words):
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def decide(self, tables, digits=None):
        """As `DigitEncoder.decide`, but for the digits. Raises ValueError for some that no encoder wrote."""
        del digits
        tables = np.ascontiguousarray(tables)
        try:
            digits = self._coder.decode(_TABLES, tables)
        except AssertionError as error:  # as constriction has it
            raise ValueError(_IMPOSSIBLE.format(error)) from error
        bits = _bits(tables, digits)
        if np.isinf(bits).any():
            raise ValueError(_IMPOSSIBLE.format("a value that its table rules out"))
        return digits, bits


def _bits(tables, digits):
    """How many bits digits [N] take by tables [N, V]: float32 [N]; inf for one that cannot be."""
    shares = np.take_along_axis(tables, digits[:, np.newaxis], axis=1)[:, 0]
    with np.errstate(divide="ignore"):
        return np.log2(tables.sum(axis=1)) - np.log2(shares)


def _filled(values, tables):
    """Values [N] of the first rows of tables [B, V], and the likeliest ones of the others: int32 [B]."""
    return np.concatenate([values, tables[len(values) :].argmax(axis=1)]).astype(np.int32)
