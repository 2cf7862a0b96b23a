"""The REST interface of the stand-in for tensorflow_model_server."""

import base64
import http.server
import json
import re
import urllib.parse

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from pixelcnn_aux.testing.servable import invalid

_HTTP_OF_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.NOT_FOUND: 404,
    tf.errors.FAILED_PRECONDITION: 412,
    tf.errors.UNAVAILABLE: 503,
}


class RestServer(http.server.ThreadingHTTPServer):
    """The REST front of a `Servable`: predict, in the columnar form, and metadata."""

    request_queue_size = 128

    def __init__(self, servable, host, port):
        super().__init__((host, port), _RestHandler)
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
                raise invalid(f"Malformed request: {self.command} {self.path}")
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
        except (ValueError, RecursionError) as error:
            raise invalid(f"JSON Parse error: {error}") from error
        if not isinstance(request, dict) or not isinstance(request.get("inputs"), dict):
            raise invalid("Missing 'inputs' or 'instances' key, or no object under it")
        signature = request.get("signature_name", "serving_default")
        if not isinstance(signature, str) or signature not in servable.signature_defs:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        inputs = {}
        for name, info in servable.signature_defs[signature].inputs.items():
            if name not in request["inputs"]:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
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
        if array.size and array.dtype.kind not in ("i" if dtype.is_integer else "if"):
            raise TypeError("a number that is not whole, or no number")
        return np.array(values, dtype.as_numpy_dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise invalid(f"JSON Value is not of expected type: {dtype.name} ({error})") from error


def _to_json(name, array):
    """JSON lists; of strings, in base 64 those that an output's name says are binary."""
    if array.dtype == object:
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(value).decode()} for value in array]
        array = np.vectorize(bytes.decode, otypes=[object])(array)
    return array.tolist()
