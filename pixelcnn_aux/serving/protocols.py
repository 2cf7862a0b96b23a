"""The two interfaces of TensorFlow Serving, gRPC and REST, to one model."""

import base64
import functools
import http.client
import itertools
import json
import urllib.parse

import numpy as np
import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow.core.protobuf import meta_graph_pb2

from pixelcnn_aux.serving import answers, http_request
from pixelcnn_aux.serving.answers import WrongAnswer

try:
    import grpc
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError:
    grpc = None  # REST does without.

_GRPC_OPTIONS = {
    "grpc.max_send_message_length": -1,
    # What is compressed may be of any size once it is not: it is refused.
    "grpc.compression_enabled_algorithms_bitset": 1,
    "grpc.max_reconnect_backoff_ms": 1000,  # so that every attempt after a pause is a new one
}
_STATUS_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Failure(Exception):
    """A request that was not answered: the name of its gRPC status, and what the server says of it."""

    def __init__(self, status, message):
        super().__init__(status, message)
        self.status = status
        self.message = message


class Grpc:
    """A server's gRPC interface to a model. All requests raise `Failure` and `WrongAnswer`.

    Args:
      server: str, HOST:PORT.
      model: str, the name that the model is served by.

    Raises:
      ImportError: without tensorflow-serving-api.
    """

    NAME = "gRPC"

    def __init__(self, server, model):
        if grpc is None:
            raise ImportError(
                "Expected tensorflow-serving-api for gRPC. Received: no such package. "
                "Do pip install 'pixelcnn_aux[serving]', or give --rest and the port for it."
            )
        self._server = server
        self._model = model
        self._stub = functools.cache(self._new_stub)

    def signature_defs(self, timeout):
        """dict, name -> SignatureDef; `timeout` in seconds for the request as a whole."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        response = self._call("GetModelMetadata", request, answers.METADATA_BYTES, timeout)
        served = get_model_metadata_pb2.SignatureDefMap()
        try:
            unpacked = response.metadata["signature_def"].Unpack(served)
        except message.DecodeError as error:
            raise WrongAnswer("a SignatureDefMap", error) from error
        if not unpacked:
            raise WrongAnswer("a SignatureDefMap", response.metadata["signature_def"].type_url)
        return dict(served.signature_def)

    def predict(self, signature, arrays, outputs, timeout):
        """What a signature answers.

        Args:
          signature: str.
          arrays: dict, name -> array [N, ...].
          outputs: dict, name -> tf.TensorSpec, of all outputs.
          timeout: float, seconds for the request as a whole.

        Returns:
          dict, name -> array [N, ...], as `answers.arrays`.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        rows = _num_rows(arrays)
        response = self._call("Predict", request, answers.most_bytes(outputs, rows), timeout)
        return answers.arrays(dict(response.outputs), outputs, rows, _from_proto)

    def _call(self, method, request, limit, timeout):
        # A limit is one of a channel: rounded up to a power of two, so that there are few.
        stub = self._stub(2 ** (limit - 1).bit_length())
        try:
            return getattr(stub, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from error

    def _new_stub(self, limit):
        options = {**_GRPC_OPTIONS, "grpc.max_receive_message_length": limit}
        channel = grpc.insecure_channel(self._server, list(options.items()))
        return prediction_service_pb2_grpc.PredictionServiceStub(channel)


class Rest:
    """A server's REST interface to a model, likewise."""

    NAME = "REST"

    def __init__(self, server, model):
        self._server = server
        self._path = f"/v1/models/{urllib.parse.quote(model, safe='')}"

    def signature_defs(self, timeout):
        """As `Grpc.signature_defs`."""
        served = self._call("/metadata", None, "metadata", answers.METADATA_BYTES, timeout)
        try:
            definitions = {"signature_def": served["signature_def"]["signature_def"]}
            graph = json_format.ParseDict(
                definitions, meta_graph_pb2.MetaGraphDef(), ignore_unknown_fields=True
            )
        except (KeyError, TypeError, json_format.ParseError, RecursionError) as error:
            raise WrongAnswer("the JSON of a SignatureDefMap", repr(error)) from error
        return dict(graph.signature_def)

    def predict(self, signature, arrays, outputs, timeout):
        """As `Grpc.predict`."""
        inputs = {name: array.tolist() for name, array in arrays.items()}
        body = json.dumps({"signature_name": signature, "inputs": inputs}).encode()
        rows = _num_rows(arrays)
        limit = answers.most_bytes(outputs, rows)
        values = self._call(":predict", body, "outputs", limit, timeout)
        if len(outputs) == 1:  # whose name the server leaves out
            values = dict.fromkeys(outputs, values)
        if not isinstance(values, dict):
            raise WrongAnswer(
                f"a JSON object of the outputs {sorted(outputs)}", type(values).__name__
            )
        return answers.arrays(values, outputs, rows, _from_json)

    def _call(self, path, body, key, limit, timeout):
        """What the JSON object that answers has under a key."""
        try:
            answer = http_request.ask(self._server, self._path + path, body, limit, timeout)
        except TimeoutError as error:
            raise Failure("DEADLINE_EXCEEDED", str(error)) from error
        except (OSError, UnicodeError) as error:  # of the latter kind is a host that no name can be
            raise Failure("UNAVAILABLE", str(error)) from error
        except http.client.HTTPException as error:
            raise WrongAnswer("a whole HTTP answer", repr(error)) from error
        status, reason, content = answer
        found = _json_object(content)
        if status != 200:
            said = found.get("error")
            raise Failure(
                _STATUS_OF_HTTP.get(status, f"HTTP {status}"),
                said if isinstance(said, str) else reason,
            )
        if key not in found:
            expected = f"a JSON object with {key!r}, as of TensorFlow Serving"
            raise WrongAnswer(expected, content[:1000])
        return found[key]


def _num_rows(arrays):
    return max(map(len, arrays.values()), default=0)


def _from_proto(name, tensor, dtype):
    """The shape and the values of a TensorProto, for `answers.arrays`."""
    if tensor.dtype != dtype.as_datatype_enum:
        raise WrongAnswer(f"{name} as {dtype.name}", f"dtype {tensor.dtype}")
    values = list(getattr(tensor, answers.FIELDS[dtype]))
    if tensor.tensor_content and dtype != tf.string:
        try:
            values = np.frombuffer(tensor.tensor_content, dtype.as_numpy_dtype).tolist()
        except ValueError as error:
            raise WrongAnswer(f"{name} as {dtype.name}", error) from error
    return tuple(dim.size for dim in tensor.tensor_shape.dim), values


def _from_json(name, values, dtype):
    """The shape and the values of nested lists, likewise."""
    shape, values = [], [values]
    while values and isinstance(values[0], list):
        sizes = {len(value) if isinstance(value, list) else None for value in values}
        if len(sizes) > 1:
            raise WrongAnswer(
                f"{name} in lists of equal lengths", f"dimension {len(shape)}: {sizes}"
            )
        shape += sizes
        values = list(itertools.chain.from_iterable(values))
    if dtype == tf.string:
        decode = _from_base64 if name.endswith("_bytes") else str.encode
        try:
            values = [decode(value) for value in values]
        except (KeyError, TypeError, ValueError) as error:
            raise WrongAnswer(f"{name} as JSON of TensorFlow Serving", repr(error)) from error
    return tuple(shape), values


def _from_base64(value):
    return base64.b64decode(value["b64"], validate=True)


def _json_object(content):
    """dict, of a JSON object; of anything else, none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
