"""A stand-in for tensorflow_model_server: the newest version of a SavedModel, by gRPC.

    python -m tests.serving.model_server --model_base_path DIR/MODEL --port 8500

It has Predict and GetModelMetadata, with the status codes of TensorFlow Serving, and listens on the loopback
interface alone. Requests are not merged into batches.
"""

import concurrent.futures
import contextlib
import pathlib
import threading

import grpc
import tensorflow as tf
from absl import app, flags
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from pixelcnn_aux.serving.grpc_client import FIELDS

FLAGS = flags.FLAGS
HOST = "127.0.0.1"


class Servable:
    """The newest version in DIR/MODEL: its `name`, MODEL, and its `signature_defs` by name."""

    def __init__(self, base_path):
        base_path = pathlib.Path(base_path).absolute()
        newest = max(int(path.name) for path in base_path.iterdir() if path.name.isdecimal())
        path = base_path / str(newest)
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
        self.name = base_path.name
        self.signature_defs = dict(saved.meta_graphs[0].signature_def)
        self._signatures = tf.saved_model.load(path).signatures

    def predict(self, signature, inputs):
        """Outputs of a signature from its inputs: dict, name -> array."""
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        outputs = self._signatures[signature](**tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def serving(servable, port=0):
    """Serves a `Servable`, or a stand-in for one, by gRPC: HOST:PORT."""

    def check(spec):
        if spec.name != servable.name:
            message = f"Servable not found for request: Latest({spec.name})"
            raise tf.errors.NotFoundError(None, None, message)

    def predict(request):
        check(request.model_spec)
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for name, array in servable.predict(request.model_spec.signature_name, inputs).items():
            # As the server does: in the fields of its dtype, not in `tensor_content`.
            proto, dtype = response.outputs[name], tf.as_dtype(array.dtype)
            proto.dtype = dtype.as_datatype_enum
            proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
            getattr(proto, FIELDS[dtype.name]).extend(array.ravel().tolist())
        return response

    def metadata(request):
        check(request.model_spec)
        return metadata_response(servable.signature_defs)

    parse = get_model_metadata_pb2.GetModelMetadataRequest.FromString
    methods = {
        "Predict": (predict, predict_pb2.PredictRequest.FromString),
        "GetModelMetadata": (metadata, parse),
    }
    return answering(methods, port)


def metadata_response(signature_defs):
    """The GetModelMetadataResponse of a dict, name -> SignatureDef."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    served = get_model_metadata_pb2.SignatureDefMap(signature_def=signature_defs)
    response.metadata["signature_def"].Pack(served)
    return response


@contextlib.contextmanager
def answering(methods, port=0, compression=None):
    """Serves gRPC's PredictionService: HOST:PORT.

    `methods` is a dict, name -> (function of a request that returns a message or bytes; its parser).
    """

    def handler(method, parse):
        def answer(request, context):
            try:
                answer = method(request)
                return answer if isinstance(answer, bytes) else answer.SerializeToString()
            except tf.errors.OpError as error:  # whose numbers are gRPC's
                [status] = [code for code in grpc.StatusCode if code.value[0] == error.error_code]
                context.abort(status, error.message)

        return grpc.unary_unary_rpc_method_handler(answer, parse)

    options = {"grpc.max_send_message_length": -1, "grpc.max_receive_message_length": -1}
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(16),
        options=[*options.items(), ("grpc.so_reuseport", 0)],
        compression=compression,
    )
    handlers = {name: handler(*method) for name, method in methods.items()}
    service = "tensorflow.serving.PredictionService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    try:
        yield f"{HOST}:{port}"
    finally:
        server.stop(grace=None).wait()


def main(argv):
    del argv
    servable = Servable(FLAGS.model_base_path)
    with serving(servable, FLAGS.port) as address:
        print(f"Serving at {address}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    flags.DEFINE_string("model_base_path", None, "DIR/MODEL; the newest version.", required=True)
    flags.DEFINE_integer("port", 8500, "Of gRPC; 0 for a free one.")
    app.run(main)
