"""gRPC client of TensorFlow Serving, for images and likelihoods of an exported model.

client = Client("localhost:8500", "grayscale-demo-photos")
client.predict("log_prob", image=images)["bits_per_dim"]  # images: uint8 [N, H, W, 3]
"""

import functools
import math
import operator
import re
import time
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect, needs
from pixelcnn_aux.conditions import Condition
from pixelcnn_aux.serving import interface
from pixelcnn_aux.serving.interface import Tensor, signatures_of_chain

_MESSAGES = "tensorflow-serving-api, which defines TensorFlow Serving's messages"
with needs(_MESSAGES, "Run pip install tensorflow-serving-api"):
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

BATCH_SIZE = 16  # most images per request, so that answers stay small and timely
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between attempts to reach a server
MAX_BYTES = 2**26  # per row
METADATA_BYTES = 2**22

FIELDS = {
    **dict.fromkeys(("uint8", "uint16", "int32"), "int_val"),
    "float32": "float_val",
    "string": "string_val",
}
_ERRORS = {  # status -> exception and remedy
    "UNAVAILABLE": (ConnectionError, "Start TensorFlow Serving, or give its host and port of gRPC"),
    "DEADLINE_EXCEEDED": (TimeoutError, "Give a longer timeout"),
    "NOT_FOUND": (ValueError, "Give the name of a model that it serves"),
    "INVALID_ARGUMENT": (ValueError, "Correct the inputs"),
}


class Client:
    """Client of one served model, safe for use from several threads.

    Args:
      server: str, HOST:PORT.
      model: str, the served model's name.
      timeout: float, seconds per request, including all attempts to reach the server.

    Raises ValueError for malformed arguments. Requests raise

      ConnectionError: if there is no server, or it stays unavailable for several attempts.
      TimeoutError: without an answer in time.
      ValueError: for an unknown model or signature, or invalid inputs. They are checked before they are sent:
        a server that merges requests fails all of them if one is at fault.
      RuntimeError: for any other status, or an answer that no export gives: one larger than its signature
        allows, or with other outputs, dtypes, shapes, rows or values.
    """

    def __init__(self, server: str, model: str, timeout: float = 60.0):
        address = re.fullmatch(r"[\w.:%\[\]-]+:([0-9]{1,5})", str(server), re.ASCII)
        fits = address and int(address[1]) <= 65535 and str(model).isprintable()
        expected = "a server as HOST:PORT and a model's name"
        received = f"{arguments.short_repr(server)} and {arguments.short_repr(model)}"
        expect(fits, expected, received, "Give both, as localhost:8500")
        self.server, self.model = server, model
        self.timeout = arguments.positive("timeout", timeout, largest=10**6)
        self._stub = functools.cache(self._new_stub)

    @property
    def images(self) -> dict[str, Tensor]:
        """dict, factor name -> `Tensor`, in the order of sampling, which ends with the full image."""
        return self._description[0]

    @property
    def condition(self) -> Condition | None:
        """The model's `conditions.Condition`, or None if it is unconditional."""
        return self._description[1]

    @functools.cached_property
    def _description(self):
        """(`images`, `condition`, maximum rows per request, signatures), requested once."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        response = self._call("GetModelMetadata", request, METADATA_BYTES)
        metadata = get_model_metadata_pb2.SignatureDefMap()
        try:
            response.metadata["signature_def"].Unpack(metadata)
        except DecodeError:
            metadata.Clear()
        served = dict(metadata.signature_def)
        self._expect("auxiliaries" in served, "the signature 'auxiliaries'", sorted(served))
        infos = {**served["auxiliaries"].outputs, "image": served["auxiliaries"].inputs["image"]}
        images = {}
        for name in sorted(infos.keys() - interface.DESCRIPTION):
            batch, *shape = [dim.size for dim in infos[name].tensor_shape.dim] or [0]
            dtype = infos[name].dtype
            fits = dtype in interface.PIXELS and len(shape) == 3 and min(-batch, *shape) >= 1
            expected = "auxiliaries of images uint8 or uint16 [N, h, w, c]"
            self._expect(fits, expected, (name, batch, *shape))
            images[name] = Tensor(tf.as_dtype(dtype), tuple(shape))
        fits = interface.most_bytes(images, 1) <= MAX_BYTES
        self._expect(fits, f"images of at most {MAX_BYTES} bytes", images)
        # One request's answer has the order of the images, their numbers of values, and the condition's size.
        full = images.pop("image")
        [condition] = [cls(1) for name, cls in interface.SIZES.items() if name in infos] or [None]
        described = signatures_of_chain({**images, "image": full}, condition)
        outputs = described["auxiliaries"].outputs
        zeros = np.zeros([1, *full.shape], full.dtype.as_numpy_dtype)
        answer = self._predict("auxiliaries", {"image": zeros}, outputs)
        factors = [name.decode(errors="replace") for name in answer["factors"][0]]
        fits = {*factors} > images.keys() >= {*factors[:-1]} and "".join(factors).isprintable()
        self._expect(fits, f"factors of {sorted(images)} and of the full image", factors)
        counts, max_batch = answer["num_values"][0].tolist(), answer["max_batch"].item()
        limits = [images.get(name, full).dtype.max + 1 for name in factors]
        fits = min(*counts, max_batch) >= 1 and all(map(operator.le, counts, limits))
        expected = f"num_values of 1 to {limits}, max_batch of at least 1"
        self._expect(fits, expected, (counts, max_batch))
        images = {
            name: images.get(name, full)._replace(num_values=count)
            for name, count in zip(factors, counts)
        }
        if condition is not None:
            [size] = (answer[name].item() for name in interface.SIZES if name in answer)
            largest = arguments.MAX_PER_PIXEL
            self._expect(1 <= size <= largest, f"a condition of 1 to {largest:,}", size)
            condition = type(condition)(size)
        signatures = signatures_of_chain(images, condition)
        signatures = {name: x for name, x in signatures.items() if name in served}
        return images, condition, max_batch, signatures

    def predict(self, signature: str, /, **arrays: Any) -> dict[str, np.ndarray]:
        """Calls a signature, in several requests if its rows need them.

        Args:
          signature: str.
          **arrays: the signature's inputs, arrays [N, ...] of its dtypes and shapes, N >= 1.

        Returns:
          dict, name -> array [N, ...], of all outputs; strings are bytes in an object array.
        """
        _, _, max_batch, signatures = self._description
        expected = f"a signature of {self.model}: {', '.join(signatures)}"
        received, remedy = arguments.short_repr(signature), "Choose one of them, or another model"
        expect(signature in signatures, expected, received, remedy)
        inputs, outputs = signatures[signature]
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        rows = max([1, *(len(array) for array in arrays.values() if array.ndim)])
        if misfit := interface.misfit(arrays, inputs, rows):
            expected, received = misfit
            expect(False, expected, received, "Correct the inputs")
        step = max(1, min(BATCH_SIZE, max_batch, MAX_BYTES // interface.most_bytes(outputs, 1)))
        parts = [
            self._predict(signature, {k: x[at : at + step] for k, x in arrays.items()}, outputs)
            for at in range(0, rows, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    def _predict(self, signature, arrays, outputs):
        rows = len(next(iter(arrays.values())))
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call("Predict", request, interface.most_bytes(outputs, rows))
        try:
            arrays = {name: _array(proto) for name, proto in response.outputs.items()}
        except (KeyError, TypeError, ValueError) as error:
            self._expect(False, f"arrays of {sorted(outputs)}", str(error))
        if misfit := interface.misfit(arrays, outputs, rows):
            self._expect(False, *misfit)
        return arrays

    def _call(self, method, request, limit):
        """Sends a request, again after growing pauses while the server is unavailable."""
        request.model_spec.name = self.model
        # Limits are powers of two, so that few stubs are kept.
        send = getattr(self._stub(2 ** (limit - 1).bit_length()), method)
        deadline = time.monotonic() + self.timeout
        for pause in (*PAUSES, math.inf):
            try:
                return send(request, timeout=max(deadline - time.monotonic(), 1e-3))
            except grpc.RpcError as error:
                status, details = error.code().name, f"{error.details()!r:.300}"
                if status != "UNAVAILABLE" or time.monotonic() + pause > deadline:
                    exception, remedy = _ERRORS.get(status, (RuntimeError, "Check its logs"))
                    raise exception(
                        f"Expected {self.server} to answer for the model {self.model} within "
                        f"{self.timeout:g} seconds. Received: {status} ({details}). {remedy}."
                    ) from error
            time.sleep(pause)

    def _new_stub(self, limit):
        options = {
            "grpc.max_receive_message_length": limit,
            "grpc.max_send_message_length": -1,
            "grpc.compression_enabled_algorithms_bitset": 1,  # none: small answers could inflate
            "grpc.max_reconnect_backoff_ms": 1000,  # every attempt after a pause reconnects
        }
        return PredictionServiceStub(grpc.insecure_channel(self.server, [*options.items()]))

    def _expect(self, fits, expected, received):
        expected = f"{expected:.300} in an answer of {self.server}"
        remedy = f"Serve an export there as {self.model}, with the signature auxiliaries"
        expect(fits, expected, f"{received!r:.300}", remedy, kind=RuntimeError)


def _array(proto):
    """Array of a TensorProto. Raises an error for values that do not fit its dtype and shape."""
    dtype = tf.as_dtype(proto.dtype)
    values = list(getattr(proto, FIELDS[dtype.name]))
    if dtype in interface.PIXELS and values and not 0 <= min(values) <= max(values) <= dtype.max:
        raise ValueError(f"{dtype.name} from {min(values)} to {max(values)}")
    if proto.tensor_content and dtype != tf.string:
        values = np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    return np.array(values, dtype.as_numpy_dtype).reshape(shape)
