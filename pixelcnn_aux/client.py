"""Images and likelihoods of a model that TensorFlow Serving serves, for example

    python -m pixelcnn_aux.client --server HOST:8500 --model NAME sample --num 16 --out grid.png

COMMAND is one of

    sample         draws images, each above the auxiliary images that it was drawn from
    colorize IMG  an image file, its 4-bit grays, and images drawn given those
    complete IMG   an image file, its upper half, and images drawn given that
    bpd IMG...     bits per dimension of image files: each factor, their total, and means over the files

The server is asked by gRPC or, with --rest, by REST (HOST:8501). Image files of another size than the
model's are cropped and resized as those of `--dataset folder`. In Python:

    client = Client("localhost:8500", "grayscale-demo-photos")
    client.predict("log_prob", image=images)["bits_per_dim"]  # images: uint8 [N, H, W, 3]
"""

import base64
import http.client
import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags
from google.protobuf import json_format
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2

from pixelcnn_aux import auxiliary, data, program

try:
    import grpc
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
except ImportError:
    grpc = None  # REST does without.

FLAGS = flags.FLAGS

BATCH_SIZE = 16  # the most images a request, so that an answer stays small and comes in time
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between attempts to reach a server

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
_OTHER_ERROR = RuntimeError, "Expected an answer of {server}. Received: {status} ({message})"


class Signature(NamedTuple):
    """What a served function takes and returns: dicts, name -> tf.TensorSpec, of [N, ...]."""

    inputs: dict
    outputs: dict


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
      ValueError: no such model, no such signature, inputs that do not fit. What the signature tells
        about them is checked before anything is sent, since a server that merges requests fails all of
        them where one is at fault.
      RuntimeError: any other status of the server.
    """

    def __init__(self, server, model, rest=False, timeout=60.0):
        if not re.fullmatch(r"\S+:\d+", server):
            raise ValueError(f"Expected a server as HOST:PORT. Received: {server!r}")
        self.server = server
        self.model = model
        self.timeout = timeout
        self._protocol = (_Rest if rest else _Grpc)(server, model)
        self._metadata = None

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
        answers = []
        for first in range(0, len(next(iter(arrays.values()))), BATCH_SIZE):
            rows = {name: array[first : first + BATCH_SIZE] for name, array in arrays.items()}
            answers.append(self._ask(self._protocol.predict, signature, rows, outputs))
        return {name: np.concatenate([answer[name] for answer in answers]) for name in outputs}

    def _ask(self, request, *arguments):
        """The answer to a request, repeated after ever longer pauses while there is no server for it."""
        deadline = time.monotonic() + self.timeout
        for pause in (*PAUSES, math.inf):
            left = max(deadline - time.monotonic(), 1e-3)
            try:
                return request(*arguments, timeout=left)
            except _Failure as failure:
                if failure.status != "UNAVAILABLE" or time.monotonic() + pause >= deadline:
                    raise self._error(failure) from failure
            time.sleep(pause)

    def _error(self, failure):
        """The exception that says what a `_Failure` means and what to do."""
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
    """The arrays that a signature with these inputs takes, or a ValueError."""
    if arrays.keys() != inputs.keys():
        raise ValueError(f"Expected the inputs {sorted(inputs)}. Received: {sorted(arrays)}")
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, spec in inputs.items():
        _check_array(name, arrays[name], spec)
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"Expected as many rows in every input, at least one. Received: {counts}")
    return arrays


def _check_array(name, array, spec):
    if array.dtype != spec.dtype.as_numpy_dtype or not spec.shape.is_compatible_with(array.shape):
        raise ValueError(
            f"Expected {name} as {spec.dtype.name} [N{''.join(f', {n}' for n in spec.shape[1:])}]. "
            f"Received: {array.dtype.name} {list(array.shape)}"
        )
    if spec.dtype.is_floating and not np.isfinite(array).all():
        raise ValueError(f"Expected finite values of {name}. Received: {array}")
    if spec.shape.rank == 4 and spec.shape[-1] == 1:
        # Of one channel there are masks, and grays of 4 bits.
        auxiliary.check_images(array, num_values=2 if name == "mask" else 16, what=name)


class _Failure(Exception):
    """A request that was not answered: the name of its gRPC status, and what the server says of it."""

    def __init__(self, status, message):
        super().__init__(status, message)
        self.status = status
        self.message = message


class _Grpc:
    """A server's gRPC interface to a model. All requests raise `_Failure`."""

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
        """dict, name -> SignatureDef."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = self._model
        response = self._call(self._stub.GetModelMetadata, request, timeout)
        served = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(served)
        return dict(served.signature_def)

    def predict(self, signature, arrays, outputs, timeout):
        """dict, name -> array, of the `outputs`, which are a dict, name -> tf.TensorSpec."""
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
            raise _Failure(error.code().name, error.details() or "") from error


class _Rest:
    """A server's REST interface to a model, likewise."""

    NAME = "REST"

    def __init__(self, server, model):
        self._url = f"http://{server}/v1/models/{urllib.parse.quote(model, safe='')}"

    def signature_defs(self, timeout):
        served = self._call("/metadata", None, "metadata", timeout)["signature_def"]
        return {
            name: json_format.ParseDict(
                definition, meta_graph_pb2.SignatureDef(), ignore_unknown_fields=True
            )
            for name, definition in served["signature_def"].items()
        }

    def predict(self, signature, arrays, outputs, timeout):
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
            raise _Failure(status, _sentence(error)) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            late = isinstance(reason, TimeoutError)
            raise _Failure("DEADLINE_EXCEEDED" if late else "UNAVAILABLE", str(reason)) from error
        except (KeyError, TypeError, ValueError) as error:
            message = f"no JSON object with {key!r}, as of TensorFlow Serving"
            raise _Failure("HTTP 200", message) from error


def _sentence(error):
    """What the server says of an HTTP error."""
    try:
        return json.load(error)["error"]
    except (KeyError, TypeError, ValueError):
        return error.reason


def _from_json(name, values, dtype):
    """The array [N, ...] of an output; one of binary strings is [N]."""
    if dtype == tf.string and name.endswith("_bytes"):
        values = [base64.b64decode(value["b64"]) for value in values]
    return np.array(values, dtype.as_numpy_dtype)


def sample(client):
    """Draws images: the picture has each above its auxiliary images."""
    drawn = client.predict(
        "sample",
        seed=_seeds(),
        log_scale_shift=np.full(FLAGS.num, FLAGS.log_scale_shift, np.float32),
    )
    shapes = {name: images.shape[1:] for name, images in drawn.items()}
    columns = [drawn["image"], *(drawn[name] for name in reversed(_auxiliaries(shapes)))]
    _write([list(images) for images in zip(*columns)])


def colorize(client, file):
    """Draws colors: the picture has the file's image, its grays, and the draws."""
    image = _read(client, "given_grayscale", "auxiliary", file)
    [grays] = auxiliary.Grayscale(bits=4)(image[None]).numpy()
    drawn = client.predict("given_grayscale", seed=_seeds(), auxiliary=_repeated(grays))
    _write([[tile] for tile in (image, grays, *drawn["image"])])


def complete(client, file):
    """Draws lower halves: the picture has the file's image, what is kept of it, and the draws."""
    image = _read(client, "complete", "image", file)
    mask = np.zeros((*image.shape[:2], 1), np.uint8)
    mask[: len(mask) // 2] = 1
    drawn = client.predict("complete", seed=_seeds(), image=_repeated(image), mask=_repeated(mask))
    masked = np.where(mask, image, np.uint8(127))
    _write([[tile] for tile in (image, masked, *drawn["image"])])


def bpd(client, *files):
    """Prints a line for each file, and one of means."""
    images = [_read(client, "log_prob", "image", file) for file in files]
    answer = client.predict("log_prob", image=np.stack(images))
    specs = client.signature("sample").outputs
    chain = _auxiliaries({name: spec.shape[1:] for name, spec in specs.items()})
    prefix = "bits_per_dim_"
    names = [name.removeprefix(prefix) for name in answer if name.startswith(prefix)]
    names.sort(key=lambda name: chain.index(name) if name in chain else len(chain))
    columns = [*(answer[prefix + name] for name in names), answer["bits_per_dim"]]
    width = max(map(len, [*files, "file"]))
    print(f"{'file':{width}}", *(f"{name:>16}" for name in [*names, "total"]))
    for label, *bits in [*zip(files, *columns), ("mean", *map(np.mean, columns))]:
        print(f"{label:{width}}", *(f"{value:16.4f}" for value in bits))


def _seeds():
    """int32 [num, 2]: (seed, 0), (seed, 1), ..."""
    return np.array([(FLAGS.seed, index) for index in range(FLAGS.num)], np.int32)


def _repeated(image):
    return np.repeat(image[None], FLAGS.num, axis=0)


def _read(client, signature, name, file):
    """uint8 [H, W, 3]: an image file, in the size of that input of a signature."""
    return data.read_image(file, client.signature(signature).inputs[name].shape[1:3])


def _auxiliaries(shapes):
    """The names of auxiliary images in the order of the chain: of a dict, name -> [h, w, c] or other."""
    names = shapes.keys() - {"image", "image_png_bytes"}
    return sorted(names, key=lambda name: math.prod(shapes[name]))


def _write(tiles):
    """Writes the picture of a list of tiles, each a list of images that are shown one above the other."""
    height, width, _ = tiles[0][0].shape
    tiles = [np.concatenate([_shown(image, height, width) for image in tile]) for tile in tiles]
    columns = math.ceil(math.sqrt(len(tiles)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    picture = np.concatenate(rows).repeat(3, axis=0).repeat(3, axis=1)
    Image.fromarray(picture).save(FLAGS.out)
    print(f"Wrote {FLAGS.out}")


def _shown(image, height, width):
    """uint8 [H + 2, W + 2, 3]: an image of a chain, colors or 4-bit grays, in a white frame."""
    if image.shape[-1] == 1:
        image = np.repeat(17 * image, 3, axis=-1)
    image = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
    return np.pad(np.asarray(image), ((1, 1), (1, 1), (0, 0)), constant_values=255)


# Of each command, the function, and how many files it takes.
COMMANDS = {
    "sample": (sample, range(1)),
    "colorize": (colorize, range(1, 2)),
    "complete": (complete, range(1, 2)),
    "bpd": (bpd, range(1, sys.maxsize)),
}


def main(name, *files):
    if name not in COMMANDS:
        raise ValueError(f"Expected a command of {', '.join(COMMANDS)}. Received: {name!r}")
    command, counts = COMMANDS[name]
    if len(files) not in counts:
        expected = f"{counts.start} or more" if len(counts) > 1 else counts.start
        raise ValueError(f"Expected {name} with {expected} image files. Received: {list(files)}")
    if command is not bpd:
        _check_out()
    command(Client(FLAGS.server, FLAGS.model, FLAGS.rest, FLAGS.timeout), *files)


def _check_out():
    """Finds before anything is drawn that the picture could not be written."""
    out = pathlib.Path(FLAGS.out or "")
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise ValueError(
            f"Expected --out as a name that ends in .png, in a folder that exists. Received: {FLAGS.out}"
        )


def define_flags():
    flags.DEFINE_string("server", None, "HOST:PORT of TensorFlow Serving.", required=True)
    flags.DEFINE_string("model", None, "The name that it serves the model by.", required=True)
    flags.DEFINE_bool("rest", False, "Asks by REST instead of gRPC; the ports differ.")
    flags.DEFINE_float("timeout", 60.0, "Seconds a request.", lower_bound=0.001)
    flags.DEFINE_string("out", None, "The picture, a PNG file; an older one is replaced.")
    flags.DEFINE_integer("num", 16, "How many images to draw.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of all draws.", lower_bound=-(2**31), upper_bound=2**31 - 1)
    flags.DEFINE_float("log_scale_shift", 0.0, "Of sample: below 0 the images vary less.")


if __name__ == "__main__":
    define_flags()
    program.run(main, ["COMMAND", "IMG..."])
