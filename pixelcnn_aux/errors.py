"""The one format of errors: expected, received, and the remedy."""

from typing import Any


def expect(
    fits: object, expected: str, received: Any, remedy: str, *, kind: type[Exception] = ValueError
) -> None:
    """Raises `kind` unless `fits`: "Expected {expected}. Received: {received}. {remedy}."

    For input that enters the public API or comes from a file, once. Inside, code trusts code.
    """
    if not fits:
        raise kind(f"Expected {expected}. Received: {received}. {remedy}.")
