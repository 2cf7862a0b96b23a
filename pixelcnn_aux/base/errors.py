"""The one format of errors: expected, received, and the remedy."""

import contextlib
import difflib
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

OTHER_BACKEND = (
    "Expected a Keras backend that is installed, tensorflow or jax. Received: {}. "
    "Set KERAS_BACKEND to one of these."
)


def expect(
    fits: object, expected: str, received: Any, remedy: str, *, kind: type[Exception] = ValueError
) -> None:
    """Raises `kind`, "Expected {expected}. Received: {received}. {remedy}.", unless `fits`."""
    if not fits:
        raise kind(f"Expected {expected}. Received: {received}. {remedy}.")


def require(fits: object, reason: str) -> None:
    """Raises ValueError with a `reason` for `restated`, unless `fits`."""
    if not fits:
        raise ValueError(reason)


def did_you_mean(name: Any, names: Iterable[str], remedy: str) -> str:
    """A remedy that suggests the one of `names` that resembles `name`, if any."""
    alike = difflib.get_close_matches(name[:200], names, 1) if isinstance(name, str) else ()
    return f"Did you mean {alike[0]!r}? {remedy}" if alike else remedy


@contextlib.contextmanager
def restated(
    expected: str,
    received: str,
    remedy: str,
    *kinds: type[Exception],
    kind: type[Exception] = ValueError,
) -> Iterator[None]:
    """Reformats errors of `kinds`, by default ValueError, as `kind`; their text follows in brackets."""
    kinds = kinds or (ValueError,)
    try:
        yield
    except kinds as error:
        text = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        received = f"{received} ({text.rstrip('.')})"
        raise kind(f"Expected {expected}. Received: {received}. {remedy}.") from error


@contextlib.contextmanager
def needs(package: str, remedy: str) -> Iterator[None]:
    """Makes failing imports name the expected package, its purpose, and how to install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"Expected {package}. Received: no such package. {remedy}.") from error


@contextlib.contextmanager
def needs_all(what: str) -> Iterator[None]:
    """Makes failing imports name the package that `what` needs and a light installation leaves out."""
    try:
        yield
    except (AttributeError, ImportError, ValueError) as error:
        modules = {x.f_globals.get("__name__") for x, _ in traceback.walk_tb(error.__traceback__)}
        fits, expected = sys.flags.optimize < 2 or "tf_keras" not in modules, "docstrings"
        received, remedy = "python -OO, by which tf_keras fails", "Leave out -OO"
        expect(fits, expected, received, remedy, kind=ImportError)
        if "keras" in modules:  # while it is imported
            raise ImportError(OTHER_BACKEND.format(error)) from None
        name = getattr(error, "name", None) or ""
        if not isinstance(error, ModuleNotFoundError) or name.startswith("pixelcnn_aux"):
            raise
        raise ModuleNotFoundError(
            f"Expected the package {name}, which {what} needs. Received: no such package. "
            "Run pip install 'pixelcnn_aux[tensorflow]', or [jax] for JAX.",
            name=name,
        ) from error
