"""Client: asks TensorFlow Serving for images and likelihoods of a model that `export` wrote.

client = Client("localhost:8500", "grayscale-demo-photos")
client.predict("log_prob", image=images)["bits_per_dim"]  # images: uint8 [N, H, W, 3]
"""

import math
import re
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_aux.serving import protocols

BATCH_SIZE = 16  # the most images a request, so that an answer stays small and comes in time
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between attempts to reach a server

# By status: what is raised, and what it says.
_ERRORS = {
    "UNAVAILABLE": (
        ConnectionError,
        "Expected TensorFlow Serving at {server}. Received: {message}. Start it, or give its host and its "
        "port for {protocol} in --server.",
    ),
    "DEADLINE_EXCEEDED": (
        TimeoutError,
        "Expected an answer of {server} within {timeout:g} seconds. Received: none. Give a longer "
        "--timeout.",
    ),
    "NOT_FOUND": (
        ValueError,
        "Expected a model that {server} serves. Received: --model={model} ({message}). Give the name of "
        "one that it serves.",
    ),
    "INVALID_ARGUMENT": (
        ValueError,
        "Expected inputs that {model} of {server} takes. Received: its refusal ({message}). Correct them.",
    ),
}
_OTHER_ERROR = (
    RuntimeError,
    "Expected an answer of {server}. Received: {status} ({message}). Look into what it logs.",
)


class Signature(NamedTuple):
    """What a served function takes and returns: dicts, name -> tf.TensorSpec, of [N, ...]."""

    inputs: dict
    outputs: dict


class ImageSpec(NamedTuple):
    """What the image of a factor is: its pixel values are below `num_values`."""

    shape: tuple  # (h, w, c)
    num_values: int


class Client:
    """The functions of one served model.

    Several threads may use it at once.

    Args:
      server: str, HOST:PORT.
      model: str, the name that the model is served by.
      rest: bool, whether to ask by REST instead of gRPC.
      timeout: float, seconds until a request must have been answered; with REST, seconds for which the
        server may be silent.

    Raises:
      ImportError: gRPC without tensorflow-serving-api.
      ValueError: a server that is not HOST:PORT.

    Requests, which its methods make, raise

      ConnectionError: no server there, or one that stays unavailable for several attempts.
      TimeoutError: no answer in time.
      ValueError: no such model, no such signature, inputs that do not fit. What the model tells about
        them is checked before they are sent, since a server that merges requests fails all of them where
        one is at fault.
      RuntimeError: any other status of the server.
    """

    def __init__(self, server, model, rest=False, timeout=60.0):
        if not re.fullmatch(r"\S+:\d+", server):
            raise ValueError(
                f"Expected a server as HOST:PORT. Received: {server!r}. Give both, as localhost:8500."
            )
        self.server = server
        self.model = model
        self.timeout = timeout
        self._protocol = (protocols.Rest if rest else protocols.Grpc)(server, model)
        self._metadata = self._images = None

    def metadata(self):
        """The model's signatures, asked for once: dict, name -> `Signature`."""
        if self._metadata is None:
            served = self._ask(self._protocol.signature_defs)
            self._metadata = {
                name: Signature(_specs(definition.inputs), _specs(definition.outputs))
                for name, definition in sorted(served.items())
                if not name.startswith("__")  # what a server runs when it loads the model
            }
        return self._metadata

    def signature(self, name):
        """The `Signature` of that name; a ValueError where there is none."""
        served = self.metadata()
        if name not in served:
            raise ValueError(
                f"Expected a model with the signature {name!r}. Received: {self.model} of "
                f"{self.server}, which has {', '.join(served)}. Choose among them, or give another "
                "--model."
            )
        return served[name]

    def images(self):
        """The images of the model's factors, asked for once.

        Returns:
          dict, factor name -> `ImageSpec`, in the order of sampling: the last one is the full image.
        """
        if self._images is None:
            inputs, outputs = self.signature("auxiliaries")
            full = inputs["image"].shape[1:]
            zeros = {"image": np.zeros([1, *full], np.uint8)}
            answer = self._ask(self._protocol.predict, "auxiliaries", zeros, outputs)
            *auxiliaries, last = [name.decode() for name in answer["factors"][0]]
            shapes = {**{name: outputs[name].shape[1:] for name in auxiliaries}, last: full}
            self._images = {
                name: ImageSpec(tuple(shape), int(num_values))
                for (name, shape), num_values in zip(shapes.items(), answer["num_values"][0])
            }
        return self._images

    def predict(self, signature, /, **arrays):
        """Calls a signature, in as many requests as its inputs' rows take.

        Args:
          signature: str.
          **arrays: all inputs of the signature, each an array [N, ...], N >= 1, of its dtype and shape.

        Returns:
          dict, name -> array [N, ...], of all outputs; strings are bytes in an array of objects.
        """
        inputs, outputs = self.signature(signature)
        arrays = _checked(arrays, inputs)
        for name, array in arrays.items():
            self._check_values(signature, name, array)
        answers = []
        for first in range(0, len(next(iter(arrays.values()))), BATCH_SIZE):
            rows = {name: array[first : first + BATCH_SIZE] for name, array in arrays.items()}
            answers.append(self._ask(self._protocol.predict, signature, rows, outputs))
        return {name: np.concatenate([answer[name] for answer in answers]) for name in outputs}

    def _check_values(self, signature, name, array):
        """Raises ValueError for values that an input cannot have."""
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"Expected finite values of {name}. Received: {array}. Correct the others."
            )
        num_values = self._num_values(signature, name)
        if num_values is not None and array.max() >= num_values:
            raise ValueError(
                f"Expected values of {name} from 0 to {num_values - 1}. Received: a value of {array.max()}. "
                "Correct it."
            )

    def _num_values(self, signature, name):
        """Of the pixels of an input; None where it has no pixels."""
        if name == "mask":
            return 2
        if name == "auxiliary":
            return self.images()[signature.removeprefix("given_")].num_values
        if name == "image":
            return list(self.images().values())[-1].num_values
        return None

    def _ask(self, request, *arguments):
        """The answer to a request, repeated after ever longer pauses while there is no server for it."""
        deadline = time.monotonic() + self.timeout
        for pause in (*PAUSES, math.inf):
            left = max(deadline - time.monotonic(), 1e-3)
            try:
                return request(*arguments, timeout=left)
            except protocols.Failure as failure:
                if failure.status != "UNAVAILABLE" or time.monotonic() + pause >= deadline:
                    raise self._error(failure) from failure
            time.sleep(pause)

    def _error(self, failure):
        """The exception that says what a `Failure` means and what to do."""
        kind, text = _ERRORS.get(failure.status, _OTHER_ERROR)
        message = text.format(
            server=self.server,
            model=self.model,
            timeout=self.timeout,
            protocol=self._protocol.NAME,
            status=failure.status,
            message=" ".join(failure.message.split()).rstrip("."),
        )
        return kind(message)


def _specs(infos):
    """dict, name -> tf.TensorSpec, of a signature's inputs or outputs."""
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype))
        for name, info in infos.items()
    }


def _checked(arrays, inputs):
    """The arrays of the shapes and dtypes of these inputs, or a ValueError."""
    if arrays.keys() != inputs.keys():
        raise ValueError(
            f"Expected the inputs {sorted(inputs)}. Received: {sorted(arrays)}. Give those alone."
        )
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, spec in inputs.items():
        dtype, shape = arrays[name].dtype, arrays[name].shape
        if dtype != spec.dtype.as_numpy_dtype or not spec.shape.is_compatible_with(shape):
            raise ValueError(
                f"Expected {name} as {spec.dtype.name} [N{''.join(f', {n}' for n in spec.shape[1:])}]. "
                f"Received: {dtype.name} {list(shape)}. Convert it."
            )
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(
            f"Expected as many rows in every input, at least one. Received: {counts}. Give as many of each."
        )
    return arrays
