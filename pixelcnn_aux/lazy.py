"""Names that are imported when they are first used: Keras and TensorFlow take seconds to import."""

import contextlib
import gc
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any


@contextlib.contextmanager
def lasting_objects() -> Iterator[None]:
    """Within it no garbage is collected: of objects that all last, which takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# The context of imports. Programs have one in which other packages are silent.
importing: Callable[[], AbstractContextManager[None]] = lasting_objects


def names(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package, for a dict: name -> its place, "MODULE:NAME" or "MODULE:"."""

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with importing():
            return pkgutil.resolve_name(f"{package}.{places[name]}")

    return find
