"""Names that are imported when they are first used: Keras and TensorFlow take seconds to import."""

import contextlib
import gc
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pixelcnn_aux.base.errors import needs_all


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


def names(
    package: str, modules: Mapping[str, str], own_modules: str = ""
) -> tuple[Callable[[str], Any], list[str]]:
    """The `__getattr__` of a package, and the names that it finds: those in some modules, and modules."""
    places = {module.rpartition(".")[2]: f"{package}.{module}:" for module in own_modules.split()}
    for module, found in modules.items():
        places |= {name: f"{package}.{module}:{name}" for name in found.split()}

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with lasting_objects(), needs_all(name):
            return pkgutil.resolve_name(places[name])

    return find, list(places)
