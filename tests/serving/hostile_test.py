"""Tests that the client trusts no server: toy servers on the loopback interface that answer wrongly."""

import base64
import concurrent.futures
import json
import math
import socket
import threading
import time
import unittest
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2

from pixelcnn_aux.serving import answers, client, protocols
from pixelcnn_aux.testing import prediction_server
from tests.serving.toy import HEIGHT, NEEDS_GRPC, WIDTH, drawn_images

if protocols.grpc is not None:
    import grpc
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

IMAGE = drawn_images([[0, 1], [0, 2]])
RIGHT = {  # of the signature log_prob
    "log_prob": [-3.5, -math.inf],
    "bits_per_dim": [2.5, math.inf],
    **{"log_prob_gray": [-1, -2], "bits_per_dim_gray": [1, 2]},
    **{"log_prob_image": [-2.5, -math.inf], "bits_per_dim_image": [1.5, math.inf]},
}


def info(dtype, *shape):
    """The JSON of a TensorInfo."""
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size)} for size in shape]}}


def definitions():
    """dict, name -> JSON of a SignatureDef: a little of what an export has."""
    image, gray = info("DT_UINT8", -1, HEIGHT, WIDTH, 3), info("DT_UINT8", -1, HEIGHT, WIDTH, 1)
    seed, described = info("DT_INT32", -1, 2), info("DT_STRING", -1, 2)
    how = {"seed": seed, "log_scale_shift": info("DT_FLOAT", -1)}
    drawn = {"image": image, "image_png_bytes": info("DT_STRING", -1)}
    return {
        "auxiliaries": {
            "inputs": {"image": image},
            "outputs": {
                "gray": gray,
                "factors": described,
                "num_values": seed,
                "max_batch": info("DT_INT32", -1),
            },
        },
        "sample": {
            "inputs": how,
            "outputs": {"gray": gray, **drawn},
        },
        "given_gray": {"inputs": {**how, "auxiliary": gray}, "outputs": drawn},
        "log_prob": {
            "inputs": {"image": image},
            "outputs": {name: info("DT_FLOAT", -1) for name in RIGHT},
        },
    }


def right_answer(signature, rows):
    """dict, name -> array: what an export might answer."""
    image, gray = np.zeros([rows, HEIGHT, WIDTH, 3], np.uint8), np.zeros([rows, HEIGHT, WIDTH, 1])
    return {
        "auxiliaries": {
            "gray": gray.astype(np.uint8),
            "factors": np.array([[b"gray", b"image"]] * rows, object),
            "num_values": np.array([[16, 256]] * rows, np.int32),
            "max_batch": np.full(rows, 16, np.int32),
        },
        "sample": {
            "image": image,
            "gray": gray.astype(np.uint8),
            "image_png_bytes": np.array([b"\x89PNG"] * rows, object),
        },
        "log_prob": {name: np.array(values[:rows], np.float32) for name, values in RIGHT.items()},
    }[signature]


class Served:
    """Stands in for a `Servable`: answers as it is told to."""

    name, version = "toy", 1

    def __init__(self):
        self.definitions = definitions()
        self.changes = {}  # of the answer of a signature: dict, name -> array, or None to leave it out

    @property
    def signature_defs(self):
        graph = json_format.ParseDict(
            {"signature_def": self.definitions}, meta_graph_pb2.MetaGraphDef()
        )
        return dict(graph.signature_def)

    def check_spec(self, *_):
        pass

    def predict(self, signature, inputs):
        answer = right_answer(signature, len(next(iter(inputs.values()))))
        answer.update(self.changes.get(signature, {}))
        return {name: array for name, array in answer.items() if array is not None}


def ask(address, signature, rest, timeout=20.0):
    """What a new client gets, of two rows."""
    how = {"seed": np.zeros([2, 2], np.int32), "log_scale_shift": np.zeros(2, np.float32)}
    inputs = {
        "log_prob": {"image": IMAGE},
        "auxiliaries": {"image": IMAGE},
        "given_gray": {**how, "auxiliary": IMAGE[..., :1] // 16},
        "sample": how,
    }
    return client.Client(address, "toy", rest, timeout).predict(signature, **inputs[signature])


class HostileTests:
    """What both protocols share; `REST` says by which one they ask."""

    REST = None

    def assert_refused(self, address, signature, kind, message, timeout=20.0):
        """That asking ends soon, in one line."""
        start = time.monotonic()
        with self.assertRaisesRegex(kind, message) as caught:
            ask(address, signature, self.REST, timeout)
        self.assertLess(time.monotonic() - start, 10.0)
        said = str(caught.exception)
        self.assertIn(address, said)
        self.assertRegex(said, r"^Expected [\s\S]* Received: ")
        self.assertTrue(said.isprintable(), said)
        self.assertLess(len(said), 1200)


class AnswerTests(HostileTests):
    """Answers that a server can put in either protocol."""

    def setUp(self):
        super().setUp()
        self.served = Served()
        ports = {"port": None} if self.REST else {"rest_port": None}
        server = self.enter_context(prediction_server.PredictionServer(self.served, **ports))
        self.address = f"127.0.0.1:{server.rest_port if self.REST else server.port}"

    def test_right_answers(self):
        for signature in ("auxiliaries", "sample", "log_prob"):
            answer, expected = ask(self.address, signature, self.REST), right_answer(signature, 2)
            self.assertCountEqual(answer, expected)
            for name, array in expected.items():
                self.assertEqual(answer[name].dtype, array.dtype)
                self.assertAllEqual(answer[name], array)

    def test_large_rows_are_asked_for_one_by_one(self):
        served = answers.signatures(self.served.signature_defs)
        one = max(answers.most_bytes(signature.outputs, 1) for signature in served.values())
        self.enter_context(mock.patch.object(answers, "MAX_BYTES", one))
        requests = self.enter_context(
            mock.patch.object(self.served, "predict", wraps=self.served.predict)
        )
        self.assertLen(ask(self.address, "sample", self.REST)["image"], 2)
        asked = [call.args[0] for call in requests.mock_calls]
        self.assertEqual(asked, ["auxiliaries", "sample", "sample"])

    def test_wrong_answers(self):
        gray = np.zeros([2, HEIGHT, WIDTH, 1], np.uint8)
        image = np.zeros([2, HEIGHT, WIDTH, 3], np.uint8)
        floats = np.zeros(2, np.float32)
        for signature, changes, message in (
            ("log_prob", {"bits_per_dim": None}, r"outputs \['bits_per_dim', 'bits_per_dim_gray'"),
            ("log_prob", {"more": floats}, "Received: .*'more'"),
            ("log_prob", {"log_prob": floats[:1]}, r"log_prob in \[2\].* Received: \[1\]"),
            ("log_prob", {"log_prob": np.zeros(3, np.float32)}, r"Received: \[3\]"),
            ("log_prob", {"log_prob": floats[:0]}, r"Received: \[0\]"),
            ("log_prob", {"log_prob": floats[:, None]}, r"Received: \[2, 1\]"),
            ("log_prob", {"log_prob": floats[0]}, r"Received: \[\]"),
            ("log_prob", {"log_prob": np.array([b"1", b"2"], object)}, "log_prob as .*float32"),
            ("log_prob", {"log_prob": floats + np.nan}, "at most 0 nats.* Received: nan"),
            ("log_prob", {"log_prob": floats + np.inf}, "at most 0 nats.* Received: inf"),
            ("log_prob", {"log_prob_gray": floats + 1}, "at most 0 nats.* Received: 1.0"),
            ("log_prob", {"bits_per_dim": floats - np.inf}, "at least 0.* Received: -inf"),
            ("log_prob", {"bits_per_dim": floats + np.nan}, "at least 0.* Received: nan"),
            ("log_prob", {"bits_per_dim_image": floats - 1}, "at least 0.* Received: -1.0"),
            ("sample", {"image": image.astype(np.float32)}, "image as .*uint8"),
            ("sample", {"image": image.astype(np.int32) + 256}, "image as .*uint8"),
            ("sample", {"image": image[:, :, :5]}, r"image in \[2, 4, 6, 3\].*\[2, 4, 5, 3\]"),
            ("sample", {"image": image[:1]}, r"Received: \[1, 4, 6, 3\]"),
            ("sample", {"gray": gray + 16}, "values of gray from 0 to 15.* Received: 16"),
            ("sample", {"image_png_bytes": floats}, "image_png_bytes as"),
            ("auxiliaries", {"gray": gray[:1] + 16}, "values of gray from 0 to 15.* Received: 16"),
            ("auxiliaries", {"num_values": np.array([[0, 256]], np.int32)}, "1 to 256 values"),
            ("auxiliaries", {"num_values": np.array([[16, 257]], np.int32)}, "1 to 256 values"),
            ("auxiliaries", {"num_values": np.array([[16]], np.int32)}, r"num_values in \[1, 2\]"),
            ("auxiliaries", {"max_batch": np.zeros(1, np.int32)}, "max_batch of 1 or more.*: 0"),
            ("auxiliaries", {"max_batch": np.full(1, -16, np.int32)}, "max_batch of 1 .*: -16"),
            ("auxiliaries", {"max_batch": floats[:1] + 0.5}, "max_batch as .*int32"),
            ("auxiliaries", {"max_batch": None}, "outputs .*'max_batch'"),
            *(
                ("auxiliaries", {"factors": np.array([factors], object)}, message)
                for factors, message in (
                    ([b"gray", b"gray"], "factors of the images"),
                    ([b"green", b"image"], "factors of the images"),
                    ([b"image", b"gray"], "factors of the images"),
                    ([b"gray", b"\x1b[2Jimage"], "printable characters"),
                )
            ),
        ):
            with self.subTest(signature=signature, changes=str(changes)[:80]):
                self.served.changes = {signature: changes}
                self.assert_refused(self.address, signature, RuntimeError, message)

    def test_auxiliary_images_that_are_none(self):
        self.served.definitions["auxiliaries"]["outputs"]["more"] = info("DT_FLOAT", -1)
        self.served.changes["auxiliaries"] = {"more": np.zeros(1, np.float32)}
        message = r"images \['gray', 'more'\] and of the full one.* Received: \['gray', 'image'\]"
        self.assert_refused(self.address, "sample", RuntimeError, message)

    def test_wrong_metadata(self):
        image = ("DT_UINT8", -1, HEIGHT, WIDTH, 3)
        unknown = {"dtype": "DT_UINT8", "tensor_shape": {"unknown_rank": True}}
        for signature, role, name, changed, message in (
            ("sample", "outputs", "image", info("DT_HALF", *image[1:]), "uint8, int32, float32"),
            ("sample", "outputs", "image", info(9999, *image[1:]), "dtype 9999"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, -1, 6, 3), r"\[-1, -1, 6, 3\]"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, 4, -6, 3), r"\[-1, 4, -6, 3\]"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, 0, 6, 3), r"\[-1, 0, 6, 3\]"),
            ("sample", "outputs", "image", info("DT_UINT8", 2, 4, 6, 3), r"\[2, 4, 6, 3\]"),
            ("sample", "outputs", "image", info("DT_UINT8"), r"\[N, ...\].*\[None\]"),
            ("sample", "outputs", "image", unknown, r"\[N, ...\].*\[None\]"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, 2**62, 2**62, 3), "bytes a row"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, 2000, 2000, 3), "bytes a row"),
            ("sample", "inputs", "seed", info("DT_INT32", -1, 2**40), "bytes a row"),
            ("sample", "outputs", "image", info("DT_UINT8", -1, 6, 4, 3), "image of .* sample"),
            ("sample", "outputs", "image", info("DT_FLOAT", *image[1:]), "image of .* sample"),
            ("sample", "outputs", "gray", None, "gray of .* sample .* Received: None"),
            ("sample", "outputs", "\x1b[2J", info("DT_FLOAT", -1), "printable characters"),
            ("log_prob", "outputs", "bits_per_dim_gray", None, "bits_per_dim_gray of"),
            ("log_prob", "outputs", "bits_per_dim", info("DT_STRING", -1), "bits_per_dim of"),
            ("log_prob", "inputs", "auxiliary", info(*image), "auxiliary of .* log_prob as None"),
            ("given_gray", "inputs", "auxiliary", info(*image), "auxiliary of .* given_gray"),
            ("auxiliaries", "inputs", "image", None, "tensors of .* 'auxiliaries'.*none"),
            ("auxiliaries", "inputs", "seed", info(*image), "input image alone"),
            ("auxiliaries", "inputs", "image", info("DT_FLOAT", -1, 4, 6, 3), "with image, uint8"),
            ("auxiliaries", "outputs", "factors", None, "with factors, string"),
            ("auxiliaries", "outputs", "num_values", info("DT_INT32", -1), "with num_values, int"),
            ("auxiliaries", "outputs", "max_batch", None, "with max_batch, int32"),
            ("auxiliaries", "outputs", "max_batch", info("DT_FLOAT", -1), "with max_batch, int32"),
            ("auxiliaries", "outputs", "more", info("DT_UINT8", -1, 3), "the outputs"),
        ):
            with self.subTest(signature=signature, role=role, name=name, message=message):
                self.served.definitions = definitions()
                tensors = dict(self.served.definitions[signature][role])
                tensors[name] = changed
                self.served.definitions[signature][role] = {
                    key: value for key, value in tensors.items() if value is not None
                }
                self.assert_refused(self.address, "sample", RuntimeError, message)


def http_answer(content, status="200 OK", headers=""):
    """bytes of an HTTP answer, with a length unless it has headers of its own."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = headers or f"Content-Length: {len(content)}\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + content


def in_metadata(served):
    return {"signature_def": {"signature_def": served}}


def endless(head, piece, pause=0.0):
    """An endless answer, which ends where the client does."""
    yield head
    while True:
        yield piece
        time.sleep(pause)


class RawServer:
    """A TCP server that answers each request with bytes, whatever they are.

    Args:
      answers: dict, end of a path -> bytes, or a function that gives an iterable of bytes, or None to be
        silent.

    Attributes:
      requests: list of bytes, what it was asked.
      sent: int, bytes of the answers.
    """

    def __init__(self, answers):
        self.answers, self.requests, self.sent = answers, [], 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=[connection], daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection):
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(2**16)
            self.requests.append(request)
            path = request.split()[1].decode()
            [answer] = [value for end, value in self.answers.items() if path.endswith(end)]
            pieces = [answer] if isinstance(answer, bytes) else answer()
            try:
                for piece in pieces or ():
                    connection.sendall(piece)
                    self.sent += len(piece)
                if pieces is not None:
                    connection.shutdown(socket.SHUT_WR)
                while connection.recv(2**16):
                    pass  # the rest of the request: closed with it unread, TCP would drop the answer
            except OSError:
                pass

    def clients_are_gone(self):
        """Whether every connection ends soon."""
        for thread in self._threads[1:]:
            thread.join(10)
        return not any(thread.is_alive() for thread in self._threads[1:])


def nested(depth):
    return b'{"outputs": ' + b"[" * depth + b"]" * depth + b"}"


class LimitTest(tf.test.TestCase):
    """Answers as large as those of an export get, in indented JSON."""

    def assert_fits(self, outputs, rows, **specs):
        content = json.dumps({"outputs": outputs}, indent=4)
        self.assertLess(len(content), answers.most_bytes(specs, rows))

    def test_numbers(self):
        floats = np.repeat(np.float32(-1.2345678e-38), 2000)
        spec = tf.TensorSpec([None], tf.float32)
        self.assert_fits({"log_prob": floats.tolist()}, 2000, log_prob=spec)
        for shape in ((1, 1, 1), (1, 1, 3), (1, 40, 1)):
            images = np.full([20000 // math.prod(shape), *shape], 255)
            spec = tf.TensorSpec([None, *shape], tf.uint8)
            self.assert_fits({"image": images.tolist()}, len(images), image=spec)

    def test_files(self):
        for shape in ((1, 1, 1), (40, 40, 1), (1, 1600, 3)):
            random = np.random.default_rng(0)
            rows = max(10, 1000 // math.prod(shape))
            images = random.integers(100, 256, [rows, *shape], np.uint8)
            png = [base64.b64encode(tf.io.encode_png(image).numpy()).decode() for image in images]
            outputs = {"image": images.tolist(), "png_bytes": [{"b64": value} for value in png]}
            image = tf.TensorSpec([None, *shape], tf.uint8)
            file = tf.TensorSpec([None], tf.string)
            self.assert_fits(outputs, rows, image=image, png_bytes=file)


class RestTest(AnswerTests, tf.test.TestCase):
    REST = True

    def serve(self, answer, path=":predict"):
        """A `RawServer` of right metadata, and of any answer to a path."""
        metadata = {"metadata": in_metadata(definitions())}
        auxiliaries = right_answer("auxiliaries", 1)
        auxiliaries["factors"] = [["gray", "image"]]
        auxiliaries = {name: np.array(array).tolist() for name, array in auxiliaries.items()}
        described = http_answer({"outputs": auxiliaries})
        first = iter([described])

        def predict():
            described = next(first, None)
            if described:
                return [described]
            return [answer] if isinstance(answer, bytes) else answer()

        served = {"/metadata": http_answer(metadata), ":predict": predict}
        served = served if path == ":predict" else {**served, path: answer}
        return self.enter_context(RawServer(served))

    def test_a_deadline_for_all_of_a_request(self):
        drips = http_answer(b"", headers="Content-Length: 9999\r\n")
        for answer in (
            lambda: None,
            lambda: endless(b"", b"H", 0.05),
            lambda: endless(b"HTTP/1.1 200 OK\r\n", b"X", 0.05),
            lambda: endless(drips, b" ", 0.05),
            lambda: endless(
                http_answer(b"", headers="Transfer-Encoding: chunked\r\n"), b"1\r\n \r\n", 0.05
            ),
            lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
        ):
            for path in ("/metadata", ":predict"):
                server = self.serve(answer, path)
                message = "answer of .* within 0.4 seconds.*--timeout"
                self.assert_refused(server.address, "log_prob", TimeoutError, message, 0.4)
                self.assertTrue(server.clients_are_gone())

    def test_a_server_that_does_not_read(self):
        listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        protocol = protocols.Rest(f"127.0.0.1:{listener.getsockname()[1]}", "toy")
        image = {"image": np.zeros([16, 2**18], np.uint8)}  # more than its socket takes
        start = time.monotonic()
        with self.assertRaisesRegex(protocols.Failure, "DEADLINE_EXCEEDED"):
            protocol.predict("log_prob", image, {}, timeout=1.0)
        self.assertLess(time.monotonic() - start, 10.0)

    def test_limits(self):
        outputs = answers.signatures(Served().signature_defs)["log_prob"].outputs
        limit = answers.most_bytes(outputs, 2)
        self.assertLess(limit, 10**5)
        unlimited = b"HTTP/1.1 200 OK\r\n\r\n"
        chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        piece = b" " * 2**16
        for path, most, answer in (
            (":predict", limit, lambda: endless(unlimited, piece)),
            (":predict", limit, lambda: endless(chunks, b"10000\r\n" + piece + b"\r\n")),
            (
                ":predict",
                limit,
                http_answer(b"", headers=f"Content-Length: {10**12}\r\n") + 2 * piece,
            ),
            ("/metadata", answers.METADATA_BYTES, lambda: endless(unlimited, piece)),
        ):
            server = self.serve(answer, path)
            message = f"Expected at most {most} bytes in .* Received: more"
            self.assert_refused(server.address, "log_prob", RuntimeError, message)
            self.assertTrue(server.clients_are_gone())
            self.assertLess(server.sent, most + 2**26)  # what the sockets on both sides hold
        for head, kind in (
            (b"HTTP/1.1 500 Oops\r\n\r\n", RuntimeError),
            (b"HTTP/1.1 400 Oops\r\n\r\n", ValueError),
        ):
            server = self.serve(lambda head=head: endless(head, piece))
            self.assert_refused(server.address, "log_prob", kind, "Oops")
            self.assertTrue(server.clients_are_gone())
            self.assertLess(server.sent, 2**26)

    def test_no_answer_of_tensorflow_serving(self):
        elsewhere = self.serve(b"")
        right = json.dumps({"outputs": RIGHT}).encode()
        gzip = zlib.compressobj(wbits=31)
        bomb = gzip.compress(b" " * 2**24) + gzip.flush()
        is_json = "JSON object with 'outputs'"
        redirect = f"Location: http://{elsewhere.address}/metadata\r\nContent-Length: 0\r\n"
        for answer, kind, message in (
            *(
                (http_answer(b"", f"{status} Away", redirect), RuntimeError, f"HTTP {status}.*Away")
                for status in (301, 302, 307, 308)
            ),
            (http_answer(right, "204 None"), RuntimeError, "HTTP 204"),
            (
                http_answer(right, headers="Content-Length: 9999\r\n"),
                RuntimeError,
                "whole HTTP answer",
            ),
            (http_answer(right, headers="Content-Length: 20\r\n"), RuntimeError, is_json),
            (http_answer(right, headers="Content-Length: -5\r\n")[:-5], RuntimeError, is_json),
            (
                http_answer(b"ffff\r\n" + right, headers="Transfer-Encoding: chunked\r\n"),
                RuntimeError,
                "whole",
            ),
            (
                http_answer(b"xyz\r\n" + right, headers="Transfer-Encoding: chunked\r\n"),
                RuntimeError,
                "whole",
            ),
            (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", RuntimeError, "100 headers"),
            (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 10**5, RuntimeError, "header line"),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", RuntimeError, is_json),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", RuntimeError, "whole HTTP answer"),
            (
                http_answer(
                    bomb, headers=f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n"
                ),
                RuntimeError,
                is_json,
            ),
            (http_answer(b""), RuntimeError, is_json),
            (http_answer(b"\xff\xfe\xfd"), RuntimeError, is_json),
            (http_answer(b"<html>\x1b[2J\r\n\r\n</html>"), RuntimeError, is_json),
            (http_answer(b"[1]"), RuntimeError, is_json),
            (http_answer(b"5"), RuntimeError, is_json),
            (http_answer(b"[1]", "500 Bad"), RuntimeError, "HTTP 500 .Bad."),
            (http_answer(b"9" * 5000), RuntimeError, is_json),
            (http_answer({"error": "no such thing"}), RuntimeError, "Received: .*no such thing"),
            (http_answer(nested(30000)), RuntimeError, is_json),
            (http_answer(nested(500)), RuntimeError, "object of the outputs"),
            (http_answer({"error": "one\x1b[2J\ntwo"}, "400 Bad"), ValueError, "one.\\[2J two"),
            (http_answer({"error": {"a": 1}}, "404 Bad"), ValueError, "--model=toy .Bad."),
            (http_answer(nested(30000), "500 Bad"), RuntimeError, "HTTP 500 .Bad."),
            (http_answer(b"x", "799 " + "y" * 10**4), RuntimeError, "HTTP 799"),
        ):
            with self.subTest(answer=answer[:100], message=message):
                self.assert_refused(self.serve(answer).address, "log_prob", kind, message)
        self.assertEqual(elsewhere.requests, [])

    def test_json_of_other_values(self):
        """Of one output, as text: others are right."""
        bits = (
            ("[0.5, true]", "float32.* Received: bool"),
            ('[0.5, "1"]', "float32.* Received: str"),
            ("[0.5, null]", "float32.* Received: NoneType"),
            ("[0.5, {}]", "float32.* Received: dict"),
            ("[[1], 1]", "lists of equal lengths"),
            ("[[1], [1, 2]]", "lists of equal lengths"),
            ("1", r"\[2\].* Received: \[\]"),
            ("{}", r"\[2\].* Received: \[\]"),
            ("[1, 1e300]", "float32.* Received: overflow"),
            (f"[1, {10**400}]", "float32"),
            ("[" * 500 + "]" * 500, r"in \[2\]"),
        )
        pixels = (
            ("0.0", "uint8.* Received: float"),
            ("1e0", "uint8.* Received: float"),
            ("NaN", "uint8.* Received: float"),
            ("Infinity", "uint8.* Received: float"),
            ("true", "uint8.* Received: bool"),
            ('"0"', "uint8.* Received: str"),
            ("256", "uint8.* Received: .*256"),
            ("-1", "uint8.* Received: .*-1"),
            (str(10**30), "uint8.* Received: "),
            ("[0]", "lists of equal lengths"),
        )
        files = ('{"b64": "AA"}', '{"b64": "AA*=="}', '{"b64": 1}', '{"b65": ""}', '"AA=="', "1")
        row = str([[[0]] * WIDTH] * HEIGHT)
        for signature, name, value, message in (
            *(("log_prob", "bits_per_dim", *case) for case in bits),
            *(("sample", "gray", f"[{row.replace('0', x, 1)}, {row}]", m) for x, m in pixels),
            *(("sample", "image_png_bytes", f"[{x}, {x}]", "png_bytes as JSON") for x in files),
        ):
            answer = {
                output: RIGHT[output] if output in RIGHT else array.tolist()
                for output, array in right_answer(signature, 2).items()
                if array.dtype != object
            }
            if signature == "sample":
                answer["image_png_bytes"] = [{"b64": ""}] * 2
            answer[name] = "HERE"
            content = json.dumps({"outputs": answer}).replace('"HERE"', value).encode()
            with self.subTest(name=name, value=value[:80]):
                server = self.serve(http_answer(content))
                self.assert_refused(server.address, signature, RuntimeError, message)

    def test_json_of_other_metadata(self):
        tensors = (
            *(5, {"dtype": []}, {"dtype": "DT_NONE"}),
            *(info("DT_UINT8", "many"), info("DT_UINT8", 10**30)),
        )
        definitions = (5, [5], None, {"inputs": 5}, *({"inputs": {"image": x}} for x in tensors))
        maps = (5, *({"sample": definition} for definition in definitions))
        for metadata in (
            5,
            [],
            {},
            {"signature_def": 5},
            *(in_metadata(served) for served in maps),
        ):
            with self.subTest(metadata=metadata):
                server = self.serve(http_answer({"metadata": metadata}), "/metadata")
                message = "JSON of a SignatureDefMap|tensors of"
                self.assert_refused(server.address, "log_prob", RuntimeError, message)


@unittest.skipIf(protocols.grpc is None, NEEDS_GRPC)
class GrpcTest(AnswerTests, tf.test.TestCase):
    REST = False

    def serve(self, metadata=None, predict=None, compression=None):
        """HOST:PORT of a server that answers with these bytes."""
        if metadata is None:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            served = get_model_metadata_pb2.SignatureDefMap(signature_def=Served().signature_defs)
            response.metadata["signature_def"].Pack(served)
            metadata = response.SerializeToString()
        described = iter([self.response(right_answer("auxiliaries", 1)).SerializeToString()])
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(answer)
            for name, answer in (
                ("GetModelMetadata", lambda *_: metadata),
                ("Predict", lambda *_: next(described, predict)),
            )
        }
        server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(1),
            options=[("grpc.max_send_message_length", -1)],
            compression=compression,
        )
        service = "tensorflow.serving.PredictionService"
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        return f"127.0.0.1:{port}"

    def response(self, arrays):
        """A PredictResponse."""
        response = predict_pb2.PredictResponse()
        for name, array in arrays.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def test_tensors_of_other_values(self):
        for name, changed, message in (
            ("gray", {"int_val": [0]}, r"gray in \[2, 4, 6, 1\].* Received: .* of 1 values"),
            ("gray", {}, "of 0 values"),
            ("gray", {"int_val": [0] * 49}, "of 49 values"),
            ("gray", {"int_val": [*[0] * 47, 256]}, "uint8.* Received: .*256"),
            ("gray", {"int_val": [*[0] * 47, -1]}, "uint8.* Received: .*-1"),
            ("gray", {"float_val": [0.0] * 48}, "of 0 values"),
            ("gray", {"tensor_content": b"0" * 47}, "of 47 values"),
            ("gray", {"tensor_content": b"0" * 48}, "values of gray from 0 to 15.* Received: 48"),
            ("gray", {"int_val": [0] * 48, "dims": [2**40, 4, 6, 1]}, r"Received: \[1099511627776"),
            ("gray", {"int_val": [0] * 48, "dims": [-2, 4, 6, 1]}, r"Received: \[-2"),
            ("gray", {"int_val": [0] * 48, "dtype": tf.int32}, "gray as uint8.* Received: dtype 3"),
            ("image_png_bytes", {"string_val": [b""]}, "of 1 values"),
            ("log_prob", {"tensor_content": b"0" * 7}, "log_prob as float32.* buffer size"),
        ):
            signature = "log_prob" if name in RIGHT else "sample"
            response = self.response(right_answer(signature, 2))
            tensor = response.outputs[name]
            dims = changed.pop("dims", [dim.size for dim in tensor.tensor_shape.dim])
            dtype = changed.pop("dtype", tf.as_dtype(tensor.dtype)).as_datatype_enum
            tensor.Clear()
            tensor.MergeFrom(type(tensor)(dtype=dtype, **changed))
            for dim in dims:
                tensor.tensor_shape.dim.add(size=dim)
            with self.subTest(name=name, changed=str(changed)[:80], message=message):
                address = self.serve(predict=response.SerializeToString())
                self.assert_refused(address, signature, RuntimeError, message)

    def test_names_of_factors_that_are_no_text(self):
        self.served.changes["auxiliaries"] = {"factors": np.array([[b"\xff", b"image"]], object)}
        self.assert_refused(self.address, "sample", RuntimeError, "factors in UTF-8.*xff")

    def test_no_answer_of_tensorflow_serving(self):
        other = get_model_metadata_pb2.GetModelMetadataResponse()
        other.metadata["signature_def"].Pack(tf.make_tensor_proto(0))
        spoiled = get_model_metadata_pb2.GetModelMetadataResponse()
        spoiled.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap())
        spoiled.metadata["signature_def"].value = b"\xff"
        response = self.response(right_answer("log_prob", 2))
        # A field of no use.
        large = response.SerializeToString() + b"\x3a\x80\x80\x40" + bytes(2**20)
        for served, message in (
            ({"metadata": b"\xff"}, "INTERNAL"),
            ({"metadata": b""}, "a SignatureDefMap in"),
            (
                {"metadata": other.SerializeToString()},
                "Received: type.googleapis.com/.*TensorProto",
            ),
            ({"metadata": spoiled.SerializeToString()}, "a SignatureDefMap in"),
            (
                {"metadata": bytes(answers.METADATA_BYTES + 1)},
                "RESOURCE_EXHAUSTED .*larger than max",
            ),
            ({"predict": b"\xff"}, "INTERNAL"),
            ({"predict": b""}, r"the outputs .* Received: \[\]"),
            ({"predict": large}, "RESOURCE_EXHAUSTED .*larger than max"),
            ({"predict": large, "compression": grpc.Compression.Gzip}, "INTERNAL .*gzip"),
        ):
            with self.subTest(message=message):
                self.assert_refused(self.serve(**served), "log_prob", RuntimeError, message)

    def test_a_deadline_for_all_of_a_request(self):
        silent = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        self.assert_refused(address, "log_prob", TimeoutError, "within 0.4 seconds", 0.4)


if __name__ == "__main__":
    tf.test.main()
