"""Serialization of objects to descriptions in Keras's format, and back.

Descriptions may come from files, so only registered classes are built:

    @keras.saving.register_keras_serializable(package="my_package")
    class Palette(pa.auxiliary.Transform): ...
"""

import inspect
import json
import sys
from collections.abc import Callable, Collection
from typing import Any, Self, TypeVar

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Config
from pixelcnn_aux.base.errors import expect, restated

_T = TypeVar("_T")
# Accepted arguments of Keras's layers and models; others, such as regularizers, build objects of any class.
OF_KERAS = ("name", "trainable", "dtype")
_POLICIES = ("float32", "float64", "mixed_bfloat16", "mixed_float16")
_OF_POLICY = {"module": "keras", "class_name": "DTypePolicy", "registered_name": None}
_OTHER_VERSION = "Load it with the version of the package that wrote it"
_classes: dict[str, Any] = {}  # registered name -> class
_waiting: list[tuple[str, Any]] = []  # (package, class) to be registered with Keras


def register(package: str = "pixelcnn_aux") -> Callable[[_T], _T]:
    """Decorator that registers a class under a package; with Keras once that is imported."""

    def decorate(cls: Any) -> Any:
        _classes[f"{package}>{cls.__name__}"] = cls
        _waiting.append((package, cls))
        if "keras" in sys.modules:
            with_keras()
        return cls

    return decorate


def with_keras() -> Any:
    """Keras, after registering all waiting classes with it."""
    import keras  # here, since NumPy code does without it

    while _waiting:
        package, cls = _waiting.pop(0)
        keras.saving.register_keras_serializable(package)(cls)
    return keras


def registered_name(cls: type) -> str:
    """The name that a class is registered under; its own name if it is not registered."""
    if "keras" in sys.modules:
        return with_keras().saving.get_registered_name(cls)
    return next((name for name, known in _classes.items() if known is cls), cls.__name__)


def registered_class(name: str) -> Any:
    """The class registered under a name, with Keras or here, or None."""
    if "keras" in sys.modules:
        return with_keras().saving.get_registered_object(name)
    return _classes.get(name)


class Configured:
    """Base of serializable classes: `get_config` returns the arguments of the constructor.

    Attributes:
      optional: names of arguments that a description omits if they have their defaults, for compatibility
        with descriptions from before they existed.
      ignored: names of other entries that a description may have.
    """

    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def get_config(self) -> Config:
        """dict, the constructor's arguments: by default the attributes of the same names."""
        bases = reversed(type(self).__mro__[:-1])  # all but object
        names = dict.fromkeys(x for base in bases for x in inspect.signature(base).parameters)
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**{name: x for name, x in config.items() if name not in cls.ignored})


def serialize(part: Any) -> Any:
    """The JSON-serializable description of an object, in Keras's format; None for None.

    Raises ValueError if the class is not, or no longer, registered, or if its `get_config` omits an argument
    of the constructor or has values that JSON does not preserve.
    """
    if part is None:
        return None
    cls = type(part)
    name = registered_name(cls)
    registered = registered_class(name)
    _check_registered(cls.__name__, registered)
    expected = f"an object of the class that is registered as {name}"
    remedy = "Build the model again, or leave out --plugin for the module that is run"
    expect(registered is cls, expected, "one of an earlier class of that name", remedy)
    config, parameters = part.get_config(), inspect.signature(cls).parameters
    # Arguments of the constructor, except optional ones that are None.
    missing = [
        x.name
        for x in parameters.values()
        if x.kind in (x.POSITIONAL_OR_KEYWORD, x.KEYWORD_ONLY)
        and (x.default is not None or getattr(part, x.name, x) is not None)
        and x.name not in config
    ]
    expected = f"{cls.__name__}.get_config() to give all arguments of the constructor"
    remedy = "Define it to return them in a dict, beside those of a base class"
    expect(not missing, expected, f"no {', '.join(missing)}", remedy)
    plain = {}
    optional = getattr(cls, "optional", ())
    for key, value in config.items():
        if key in optional and value == parameters[key].default:
            continue
        try:
            plain[key] = _plain(value)
        except TypeError:
            raise ValueError(
                f"Expected {cls.__name__}.get_config() to give None, truth values, numbers, strings, or "
                f"lists, tuples and dicts of them. Received: {key}={arguments.short_repr(value)}. Write it "
                "as such, an array by its method tolist()."
            ) from None
    return {"class_name": cls.__name__, "config": plain, "registered_name": name}


def _plain(value):
    """A value that JSON preserves; raises TypeError for others, such as arrays."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [*map(_plain, value)]
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError


def check(description: Any) -> None:
    """Raises ValueError unless a description's classes are registered and accept its entries."""
    if isinstance(description, dict) and {"class_name", "registered_name"} & description.keys():
        name: Any = description.get("registered_name") or description.get("class_name")
        cls = registered_class(name) if isinstance(name, str) else None
        _check_registered(arguments.short_repr(name).strip("'"), cls)
        check_entries(name, description.get("config"), arguments_of(cls))
    elif isinstance(description, (dict, list)):
        for part in description.values() if isinstance(description, dict) else description:
            check(part)


def check_entries(name: str, config: Any, names: Collection[str] | None) -> None:
    """Raises ValueError for entries of a class's configuration beside `names`, if any, and as `check`."""
    expected = f"the description of a {name} with its arguments"
    remedy = _OTHER_VERSION
    expect(isinstance(config, dict), expected, arguments.short_repr(config), remedy)
    for key, value in config.items():
        fits = names is None or key in names
        expect(fits, expected, f"{arguments.short_repr(key)}, which it does not take", remedy)
        if key != "dtype" or not (names is None or {*OF_KERAS} <= {*names}):
            check(value)
            continue
        if isinstance(value, dict):  # as in Keras's own files
            value = {x: y for x, y in value.items() if x != "shared_object_id"}
        policies = [y for x in _POLICIES for y in (x, {**_OF_POLICY, "config": {"name": x}})]
        of_keras = f"{key} of a {name} as one of {', '.join(_POLICIES)}"
        expect(value in policies, of_keras, arguments.short_repr(value), remedy)


def arguments_of(cls: Any) -> list[str]:
    """Argument names of a class and its bases; of Keras's classes, those in `OF_KERAS`."""
    names = [*getattr(cls, "ignored", ())]
    for base in getattr(cls, "__mro__", ()):
        if base.__module__.startswith("keras."):
            names += OF_KERAS
        elif "__init__" in vars(base):
            _, *parameters = inspect.signature(base.__init__).parameters.values()  # without `self`
            names += [
                x.name for x in parameters if x.kind in (x.POSITIONAL_OR_KEYWORD, x.KEYWORD_ONLY)
            ]
    return names


def deserialize(description: Any, base: Any) -> Any:
    """The object that `serialize` described, of the class `base` or a subclass; None for None.

    The whole description is checked before anything is built. Raises ValueError for a class that is not
    registered or not a subclass of `base`, or for other arguments.
    """
    if description is None:
        return None
    entries: Any = description if isinstance(description, dict) else {}
    name = entries.get("registered_name") or entries.get("class_name")
    expected = f"the description of a class {base.__name__}"
    remedy = "Take the file from where it came from again"
    fits = isinstance(name, str) and isinstance(entries.get("config"), dict)
    expect(fits, f"{expected}, as Keras writes them", arguments.short_repr(description), remedy)
    check(description)
    cls = registered_class(name)
    expect(isinstance(cls, type) and issubclass(cls, base), expected, f"that of {name}", remedy)
    # Keras's own function also builds some unregistered classes.
    expected = f"the description of a {name} with its arguments"
    with restated(expected, "invalid ones", _OTHER_VERSION, TypeError, KeyError):
        return cls.from_config(entries["config"])


def check_comes_back(part: Any) -> None:
    """Raises ValueError unless an object built from the description has the same description."""
    description = json.dumps(serialize(part))
    try:
        received = json.dumps(serialize(deserialize(json.loads(description), type(part))))
    except ValueError as error:
        received = str(error).rstrip(".")
    expected, own = f"a part that is built again as {description}", type(part).__name__
    remedy = f"Correct get_config of {own}, or what its constructor makes of the arguments"
    expect(received == description, expected, received, remedy)


def _check_registered(name, cls):
    remedy = (
        "Decorate it with @keras.saving.register_keras_serializable(package=...), and import its module "
        "before it is needed; programs do with --plugin MODULE"
    )
    expect(cls is not None, "a registered class", f"{name}, which is not", remedy)
