"""Descriptions of what this package builds, as Keras writes them, and what may be built from them.

A description may come from a file, so that it builds registered classes alone:

    @keras.saving.register_keras_serializable(package="my_package")
    class Palette(pa.auxiliary.Transform): ...
"""

import functools

import keras

register = functools.partial(keras.saving.register_keras_serializable, package="pixelcnn_aux")


class Configured:
    """What has a description: `get_config` returns the arguments of the constructor."""

    def get_config(self):
        """dict, the arguments that build the object again. Required of classes that take any."""
        if type(self).__init__ is not object.__init__:
            raise NotImplementedError(
                f"Expected {type(self).__name__} with get_config, since its constructor takes arguments. "
                "Received: none. Define it to return them as a dict."
            )
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def serialize(part):
    """The description of a part, which JSON can hold; None of None.

    Raises ValueError for an object of a class that is not registered.
    """
    if part is None:
        return None
    cls = type(part)
    if keras.saving.get_registered_object(keras.saving.get_registered_name(cls)) is not cls:
        raise ValueError(_not_registered(cls.__name__))
    return keras.saving.serialize_keras_object(part)


def deserialize(description, kind):
    """The part of a class `kind` that `serialize` described; None of None.

    Raises:
      ValueError: for a class that is not registered, or is no subclass of `kind`.
      TypeError: for a description with other arguments than the class takes.
    """
    if description is None:
        return None
    if not isinstance(description, dict) or not isinstance(description.get("class_name"), str):
        raise ValueError(
            f"Expected the description of a {kind.__name__}, as Keras writes them. "
            f"Received: {description!r:.80}"
        )
    name = description.get("registered_name") or description["class_name"]
    cls = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(_not_registered(name))
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        raise ValueError(f"Expected the description of a {kind.__name__}. Received: that of {name}")
    return keras.saving.deserialize_keras_object(description, safe_mode=True)


def _not_registered(name):
    return (
        f"Expected a registered class. Received: {name}, which is not. Decorate it with "
        "@keras.saving.register_keras_serializable(package=...), and import its module before it is needed; "
        "programs do with --plugin MODULE."
    )
