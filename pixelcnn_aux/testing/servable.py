"""What a server does with the newest version of a SavedModel."""

import pathlib
import re

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2


class Servable:
    """The newest version of a model. Errors are those of the server: `tf.errors.OpError`.

    Args:
      base_path: DIR/MODEL, in which every version is a folder with a number for a name.

    Attributes:
      name: str, MODEL.
      version: int.
      signature_defs: dict, name -> SignatureDef.

    Raises:
      FileNotFoundError: where there is no version.
    """

    def __init__(self, base_path):
        base_path = pathlib.Path(base_path).absolute()
        versions = [path for path in base_path.glob("*") if path.name.isdecimal()]
        if not versions:
            raise FileNotFoundError(
                f"Expected versions of a model, folders such as {base_path}/1. Received: none. "
                "Export it first."
            )
        newest = max(versions, key=lambda path: int(path.name))
        saved = saved_model_pb2.SavedModel.FromString((newest / "saved_model.pb").read_bytes())
        self.name = base_path.name
        self.version = int(newest.name)
        self.signature_defs = dict(saved.meta_graphs[0].signature_def)
        self._loaded = tf.saved_model.load(newest)

    def check_spec(self, name, version=None):
        """Raises NotFoundError for another model, or another version than None."""
        if name != self.name:
            raise tf.errors.NotFoundError(
                None, None, f"Servable not found for request: Latest({name})"
            )
        if version not in (None, self.version):
            raise tf.errors.NotFoundError(
                None, None, f"Servable not found for request: Specific({name}, {version})"
            )

    def predict(self, signature, inputs):
        """Runs a signature.

        Args:
          signature: str.
          inputs: dict, name -> array.

        Returns:
          dict, name -> array.
        """
        if signature not in self.signature_defs:
            message = f'Serving signature key "{signature}" not found.'
            raise tf.errors.FailedPreconditionError(None, None, message)
        expected = self.signature_defs[signature].inputs
        if inputs.keys() != expected.keys():
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(expected)} "
                f"len({_set(inputs)}) != len({_set(expected)}). "
                f"Sent extra: {_set(inputs.keys() - expected.keys())}. "
                f"Missing but required: {_set(expected.keys() - inputs.keys())}."
            )
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except tf.errors.InvalidArgumentError as error:
            # What is executed eagerly says more than a server's session does.
            raise invalid(
                re.sub("(?s)^Graph execution.*unavailable>\n", "", error.message)
            ) from error


def invalid(message):
    """The error of a request that does not fit."""
    return tf.errors.InvalidArgumentError(None, None, message)


def _set(names):
    return "{" + ",".join(sorted(names)) + "}"
