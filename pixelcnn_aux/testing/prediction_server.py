"""A stand-in for tensorflow_model_server: the newest version of a SavedModel, by gRPC and by REST.

    python -m pixelcnn_aux.testing.prediction_server --model_base_path DIR/MODEL --port 8500

It has Predict and GetModelMetadata, with the status codes and the JSON of TensorFlow Serving, and listens
on the loopback interface alone. Requests are not merged into batches.
"""

import concurrent.futures
import contextlib
import threading

import tensorflow as tf
from absl import app, flags

from pixelcnn_aux.serving import answers
from pixelcnn_aux.testing.rest_server import RestServer
from pixelcnn_aux.testing.servable import Servable, invalid

try:
    import grpc
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2
except ImportError:
    grpc = None  # REST does without.

FLAGS = flags.FLAGS

HOST = "127.0.0.1"
_AT_ONCE = 16  # requests by gRPC


class PredictionServer:
    """Serves a model until it is stopped, in threads of this process.

    A context manager, which stops it.

    Args:
      servable: `Servable`.
      port, rest_port: int, of gRPC and REST: 0 for any free one, None for none. Afterwards attributes,
        the ports that it listens on.

    Raises:
      ImportError: for a port of gRPC without tensorflow-serving-api.
    """

    def __init__(self, servable, port=0, rest_port=0):
        self._grpc = self._rest = None
        self.port, self.rest_port = port, rest_port
        if port is not None:
            if grpc is None:
                raise ImportError(
                    "Expected tensorflow-serving-api for gRPC. Received: no such package. Do pip install "
                    "'pixelcnn_aux[serving]', or give no port of gRPC."
                )
            pool = concurrent.futures.ThreadPoolExecutor(_AT_ONCE)
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
            self._rest = RestServer(servable, HOST, rest_port)
            self.rest_port = self._rest.server_port
            # Polled often, for it stops no sooner than it is polled.
            threading.Thread(target=self._rest.serve_forever, args=[0.02], daemon=True).start()

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
                raise invalid(f"Metadata field {','.join(request.metadata_field)} is not supported")
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
    getattr(proto, answers.FIELDS[dtype]).extend(array.ravel().tolist())


def main(argv):
    del argv
    port = 8500 if grpc and FLAGS.port is None else FLAGS.port
    server = PredictionServer(Servable(FLAGS.model_base_path), port, FLAGS.rest_api_port)
    print(f"Serving at {HOST}: gRPC {server.port}, REST {server.rest_port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    flags.DEFINE_string("model_base_path", None, "DIR/MODEL; the newest version.", required=True)
    flags.DEFINE_integer(
        "port",
        None,
        "Of gRPC; 0 for a free one. 8500 if unset, where tensorflow-serving-api is there.",
    )
    flags.DEFINE_integer("rest_api_port", None, "Of REST, likewise; without it there is none.")
    app.run(main)
