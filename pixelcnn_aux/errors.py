"""The one format of errors: expected, received, and the remedy."""

import contextlib
from collections.abc import Iterator
from typing import Any


def expect(
    fits: object, expected: str, received: Any, remedy: str, *, kind: type[Exception] = ValueError
) -> None:
    """Raises `kind` unless `fits`: "Expected {expected}. Received: {received}. {remedy}."

    For arguments of the public API and contents of files, which are checked once, where they enter. The texts
    are evaluated also if `fits`: where they are costly, raise within an `if` instead.
    """
    if not fits:
        raise kind(f"Expected {expected}. Received: {received}. {remedy}.")


@contextlib.contextmanager
def needs(package: str, remedy: str) -> Iterator[None]:
    """Imports within that fail say what package, and what for, is expected, and how it is installed."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"Expected {package}. Received: no such package. {remedy}.") from error
