"""Entropy coding of values by tables of their probabilities, with the range coder of `constriction`."""

import numpy as np

from pixelcnn_aux.base.errors import expect, needs

_USE = "constriction, which codes values by their probabilities"
with needs(_USE, "Run pip install 'constriction>=0.5,<0.6'"):
    import constriction

# All versions 0.5 make the same whole numbers of 24 bits of tables.
_TABLES = constriction.stream.model.Categorical(perfect=False)
# The most bits that values may take, as a part of those of the words that they are read from, and beside:
# tables are rounded, and a word begins before the last one ends.
_MOST, _BESIDE = 1.01, 128


class Encoder:
    """Writes values by tables of their probabilities."""

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, tables, values):
        """Writes whole numbers [N], and returns them, and how many bits each takes: float32 [N].

        Tables, float32 [N, V], are in proportion to the probabilities of each: whole numbers below 2 ** 24 in
        all, 0 where a value cannot be.
        """
        self.write(tables, values)
        return values, bits_of(tables, values)

    def write(self, tables, values):
        """As `code`, but returns nothing."""
        tables = np.ascontiguousarray(tables)
        self._coder.encode(values.astype(np.int32), _TABLES, tables)

    def words(self):
        """uint32 [n], everything written."""
        return self._coder.get_compressed()


class Decoder:
    """Reads the values that an `Encoder` wrote, from its words."""

    def __init__(self, words):
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._left = _MOST * 32 * len(words) + _BESIDE  # bits

    def code(self, tables, values=None):
        """As `Encoder.code`, but reads the values. Raises ValueError for values that no encoder wrote."""
        del values
        tables = np.ascontiguousarray(tables)
        try:
            values = self._coder.decode(_TABLES, tables)
        except AssertionError as error:  # as constriction has it
            _expect_written(False, error)
        bits = bits_of(tables, values)
        _expect_written(not np.isinf(bits).any(), "a value that its table rules out")
        self._left -= bits.sum()
        _expect_written(self._left >= 0, "values that would take more words")
        return values, bits


def _expect_written(fits, reason):
    expect(fits, "values that an encoder wrote", f"others ({reason})", "Get the file again")


def bits_of(tables, values):
    """How many bits values [N] take by tables [N, V]: float32 [N]; inf for an impossible one."""
    shares = tables[np.arange(len(tables)), values]
    with np.errstate(divide="ignore"):
        return np.log2(tables.sum(axis=1) / shares)
