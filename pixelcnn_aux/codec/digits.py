"""What is known of images, as digits of which each is as likely as any other."""

import math

import numpy as np

from pixelcnn_aux.conditions import Classes

NAME = "the condition"  # what a file calls it beside factors, in whose names there are no spaces


class Digits:
    """How a condition is written: a class as one digit, each number of a vector as its four bytes.

    Args:
      kind: `conditions.Condition`.

    Attributes:
      base: int, digits are below it.
      count: int, how many an image has.
    """

    def __init__(self, kind):
        self._kind, self._is_class = kind, isinstance(kind, Classes)
        bytes_each = 4 * math.prod(kind.shape)
        self.base, self.count = (kind.num_classes + 1, 1) if self._is_class else (256, bytes_each)

    def of(self, values):
        """Values [N, ...] of the kind's dtype -> whole numbers [N, count]."""
        if self._is_class:
            return values[:, np.newaxis] + 1  # 0 is no class
        little = np.ascontiguousarray(values, np.dtype(self._kind.dtype).newbyteorder("<"))
        return little.reshape(len(values), -1).view(np.uint8)

    def values(self, digits):
        """The inverse of `of`."""
        kind = self._kind
        if self._is_class:
            return (digits[:, 0] - 1).astype(kind.dtype)
        little = digits.astype(np.uint8).view(np.dtype(kind.dtype).newbyteorder("<"))
        return little.reshape(-1, *kind.shape).astype(kind.dtype)
