"""A stand-in for tensorflow_model_server: the newest version of a SavedModel, by gRPC and by REST.

    python -m tests.serving.prediction_server --model_base_path DIR/MODEL --port 8500 --rest_api_port 8501

It has Predict and GetModelMetadata, with the status codes and the JSON of TensorFlow Serving, and listens
on the loopback interface alone. Requests are not merged into batches. Nothing here needs `pixelcnn_aux`, nor
may a model that it serves.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import pathlib
import re
import threading
import urllib.parse

import numpy as np
import tensorflow as tf
from absl import app, flags
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

try:
    import grpc
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
except ImportError:
    grpc = None  # REST does without.

FLAGS = flags.FLAGS

HOST = "127.0.0.1"

_HTTP_OF_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.NOT_FOUND: 404,
    tf.errors.FAILED_PRECONDITION: 412,
    tf.errors.UNAVAILABLE: 503,
}
# Where a TensorProto of the server has its values.
_FIELDS = {
    tf.float32: "float_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.string: "string_val",
}


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
                f"Expected versions of a model, folders such as {base_path}/1. Received: none"
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
            raise _invalid(
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
            raise _invalid(
                re.sub("(?s)^Graph execution.*unavailable>\n", "", error.message)
            ) from error


def _invalid(message):
    return tf.errors.InvalidArgumentError(None, None, message)


def _set(names):
    return "{" + ",".join(sorted(names)) + "}"


class PredictionServer:
    """Serves a model until it is stopped, in threads of this process.

    A context manager, which stops it.

    Args:
      servable: `Servable`.
      port, rest_port: int, of gRPC and REST: 0 for any free one, None for none. Afterwards attributes,
        the ports that it listens on.
      workers: int, the gRPC requests that run at once.
    """

    def __init__(self, servable, port=0, rest_port=0, workers=16):
        self._grpc = self._rest = None
        self.port, self.rest_port = port, rest_port
        if port is not None:
            pool = concurrent.futures.ThreadPoolExecutor(workers)
            unlimited = [
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ]
            # Without the last one two servers may share a port.
            self._grpc = grpc.server(pool, options=[*unlimited, ("grpc.so_reuseport", 0)])
            self._grpc.add_generic_rpc_handlers([_grpc_handler(servable)])
            self.port = self._grpc.add_insecure_port(f"{HOST}:{port}")
            self._grpc.start()
        if rest_port is not None:
            self._rest = _RestServer(servable, rest_port)
            self.rest_port = self._rest.server_port
            threading.Thread(target=self._rest.serve_forever, daemon=True).start()

    def stop(self):
        """Stops listening; requests that run are cut off."""
        if self._grpc:
            self._grpc.stop(grace=None).wait()
        if self._rest:
            self._rest.shutdown()
            self._rest.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _grpc_handler(servable):
    """PredictionService over a `Servable`."""

    def check_spec(spec):
        servable.check_spec(spec.name, spec.version.value if spec.HasField("version") else None)

    def fill_spec(spec, signature=""):
        spec.name, spec.signature_name = servable.name, signature
        spec.version.value = servable.version

    def predict(request, context):
        with _aborting(context):
            check_spec(request.model_spec)
            signature = request.model_spec.signature_name or "serving_default"
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            outputs = servable.predict(signature, inputs)
        response = predict_pb2.PredictResponse()
        fill_spec(response.model_spec, signature)
        for name, array in outputs.items():
            _fill_tensor(response.outputs[name], array)
        return response

    def get_model_metadata(request, context):
        with _aborting(context):
            check_spec(request.model_spec)
            if list(request.metadata_field) != ["signature_def"]:
                raise _invalid(
                    f"Metadata field {','.join(request.metadata_field)} is not supported"
                )
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        fill_spec(response.model_spec)
        served = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
        response.metadata["signature_def"].Pack(served)
        return response

    def handler(method, request):
        return grpc.unary_unary_rpc_method_handler(
            method, request.FromString, lambda response: response.SerializeToString()
        )

    return grpc.method_handlers_generic_handler(
        "tensorflow.serving.PredictionService",
        {
            "Predict": handler(predict, predict_pb2.PredictRequest),
            "GetModelMetadata": handler(
                get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest
            ),
        },
    )


@contextlib.contextmanager
def _aborting(context):
    """Within it, TensorFlow's errors end a call with their status, whose numbers are gRPC's."""
    try:
        yield
    except tf.errors.OpError as error:
        [status] = [code for code in grpc.StatusCode if code.value[0] == error.error_code]
        context.abort(status, error.message)


def _fill_tensor(proto, array):
    """Fills a TensorProto as the server does: in the fields of its dtype, not in `tensor_content`."""
    dtype = tf.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    getattr(proto, _FIELDS[dtype]).extend(array.ravel().tolist())


class _RestServer(http.server.ThreadingHTTPServer):
    """The REST front of a `Servable`: predict, in the columnar form, and metadata."""

    request_queue_size = 128

    def __init__(self, servable, port):
        super().__init__((HOST, port), _RestHandler)
        self.servable = servable

    def handle_error(self, request, client_address):
        """Says nothing of clients that went away."""


class _RestHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(r"/v1/models/([^/:]+)/metadata", self._metadata)

    def do_POST(self):
        self._answer(r"/v1/models/([^/:]+):predict", self._predict)

    def _answer(self, pattern, method):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            match = re.fullmatch(pattern, self.path)
            if not match:
                raise _invalid(f"Malformed request: {self.command} {self.path}")
            self.server.servable.check_spec(urllib.parse.unquote(match[1]))
            status, answer = 200, method(body)
        except tf.errors.OpError as error:
            status, answer = _HTTP_OF_STATUS.get(error.error_code, 500), {"error": error.message}
        content = json.dumps(answer, indent=4).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _metadata(self, body):
        del body
        servable = self.server.servable
        spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
        signature_defs = {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in servable.signature_defs.items()
        }
        return {
            "model_spec": spec,
            "metadata": {"signature_def": {"signature_def": signature_defs}},
        }

    def _predict(self, body):
        servable = self.server.servable
        try:
            request = json.loads(body)
        except ValueError as error:
            raise _invalid(f"JSON Parse error: {error}") from error
        if "inputs" not in request:
            raise _invalid("Missing 'inputs' or 'instances' key")
        signature = request.get("signature_name", "serving_default")
        if signature not in servable.signature_defs:
            raise _invalid(f'Serving signature name: "{signature}" not found in signature def')
        inputs = {}
        for name, info in servable.signature_defs[signature].inputs.items():
            if name not in request["inputs"]:
                raise _invalid(f"Missing named input: {name} in 'inputs' object.")
            inputs[name] = _from_json(request["inputs"][name], tf.as_dtype(info.dtype))
        outputs = {
            name: _to_json(name, array)
            for name, array in servable.predict(signature, inputs).items()
        }
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}

    def log_message(self, *_):
        """Logs nothing."""


def _from_json(values, dtype):
    """The array of a JSON list, of numbers that the dtype has."""
    try:
        array = np.array(values)
        if dtype.is_integer and array.size and array.dtype.kind != "i":
            raise TypeError("a number that is not whole, or no number")
        return np.array(values, dtype.as_numpy_dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise _invalid(f"JSON Value is not of expected type: {dtype.name} ({error})") from error


def _to_json(name, array):
    if name.endswith("_bytes") and array.dtype == object:
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return array.tolist()


def main(argv):
    del argv
    server = PredictionServer(Servable(FLAGS.model_base_path), FLAGS.port, FLAGS.rest_api_port)
    print(f"Serving at {HOST}: gRPC {server.port}, REST {server.rest_port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    flags.DEFINE_string("model_base_path", None, "DIR/MODEL; the newest version.", required=True)
    flags.DEFINE_integer("port", 8500, "Of gRPC; 0 for a free one.")
    flags.DEFINE_integer("rest_api_port", None, "Of REST, likewise; without it there is none.")
    app.run(main)
