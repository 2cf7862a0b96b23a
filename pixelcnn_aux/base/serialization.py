"""Descriptions of objects of this package, in Keras's format, and building objects from them.

A description may come from a file, so only registered classes are built:

    @keras.saving.register_keras_serializable(package="my_package")
    class Palette(pa.auxiliary.Transform): ...
"""

import collections
import inspect
import json
import re
import sys
from collections.abc import Callable, Collection
from typing import Any, Self, TypeVar

import numpy as np

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.arguments import Config
from pixelcnn_aux.base.errors import expect, restated

_T = TypeVar("_T")
# Of the arguments of Keras's layers and models; others, such as regularizers, build objects of any class.
OF_KERAS = ("name", "trainable", "dtype")
_POLICIES = ("float32", "float64", "mixed_bfloat16", "mixed_float16")
_OF_POLICY = {"module": "keras", "class_name": "DTypePolicy", "registered_name": None}
_classes: dict[str, Any] = {}  # registered name -> class
_waiting: list[tuple[str, Any]] = []  # (package, class) that Keras does not know yet


def register(package: str = "pixelcnn_aux") -> Callable[[_T], _T]:
    """A decorator that registers a class as one of a package; with Keras as soon as that is imported."""

    def decorate(cls: Any) -> Any:
        _classes[f"{package}>{cls.__name__}"] = cls
        _waiting.append((package, cls))
        if "keras" in sys.modules:
            with_keras()
        return cls

    return decorate


def with_keras() -> Any:
    """Keras, which knows all classes that are registered by now."""
    import keras  # here: whatever computes with NumPy does without

    while _waiting:
        package, cls = _waiting.pop(0)
        keras.saving.register_keras_serializable(package)(cls)
    return keras


def registered_name(cls: type) -> str:
    """The name under which a class is registered; its own name if it is not."""
    if "keras" in sys.modules:
        return with_keras().saving.get_registered_name(cls)
    return next((name for name, found in _classes.items() if found is cls), cls.__name__)


def registered_class(name: str) -> Any:
    """The class that is registered under a name, with Keras or here; None for none."""
    if "keras" in sys.modules:
        return with_keras().saving.get_registered_object(name)
    return _classes.get(name)


class Configured:
    """Base of classes with a description: `get_config` returns the arguments of the constructor.

    Attributes:
      optional: names of arguments that a description leaves out if they have their defaults, so that it stays
        as it was before there were such arguments.
      ignored: names of other entries that a description may have.
    """

    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def get_config(self) -> Config:
        """dict, the arguments that build the object again: here its attributes of their names."""
        bases = reversed(type(self).__mro__[:-1])  # all but object
        names = dict.fromkeys(x for base in bases for x in inspect.signature(base).parameters)
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**{name: x for name, x in config.items() if name not in cls.ignored})


def serialize(part: Any) -> Any:
    """The description of an object, which JSON can hold; None of None.

    It is Keras's without the module, which may change, the shapes that the object was built for, and its
    compilation. Raises ValueError for an object of a class that is not registered, or no longer, or whose
    `get_config` leaves out an argument of its constructor or has values that do not come back as they were.
    """
    if part is None:
        return None
    cls = type(part)
    name = registered_name(cls)
    registered = registered_class(name)
    _check_registered(cls.__name__, registered)
    expected = f"an object of the class that is registered as {name}"
    received = "one of an earlier class of that name"
    remedy = "Build the model again, or leave out --plugin for the module that is run"
    expect(registered is cls, expected, received, remedy)
    config, parameters = part.get_config(), inspect.signature(cls).parameters
    # All arguments of the constructor but those that are left out where they are None.
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
    for key, value in config.items():
        try:
            plain[key] = _plain(value)
        except TypeError:
            raise ValueError(
                f"Expected {cls.__name__}.get_config() to give None, truth values, numbers, strings, or "
                f"lists, tuples and dicts of them. Received: {key}={arguments.short_repr(value)}. Write it "
                "as such, an array by its method tolist()."
            ) from None
    for key in getattr(cls, "optional", ()):
        if key in config and config[key] == parameters[key].default:
            del plain[key]
    return {"class_name": cls.__name__, "config": plain, "registered_name": name}


def _plain(value):
    """A value as JSON can hold it, and `deserialize` gives it back; TypeError for an array, for example."""
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
    """Raises ValueError unless the classes that a description names are registered and take its entries."""
    if isinstance(description, dict) and {"class_name", "registered_name"} & description.keys():
        name: Any = description.get("registered_name") or description.get("class_name")
        cls = registered_class(name) if isinstance(name, str) else None
        _check_registered(arguments.short_repr(name).strip("'"), cls)
        check_entries(name, description.get("config"), arguments_of(cls))
    elif isinstance(description, (dict, list)):
        for part in description.values() if isinstance(description, dict) else description:
            check(part)


def check_entries(name: str, config: Any, taken: Collection[str] | None) -> None:
    """Raises ValueError for a configuration of a class with entries that are not `taken`, if these are known.

    What entries describe is checked as by `check`.
    """
    expected = f"the description of a {name} with its arguments"
    remedy = "Load it with the version of the package that wrote it"
    expect(isinstance(config, dict), expected, arguments.short_repr(config), remedy)
    for key, value in config.items():
        fits = taken is None or key in taken
        expect(fits, expected, f"{arguments.short_repr(key)}, which it does not take", remedy)
        if key != "dtype" or not (taken is None or {*OF_KERAS} <= {*taken}):
            check(value)
            continue
        if isinstance(value, dict):  # which Keras numbers in its own files
            value = {x: y for x, y in value.items() if x != "shared_object_id"}
        known = [form for x in _POLICIES for form in (x, {**_OF_POLICY, "config": {"name": x}})]
        of_keras = f"{key} of a {name} as one of {', '.join(_POLICIES)}"
        expect(value in known, of_keras, arguments.short_repr(value), remedy)


def arguments_of(cls: Any) -> list[str]:
    """The names of all arguments of a class and its bases, but of Keras's those in `OF_KERAS` alone."""
    found = [*getattr(cls, "ignored", ())]
    for base in getattr(cls, "__mro__", ()):
        if base.__module__.startswith("keras."):
            found += OF_KERAS
        elif "__init__" in vars(base):
            _, *taken = inspect.signature(base.__init__).parameters.values()  # without `self`
            found += [x.name for x in taken if x.kind in (x.POSITIONAL_OR_KEYWORD, x.KEYWORD_ONLY)]
    return found


def deserialize(description: Any, kind: Any) -> Any:
    """The object of a class `kind` that `serialize` described; None of None.

    Before anything is built, all of it is checked. Raises ValueError for a class that is not registered or
    not a subclass of `kind`, or for other arguments.
    """
    if description is None:
        return None
    found: Any = description if isinstance(description, dict) else {}
    name, config = found.get("registered_name") or found.get("class_name"), found.get("config")
    expected = f"the description of a class {kind.__name__}"
    remedy = "Take the file from where it came from again"
    fits = isinstance(name, str) and isinstance(config, dict)
    expect(fits, f"{expected}, as Keras writes them", arguments.short_repr(description), remedy)
    check(description)
    cls = registered_class(name)
    expect(isinstance(cls, type) and issubclass(cls, kind), expected, f"that of {name}", remedy)
    # Not by Keras's function, which also builds some objects of classes that are not registered.
    expected = f"the description of a {name} with its arguments"
    remedy = "Load it with the version of the package that wrote it"
    with restated(expected, "others", remedy, TypeError, KeyError):
        return cls.from_config(config)


def check_comes_back(part: Any) -> None:
    """Raises ValueError for an object whose description builds another one, by building it."""
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


def named_weights(layer: Any) -> dict[str, Any]:
    """The weights of a Keras model by their names in files: dict, str -> `keras.Variable`.

    Names are paths without Keras's numbers of layers, which depend on what else the process has made; those
    that are the same then are counted.
    """
    found: dict[str, Any] = {}
    counts = collections.Counter[str]()
    for weight in layer.weights:
        path = re.sub(r"_\d+(?=/|$)", "", weight.path)
        found[f"{path}:{counts[path]}" if path in counts else path] = weight
        counts[path] += 1
    return found
