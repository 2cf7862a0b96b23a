"""Descriptions of what this package builds, as Keras writes them, and what may be built from them.

A description may come from a file, so that it builds registered classes alone:

    @keras.saving.register_keras_serializable(package="my_package")
    class Palette(pa.auxiliary.Transform): ...
"""

import inspect
import json
from collections.abc import Callable
from typing import Any, Self, TypeVar

import keras
import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.arguments import Config

_T = TypeVar("_T")


def register(package: str = "pixelcnn_aux") -> Callable[[_T], _T]:
    """A decorator that registers a class with Keras, as one of a package."""
    return keras.saving.register_keras_serializable(package)


class Configured:
    """What has a description: `get_config` returns the arguments of the constructor.

    Attributes:
      optional: names of arguments that a description leaves out where they have their defaults, so that it is
        the one that it was before there were such arguments.
    """

    optional: tuple[str, ...] = ()

    def get_config(self) -> Config:
        """dict, the arguments that build the object again: all that the constructor takes."""
        return {}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(**config)


def serialize(part: Any) -> Any:
    """The description of a part, which JSON can hold; None of None.

    Of what Keras writes it has what rebuilds the part: not the module, which may be another one the next
    time, nor what the part was built for or compiled with.

    Raises ValueError for an object of a class that is not registered, or no longer, or whose `get_config`
    leaves out an argument of its constructor or gives what would not come back as it was.
    """
    if part is None:
        return None
    cls = type(part)
    name = keras.saving.get_registered_name(cls)
    registered = keras.saving.get_registered_object(name)
    if registered is None:
        raise ValueError(_not_registered(cls.__name__))
    if registered is not cls:
        raise ValueError(
            f"Expected an object of the class that is registered as {name}. Received: one of an earlier "
            "class of that name. Build the model again, or leave out --plugin for the module that is run."
        )
    config = part.get_config()
    missing = [key for key in _arguments(cls, part) if key not in config]
    if missing:
        raise ValueError(
            f"Expected {cls.__name__}.get_config() to give all arguments of the constructor. Received: no "
            f"{', '.join(missing)}. Define it to return them in a dict, beside those of a base class."
        )
    for key, value in config.items():
        if not _is_plain(value):
            raise ValueError(
                f"Expected {cls.__name__}.get_config() to give None, truth values, numbers, strings, or "
                f"lists, tuples and dicts of them. Received: {key}={arguments.short_repr(value)}. Write it "
                "as such, an array by its method tolist()."
            )
    defaults = inspect.signature(cls).parameters
    config = {
        key: value
        for key, value in config.items()
        if key not in getattr(cls, "optional", ()) or value != defaults[key].default
    }
    config = keras.saving.serialize_keras_object(config)
    return {"class_name": cls.__name__, "config": config, "registered_name": name}


def _arguments(cls, part):
    """Names of what a class's constructor takes to build a part again, but for what it takes as **kwargs.

    Arguments that are None by default, and of this part, may be left out.
    """
    parameters = inspect.signature(cls).parameters.values()
    named = [x for x in parameters if x.kind in (x.POSITIONAL_OR_KEYWORD, x.KEYWORD_ONLY)]
    return [x.name for x in named if x.default is not None or getattr(part, x.name, x) is not None]


def _is_plain(value):
    """Whether a value is one that JSON can hold and `deserialize` gives back: no array, for one.

    Descriptions of parts and of Keras's dtype policies are.
    """
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(x) for key, x in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    numbers = (int, float, np.bool_, np.integer, np.floating)
    return value is None or isinstance(value, (str, *numbers))


def deserialize(description: Any, kind: Any) -> Any:
    """The part of a class `kind` that `serialize` described; None of None.

    Raises ValueError for a class that is not registered or is no subclass of `kind`, or for other arguments
    than the class takes.
    """
    if description is None:
        return None
    name = config = None
    if isinstance(description, dict):
        name = description.get("registered_name") or description.get("class_name")
        config = description.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise ValueError(
            f"Expected the description of a class {kind.__name__}, as Keras writes them. "
            f"Received: {arguments.short_repr(description)}. Take the file from where it came from again."
        )
    cls = keras.saving.get_registered_object(name)
    if cls is None:
        raise ValueError(_not_registered(name))
    fits = isinstance(cls, type) and issubclass(cls, kind)
    if not fits:
        raise ValueError(
            f"Expected the description of a class {kind.__name__}. Received: that of {name}. "
            "Take the file from where it came from again."
        )
    # Not by Keras's function, which also builds some things that are no registered class.
    try:
        return cls.from_config(config)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"Expected the description of a {name} with its arguments. "
            f"Received: others ({type(error).__name__}: {error}). "
            "Load it with the version of the package that wrote it."
        ) from error


def check_comes_back(part: Any) -> None:
    """Raises ValueError, which names it, for a part that its description builds otherwise.

    It is built to find out: not for networks, which take a while.
    """
    description = json.dumps(serialize(part))
    try:
        received = json.dumps(serialize(deserialize(json.loads(description), type(part))))
    except ValueError as error:
        received = str(error).rstrip(".")
    if received != description:
        raise ValueError(
            f"Expected a part that is built again as {description}. Received: {received}. Correct get_config "
            f"of {type(part).__name__}, or what its constructor makes of the arguments."
        )


def _not_registered(name):
    return (
        f"Expected a registered class. Received: {name}, which is not. Decorate it with "
        "@keras.saving.register_keras_serializable(package=...), and import its module before it is needed; "
        "programs do with --plugin MODULE."
    )
