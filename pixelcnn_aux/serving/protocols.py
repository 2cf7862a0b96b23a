"""The two interfaces of TensorFlow Serving, gRPC and REST, to one model."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

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
    "grpc.max_receive_message_length": -1,
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
    """A server's gRPC interface to a model. All requests raise `Failure`.

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
        channel = grpc.insecure_channel(server, list(_GRPC_OPTIONS.items()))
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model = model

    def signature_defs(self, timeout):
        """dict, name -> SignatureDef; `timeout` in seconds."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        response = self._call(self._stub.GetModelMetadata, request, timeout)
        served = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(served)
        return dict(served.signature_def)

    def predict(self, signature, arrays, outputs, timeout):
        """What a signature answers.

        Args:
          signature: str.
          arrays: dict, name -> array.
          outputs: dict, name -> tf.TensorSpec, of all outputs.
          timeout: float, seconds.

        Returns:
          dict, name -> array.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call(self._stub.Predict, request, timeout)
        return {name: tf.make_ndarray(response.outputs[name]) for name in outputs}

    def _call(self, method, request, timeout):
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise Failure(error.code().name, error.details() or "") from error


class Rest:
    """A server's REST interface to a model, likewise; `timeout` is for how long the server may be silent."""

    NAME = "REST"

    def __init__(self, server, model):
        self._url = f"http://{server}/v1/models/{urllib.parse.quote(model, safe='')}"

    def signature_defs(self, timeout):
        """As `Grpc.signature_defs`."""
        served = self._call("/metadata", None, "metadata", timeout)["signature_def"]
        return {
            name: json_format.ParseDict(
                definition, meta_graph_pb2.SignatureDef(), ignore_unknown_fields=True
            )
            for name, definition in served["signature_def"].items()
        }

    def predict(self, signature, arrays, outputs, timeout):
        """As `Grpc.predict`."""
        inputs = {name: array.tolist() for name, array in arrays.items()}
        body = {"signature_name": signature, "inputs": inputs}
        values = self._call(":predict", body, "outputs", timeout)
        if len(outputs) == 1:  # whose name the server leaves out
            values = dict.fromkeys(outputs, values)
        return {name: _from_json(name, values[name], spec.dtype) for name, spec in outputs.items()}

    def _call(self, path, body, key, timeout):
        """What the JSON object that answers has under a key."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)[key]
        except urllib.error.HTTPError as error:
            status = _STATUS_OF_HTTP.get(error.code, f"HTTP {error.code}")
            raise Failure(status, _sentence(error)) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            late = isinstance(reason, TimeoutError)
            raise Failure("DEADLINE_EXCEEDED" if late else "UNAVAILABLE", str(reason)) from error
        except (KeyError, TypeError, ValueError) as error:
            message = f"no JSON object with {key!r}, as of TensorFlow Serving"
            raise Failure("HTTP 200", message) from error


def _sentence(error):
    """What the server says of an HTTP error."""
    try:
        return json.load(error)["error"]
    except (KeyError, TypeError, ValueError):
        return error.reason


def _from_json(name, values, dtype):
    """The array of an output; strings are bytes in an array of objects, as of gRPC."""
    if dtype != tf.string:
        return np.array(values, dtype.as_numpy_dtype)
    if name.endswith("_bytes"):  # in base 64, each in an object; one a row
        return np.array([base64.b64decode(value["b64"]) for value in values], object)
    return np.vectorize(str.encode, otypes=[object])(values)
