"""Client: asks TensorFlow Serving for images and likelihoods of a model that `export` wrote.

client = Client("localhost:8500", "grayscale-demo-photos")
client.predict("log_prob", image=images)["bits_per_dim"]  # images: uint8 [N, H, W, 3]
"""

import math
import re
import time

import numpy as np

from pixelcnn_aux import arguments
from pixelcnn_aux.serving import answers, protocols

# The most images a request, where the model takes as many: so that an answer stays small and comes in time.
BATCH_SIZE = 16
MAX_SHOWN = 300  # characters of what a server says
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
MAX_TIMEOUT = 10**6  # seconds: much longer ones are out of the system's range
_OTHER_ERROR = (
    RuntimeError,
    "Expected an answer of {server}. Received: {status} ({message}). Look into what it logs.",
)


class Client:
    """The functions of one served model.

    Several threads may use it at once.

    Args:
      server: str, HOST:PORT.
      model: str, the name that the model is served by.
      rest: bool, whether to ask by REST instead of gRPC.
      timeout: float, seconds for each request as a whole, from looking up the host to the last byte of the
        answer, with all attempts to reach the server; at most `MAX_TIMEOUT`.

    Raises:
      ImportError: gRPC without tensorflow-serving-api.
      ValueError: a server that is not HOST:PORT, with a port below 65536, or another timeout.

    Requests, which its methods make, raise

      ConnectionError: no server there, or one that stays unavailable for several attempts.
      TimeoutError: no answer in time.
      ValueError: no such model, no such signature, inputs that do not fit. What the model tells about
        them is checked before they are sent, since a server that merges requests fails all of them where
        one is at fault.
      RuntimeError: any other status of the server, or an answer that does not fit: one that is larger than
        its signature allows, that has other outputs, shapes, dtypes or values, or that is no answer of an
        export in TensorFlow Serving.
    """

    def __init__(self, server, model, rest=False, timeout=60.0):
        if not re.fullmatch(r"\S+:\d+", server) or int(server.rpartition(":")[2]) > 65535:
            raise ValueError(
                f"Expected a server as HOST:PORT. Received: {server!r}. Give both, as localhost:8500."
            )
        self.server = server
        self.model = model
        self.timeout = arguments.positive("timeout", timeout, MAX_TIMEOUT)
        self._protocol = (protocols.Rest if rest else protocols.Grpc)(server, model)
        self._metadata = self._described = None

    def metadata(self):
        """The model's signatures, asked for once: dict, name -> `Signature`."""
        if self._metadata is None:
            self._metadata = self._ask(self._signatures)
        return self._metadata

    def signature(self, name):
        """The `Signature` of that name; a ValueError where there is none."""
        served = self.metadata()
        if name not in served:
            raise ValueError(
                f"Expected a model with the signature {name!r}. Received: {self.model} of "
                f"{self.server}, which has {_line(', '.join(served))}. Choose among them, or give "
                "another --model."
            )
        return served[name]

    def images(self):
        """The images of the model's factors, asked for once.

        Returns:
          dict, factor name -> `ImageSpec`, in the order of sampling: the last one is the full image.
        """
        images, _ = self._description()
        return images

    def predict(self, signature, /, **arrays):
        """Calls a signature, in as many requests as its inputs' rows take.

        No request has more rows than the model takes, or than `BATCH_SIZE`.

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
        images, max_batch = self._description()
        count = min(BATCH_SIZE, max_batch, answers.MAX_BYTES // answers.most_bytes(outputs, 1))
        parts = []
        for first in range(0, len(next(iter(arrays.values()))), count):
            rows = {name: array[first : first + count] for name, array in arrays.items()}
            parts.append(self._ask(self._outputs, signature, rows, outputs, images))
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _signatures(self, timeout):
        return answers.signatures(self._protocol.signature_defs(timeout))

    def _description(self):
        """What `auxiliaries` says of the model, asked for once: `images`, and the most rows of a request."""
        if self._described is None:
            self._described = self._ask(self._describe, self.signature("auxiliaries"))
        return self._described

    def _describe(self, signature, timeout):
        zeros = {"image": np.zeros([1, *answers.full_shape(signature)], np.uint8)}
        answer = self._protocol.predict("auxiliaries", zeros, signature.outputs, timeout)
        images = answers.image_specs(signature, answer)
        answers.check_signatures(self.metadata(), images)
        answers.check_pixels(answer, images)
        return images, answers.max_batch(answer)

    def _outputs(self, signature, rows, outputs, images, timeout):
        answer = self._protocol.predict(signature, rows, outputs, timeout)
        answers.check_pixels(answer, images)
        return answer

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
            except answers.WrongAnswer as wrong:
                raise RuntimeError(
                    f"Expected {_line(wrong.expected)} in an answer of {self.server}. "
                    f"Received: {_line(wrong.received)}. Check that TensorFlow Serving listens there, and "
                    f"that its {self.model} is an export of this package."
                ) from wrong
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
            message=_line(failure.message).rstrip("."),
        )
        return kind(message)


def _line(text):
    """A server's text in one line that a terminal shows as it is; of a long one the beginning."""
    text = " ".join(text.split())
    shown = "".join(x if x.isprintable() else "\N{REPLACEMENT CHARACTER}" for x in text[:MAX_SHOWN])
    return shown + "..." * (len(text) > MAX_SHOWN)


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
