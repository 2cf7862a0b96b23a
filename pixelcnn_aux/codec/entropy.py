"""Entropy coding of values by tables of their probabilities, with the range coder of `constriction`."""

import numpy as np

from pixelcnn_aux.base.errors import expect, needs

with needs("constriction, the entropy coder", "Run pip install 'constriction>=0.5,<0.6'"):
    import constriction

# All versions 0.5 round tables to the same 24-bit integers.
_TABLES = constriction.stream.model.Categorical(perfect=False)
# Bounds the bits of decoded values by `_FACTOR` * bits of the words + `_SLACK`: tables are rounded, and words
# overlap.
_FACTOR, _SLACK = 1.01, 128


class Encoder:
    """Writes values by tables of their probabilities."""

    def __init__(self):
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, tables, values):
        """Writes integers [N]; returns them and the bits that each takes, float32 [N].

        `tables`, float32 [N, V], hold integers proportional to the probabilities, with a sum below 2 ** 24
        per row, and 0 for an impossible value.
        """
        self.write(tables, values)
        return values, bits_of(tables, values)

    def write(self, tables, values):
        """Like `code`, but returns nothing."""
        self._coder.encode(values.astype(np.int32), _TABLES, np.ascontiguousarray(tables))

    def words(self):
        """Everything written so far: uint32 [n]."""
        return self._coder.get_compressed()


class Decoder:
    """Reads the values that an `Encoder` wrote, from its words."""

    def __init__(self, words):
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._bits_left = _FACTOR * 32 * len(words) + _SLACK

    def code(self, tables, _=None):
        """Like `Encoder.code`, but reads the values. Raises ValueError for words that no encoder wrote."""
        tables = np.ascontiguousarray(tables)
        try:
            values = self._coder.decode(_TABLES, tables)
        except AssertionError as error:  # raised by constriction
            _expect_valid(False, error)
        bits = bits_of(tables, values)
        _expect_valid(not np.isinf(bits).any(), "a value of probability 0")
        self._bits_left -= bits.sum()
        _expect_valid(self._bits_left >= 0, "values that would take more words")
        return values, bits


def _expect_valid(fits, reason):
    expect(fits, "words that an encoder wrote", f"others ({reason})", "Get the file again")


def bits_of(tables, values):
    """The bits of values [N] under tables [N, V]: float32 [N]; inf for an impossible value."""
    weights = tables[np.arange(len(tables)), values]
    with np.errstate(divide="ignore"):
        return np.log2(tables.sum(axis=1) / weights)
