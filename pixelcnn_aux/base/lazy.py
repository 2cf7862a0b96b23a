"""Lazy imports of names when they are first used: Keras and TensorFlow take seconds to import."""

import contextlib
import gc
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pixelcnn_aux.base.errors import needs_all


@contextlib.contextmanager
def lasting_objects() -> Iterator[None]:
    """Disables the garbage collector while long-lived objects are created: it takes a fifth of an import."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def names(
    package: str, modules: Mapping[str, str], own_modules: str = ""
) -> tuple[Callable[[str], Any], list[str]]:
    """A package's `__getattr__`, and the names that it resolves: `modules` maps a module to names in it."""
    places = {module.rpartition(".")[2]: f"{package}.{module}:" for module in own_modules.split()}
    for module, module_names in modules.items():
        places |= {name: f"{package}.{module}:{name}" for name in module_names.split()}

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with lasting_objects(), needs_all(name):
            return pkgutil.resolve_name(places[name])

    return find, list(places)
