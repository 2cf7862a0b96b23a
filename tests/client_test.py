"""Tests of the client, against a server on the loopback interface whose model is a little arithmetic."""

import collections
import concurrent.futures
import contextlib
import functools
import http.server
import io
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest
import urllib.error
import urllib.request
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

from benchmarks import serving
from pixelcnn_aux import auxiliary, client, data
from tests import helpers
from tests.serving import prediction_server

ROOT = pathlib.Path(__file__).parents[1]
HEIGHT, WIDTH = helpers.SIZE
NEEDS_GRPC = "gRPC needs tensorflow-serving-api: pip install 'pixelcnn_aux[serving]'"


def drawn_images(seeds, shift=0):
    """What the toy draws: uint8 [N, H, W, 3] from int [N, 2], in NumPy."""
    seeds = np.asarray(seeds, np.int64)[:, None, None, None]
    pixels = np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3)
    return ((seeds[..., 0] * 31 + seeds[..., 1] * 7 + pixels + shift) % 256).astype(np.uint8)


class Toy(tf.Module):
    """Stands in for an export: its signatures, but no networks. One of its own, `slow`, takes its time."""

    def draw(self, seed, shift):
        seed, shift = tf.cast(seed, tf.int64), tf.cast(shift, tf.int64)
        first = seed[:, 0] * 31 + seed[:, 1] * 7 + shift
        pixels = tf.reshape(tf.range(HEIGHT * WIDTH * 3, dtype=tf.int64), [HEIGHT, WIDTH, 3])
        return tf.cast((first[:, None, None, None] + pixels) % 256, tf.uint8)

    def images(self, image, auxiliaries=True):
        grays = {"grayscale": auxiliary.Grayscale(4)(image)} if auxiliaries else {}
        png = tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.string)
        return {**grays, "image": image, "image_png_bytes": png}

    @tf.function
    def sample(self, seed, log_scale_shift):
        fits = tf.reduce_all(log_scale_shift < 100)
        with tf.control_dependencies([tf.debugging.Assert(fits, ["Expected shifts below 100."])]):
            return self.images(self.draw(seed, log_scale_shift))

    @tf.function
    def given_grayscale(self, seed, auxiliary):
        image = self.draw(seed, tf.zeros(tf.shape(seed)[0])) // 16 + 16 * auxiliary
        return self.images(image, auxiliaries=False)

    @tf.function
    def complete(self, seed, image, mask):
        drawn = self.draw(seed, tf.zeros(tf.shape(seed)[0]))
        return self.images(tf.where(mask == 1, image, drawn))

    @tf.function
    def log_prob(self, image):
        means = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3])
        bits = {"grayscale": means / 1024, "image": means / 256}
        nats = -HEIGHT * WIDTH * 3 * math.log(2)
        return {
            "bits_per_dim": bits["grayscale"] + bits["image"],
            "log_prob": nats * (bits["grayscale"] + bits["image"]),
            **{f"bits_per_dim_{name}": value for name, value in bits.items()},
            **{f"log_prob_{name}": nats * value for name, value in bits.items()},
        }

    @tf.function
    def slow(self, seconds):
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        now = tf.while_loop(lambda now: now < end, lambda _: [tf.timestamp()], [end - 1])
        with tf.control_dependencies(now):
            return {"waited": tf.identity(seconds)}

    def save(self, base_path, version, without=()):
        seed = tf.TensorSpec([None, 2], tf.int32)
        floats = tf.TensorSpec([None], tf.float32)
        image = tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8)
        grays = tf.TensorSpec([None, HEIGHT, WIDTH, 1], tf.uint8)
        inputs = {
            "sample": {"seed": seed, "log_scale_shift": floats},
            "given_grayscale": {"seed": seed, "auxiliary": grays},
            "complete": {"seed": seed, "image": image, "mask": grays},
            "log_prob": {"image": image},
            "slow": {"seconds": floats},
        }
        signatures = {
            name: getattr(self, name).get_concrete_function(**specs)
            for name, specs in inputs.items()
            if name not in without
        }
        tf.saved_model.save(self, str(base_path / version), signatures)


FOLDER = tempfile.TemporaryDirectory()  # gone when the process ends


@functools.cache
def servable(name):
    """The `Servable` of a saved `Toy`; all but "toy" lack its grays."""
    base_path = pathlib.Path(FOLDER.name) / name
    Toy().save(base_path, "10", without=() if name == "toy" else ("given_grayscale", "slow"))
    for other in ("9", ".writing-11"):  # neither is the newest version
        (base_path / other).mkdir()
    return prediction_server.Servable(base_path)


def seeds(*pairs):
    return np.array(pairs, np.int32)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tiles(path, height=1):
    """uint8 [n, height, H, W, 3]: the images of a picture, of which so many are above each other."""
    picture = np.asarray(Image.open(path))[::3, ::3]
    rows, columns = picture.shape[0] // height // (HEIGHT + 2), picture.shape[1] // (WIDTH + 2)
    picture = picture.reshape(rows, height, HEIGHT + 2, columns, WIDTH + 2, 3).swapaxes(2, 3)
    picture = picture.swapaxes(1, 2).reshape(-1, height, HEIGHT + 2, WIDTH + 2, 3)
    return picture[:, :, 1:-1, 1:-1]


class ClientTests:
    """What holds for either protocol."""

    REST = None

    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.address = self.serve(servable("toy"))

    def serve(self, served, port=0):
        """HOST:PORT of a new server."""
        ports = (
            {"port": None, "rest_port": port} if self.REST else {"port": port, "rest_port": None}
        )
        server = self.enter_context(prediction_server.PredictionServer(served, **ports))
        return f"127.0.0.1:{server.rest_port if self.REST else server.port}"

    def client(self, model="toy", address=None, timeout=60.0):
        return client.Client(address or self.address, model, self.REST, timeout)

    def spy(self, **kwargs):
        """Counts the requests that reach the model; other arguments change what it does."""
        toy = servable("toy")
        return self.enter_context(
            mock.patch.object(toy, "predict", **{"wraps": toy.predict, **kwargs})
        )

    def quick_attempts(self):
        self.enter_context(mock.patch.object(client, "PAUSES", (0.01, 0.02)))

    def run_program(self, *arguments):
        """Its output. Its flags are its own, so that programs beside it may define the same ones."""
        values = flags.FlagValues()
        own = {
            name: functools.partial(getattr(flags, name), flag_values=values)
            for name in dir(flags)
            if name.startswith("DEFINE_")
        }
        output = io.StringIO()
        with (
            mock.patch.multiple(client, FLAGS=values, flags=types.SimpleNamespace(**own)),
            contextlib.redirect_stdout(output),
        ):
            client.define_flags()
            common = [f"--server={self.address}", "--model=toy", f"--rest={self.REST}"]
            client.main(*values(["client.py", *common, *map(str, arguments)])[1:])
        return output.getvalue()

    def write_image(self, name, size=(21, 17)):
        """A file, of another size and shape than the model's images."""
        path = self.folder / name
        Image.fromarray(helpers.pictures(1, size=size)[0]).save(path)
        return path

    def test_metadata(self):
        served = self.client().metadata()
        names = ["complete", "given_grayscale", "log_prob", "sample", "slow"]
        self.assertEqual(list(served), names)
        self.assertEqual(
            served["complete"].inputs,
            {
                "seed": tf.TensorSpec([None, 2], tf.int32),
                "image": tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8),
                "mask": tf.TensorSpec([None, HEIGHT, WIDTH, 1], tf.uint8),
            },
        )
        outputs = {name: spec.dtype for name, spec in served["given_grayscale"].outputs.items()}
        self.assertEqual(outputs, {"image": tf.uint8, "image_png_bytes": tf.string})

    def test_arrays_come_back_as_they_are(self):
        pairs = seeds([-(2**31), 2**31 - 1], [0, 5])
        shifts = np.array([0.0, 9.0], np.float32)
        answer = self.client().predict("sample", seed=pairs, log_scale_shift=shifts)
        expected = drawn_images(pairs, np.array([0, 9])[:, None, None, None])
        self.assertAllEqual(answer["image"], expected)
        self.assertEqual(answer["image"].dtype, np.uint8)
        self.assertAllEqual(answer["grayscale"], auxiliary.Grayscale(4)(expected))
        for png, image in zip(answer["image_png_bytes"], expected):
            self.assertAllEqual(np.asarray(Image.open(io.BytesIO(png))), image)
        bits = self.client().predict("log_prob", image=expected)["bits_per_dim"]
        self.assertEqual(bits.dtype, np.float32)
        self.assertAllClose(bits, expected.mean((1, 2, 3)) * 5 / 1024, rtol=1e-6)
        seconds = np.array([0.1, 0.0], np.float32)
        [waited] = (
            self.client().predict("slow", seconds=seconds).values()
        )  # REST leaves out its name
        self.assertAllEqual(waited, seconds)

    def test_sample(self):
        requests = self.spy()
        out = self.folder / "grid.png"
        output = self.run_program(
            "sample", "--num=20", "--seed=3", "--log_scale_shift=7", "--out", out
        )
        self.assertEqual(output, f"Wrote {out}\n")
        images = drawn_images([(3, index) for index in range(20)], shift=7)
        self.assertEqual([len(call.args[1]["seed"]) for call in requests.mock_calls], [16, 4])
        found = tiles(out, height=2)
        self.assertLen(found, 20)
        self.assertAllEqual(found[:, 0], images)
        grays = 17 * auxiliary.Grayscale(4)(images).numpy()
        self.assertAllEqual(found[:, 1], np.repeat(grays, 3, axis=-1))

    def test_colorize(self):
        out, file = self.folder / "colors.png", self.write_image("photo.jpg")
        self.run_program("colorize", file, "--num=3", "--out", out)
        image = data.read_image(file, helpers.SIZE)
        grays = auxiliary.Grayscale(4)(image[None]).numpy()
        draws = drawn_images([(0, 0), (0, 1), (0, 2)]) // 16 + 16 * grays
        found = tiles(out)[:, 0]
        self.assertAllEqual(found[0], image)
        self.assertAllEqual(found[1], np.repeat(17 * grays[0], 3, axis=-1))
        self.assertAllEqual(found[2:5], draws)
        self.assertAllEqual(found[5:], np.full((1, HEIGHT, WIDTH, 3), 255))

    def test_complete(self):
        out, file = self.folder / "completed.PNG", self.write_image("photo.png")
        self.run_program("complete", file, "--num=2", "--seed=-4", f"--out={out}")
        image = data.read_image(file, helpers.SIZE)
        found, draws = tiles(out)[:, 0], drawn_images([(-4, 0), (-4, 1)])
        upper = HEIGHT // 2
        self.assertAllEqual(found[0], image)
        self.assertAllEqual(found[1:, :upper], [image[:upper]] * 3)
        self.assertAllEqual(found[1, upper:], np.full((HEIGHT - upper, WIDTH, 3), 127))
        self.assertAllEqual(found[2:, upper:], draws[:, upper:])

    def test_bpd(self):
        files = [self.write_image("a.png"), self.write_image("b.jpg", (8, 12))]
        rows = [line.split() for line in self.run_program("bpd", *files).splitlines()]
        self.assertEqual(rows[0], ["file", "grayscale", "image", "total"])
        means = np.array([data.read_image(file, helpers.SIZE).mean() for file in files])
        means = [*means, means.mean()]
        self.assertEqual([row[0] for row in rows[1:]], [*map(str, files), "mean"])
        for row, mean in zip(rows[1:], means):
            expected = [mean / 1024, mean / 256, mean * 5 / 1024]
            self.assertAllClose([float(value) for value in row[1:]], expected, atol=6e-5)

    def test_concurrent_requests_get_their_own_rows(self):
        shared = self.client()

        def ask(number):
            pairs = seeds([number, 0], [0, number])
            shifts = np.full(2, number, np.float32)
            answer = shared.predict("sample", seed=pairs, log_scale_shift=shifts)
            return np.array_equal(answer["image"], drawn_images(pairs, number))

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            self.assertEqual([*pool.map(ask, range(64))], [True] * 64)

    def test_a_slow_server(self):
        slow = self.client(timeout=0.5)
        slow.metadata()
        released = threading.Event()
        self.addCleanup(released.set)
        self.spy(side_effect=lambda *_: released.wait(60))
        start = time.monotonic()
        with self.assertRaisesRegex(TimeoutError, "answer of .* within 0.5 seconds.*--timeout"):
            slow.predict("log_prob", image=drawn_images([[0, 0]]))
        self.assertBetween(time.monotonic() - start, 0.4, 30)

    def test_a_server_that_is_busy_is_asked_again(self):
        self.quick_attempts()
        full = tf.errors.UnavailableError(None, None, "The batch scheduling queue is full")
        asked = self.client()
        for refusals, answers in ((2, True), (3, False)):
            requests = self.spy(side_effect=[full] * refusals + [mock.DEFAULT])
            if answers:
                answer = asked.predict("log_prob", image=drawn_images([[0, 0]]))
                self.assertEqual(answer["bits_per_dim"].shape, (1,))
            else:
                with self.assertRaisesRegex(ConnectionError, "queue is full. Start it"):
                    asked.predict("log_prob", image=drawn_images([[0, 0]]))
            self.assertEqual(requests.call_count, 3)

    def test_a_server_that_comes_up_late(self):
        port = free_port()
        late = self.client(address=f"127.0.0.1:{port}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(late.predict, "log_prob", image=drawn_images([[0, 0]]))
            time.sleep(0.6)
            self.assertFalse(answer.done())
            self.serve(servable("toy"), port)
            self.assertEqual(answer.result()["bits_per_dim"].shape, (1,))

    def test_no_server(self):
        self.quick_attempts()
        address = f"127.0.0.1:{free_port()}"
        with self.assertRaisesRegex(ConnectionError, f"TensorFlow Serving at {address}.*refused"):
            self.client(address=address).metadata()
        for address in ("localhost", "localhost:", ":8500", "http://localhost"):
            with self.assertRaisesRegex(ValueError, "server as HOST:PORT"):
                self.client(address=address)

    def test_another_model(self):
        with self.assertRaisesRegex(ValueError, r"--model=tory .*not found.*Latest\(tory\)"):
            self.client("tory").metadata()

    def test_a_model_without_the_signature(self):
        plain = self.client("plain", self.serve(servable("plain")))
        message = "signature 'given_grayscale'. Received: plain .*complete, log_prob, sample. "
        with (
            mock.patch.object(client, "Client", return_value=plain),
            self.assertRaisesRegex(ValueError, message),
        ):
            out = self.folder / "colors.png"
            self.run_program("colorize", self.write_image("photo.png"), "--out", out)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["photo.png"])

    def test_what_the_server_refuses(self):
        arrays = {"seed": seeds([0, 1]), "log_scale_shift": np.full(1, 1e3, np.float32)}
        with self.assertRaisesRegex(ValueError, "its refusal .*Expected shifts below 100"):
            self.client().predict("sample", **arrays)

    def test_what_does_not_fit_is_not_sent(self):
        requests, asked = self.spy(), self.client()
        pair, shift, image = seeds([0, 1]), np.zeros(1, np.float32), drawn_images([[0, 1]])
        mask = np.ones((1, HEIGHT, WIDTH, 1), np.uint8)
        for signature, arrays, message in (
            ("sample", {"seed": pair}, r"inputs \['log_scale_shift', 'seed'\].* \['seed'\]"),
            ("log_prob", {"image": image, "seed": pair}, r"the inputs \['image'\]"),
            ("log_prob", {"image": image[:0]}, "at least one"),
            ("log_prob", {"image": image[0]}, r"image as uint8 \[N, 4, 6, 3\].*uint8 \[4, 6, 3\]"),
            ("log_prob", {"image": image[:, :, :5]}, r"Received: uint8 \[1, 4, 5, 3\]"),
            ("log_prob", {"image": image.astype(np.int32)}, "Received: int32"),
            ("complete", {"seed": pair, "image": image, "mask": 2 * mask}, "mask.* 0 to 1"),
            ("given_grayscale", {"seed": pair, "auxiliary": 16 * mask}, "auxiliary.* 0 to 15"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                asked.predict(signature, **arrays)
        for bad_pair, bad_shift, message in (
            (pair.astype(np.int64), shift, r"seed as int32 \[N, 2\]. Received: int64 \[1, 2\]"),
            (pair[0], shift, r"Received: int32 \[2\]"),
            (np.zeros((1, 3), np.int32), shift, r"Received: int32 \[1, 3\]"),
            (pair, np.zeros(2, np.float32), "as many rows"),
            (pair, np.full(1, np.nan, np.float32), "finite values of log_scale_shift"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                asked.predict("sample", seed=bad_pair, log_scale_shift=bad_shift)
        with self.assertRaisesRegex(flags.IllegalFlagValueError, "--seed=2147483648"):
            self.run_program("sample", "--seed=2147483648", f"--out={self.folder / 'a.png'}")
        requests.assert_not_called()

    def test_bad_files(self):
        requests, good = self.spy(), self.write_image("good.png")
        truncated, text = self.folder / "truncated.png", self.folder / "text.jpg"
        truncated.write_bytes(good.read_bytes()[:-100])
        text.write_text("no image")
        for file, error in (
            (truncated, ValueError),
            (text, ValueError),
            (self.folder, ValueError),
            (self.folder / "none.png", FileNotFoundError),
        ):
            with self.assertRaisesRegex(error, f"Expected .*{file}"):
                self.run_program("bpd", good, file)
        requests.assert_not_called()

    def test_wrong_usage(self):
        requests = self.spy()
        out = f"--out={self.folder / 'a.png'}"
        for arguments, message in (
            (["paint"], "a command of sample, colorize, complete, bpd. Received: 'paint'"),
            (["sample", "a.png", out], "sample with 0 image files"),
            (["colorize", out], "colorize with 1 image files"),
            (["complete", "a.png", "b.png", out], "complete with 1 image files"),
            (["bpd"], "bpd with 1 or more image files"),
            (["sample"], "--out as a name that ends in .png"),
            (["sample", "--out=a.jpg"], "--out as a name that ends in .png"),
            (["sample", f"--out={self.folder / 'none' / 'a.png'}"], "in a folder that exists"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program(*arguments)
        requests.assert_not_called()


@unittest.skipIf(client.grpc is None, NEEDS_GRPC)
class GrpcTest(ClientTests, tf.test.TestCase):
    REST = False

    def test_without_the_package(self):
        with (
            mock.patch.object(client, "grpc", None),
            self.assertRaisesRegex(ImportError, r"pip install 'pixelcnn_aux\[serving\]'"),
        ):
            self.client()

    def test_what_the_server_says_of_requests_that_do_not_fit(self):
        protocol = client._Grpc(self.address, "toy")
        image = drawn_images([[0, 1]])
        for signature, arrays, status, message in (
            ("none", {}, "FAILED_PRECONDITION", 'Serving signature key "none" not found.'),
            ("log_prob", {}, "INVALID_ARGUMENT", "Missing but required: {image}."),
            (
                "log_prob",
                {"image": image, "seed": seeds([0, 1])},
                "INVALID_ARGUMENT",
                "Sent extra: {seed}.",
            ),
            ("log_prob", {"image": image.astype(np.int32)}, "INVALID_ARGUMENT", "uint8"),
        ):
            with self.assertRaises(client._Failure) as caught:
                protocol.predict(signature, arrays, {}, timeout=60)
            self.assertEqual(caught.exception.status, status)
            self.assertIn(message, caught.exception.message)


class RestTest(ClientTests, tf.test.TestCase):
    REST = True

    def post(self, path, body):
        """(HTTP status, JSON object) that answer."""
        request = urllib.request.Request(f"http://{self.address}{path}", body)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def test_the_json_is_that_of_tensorflow_serving(self):
        status, answer = self.post("/v1/models/toy/metadata", None)
        self.assertEqual(status, 200)
        spec = {"name": "toy", "signature_name": "", "version": "10"}
        self.assertEqual(answer["model_spec"], spec)
        served = answer["metadata"]["signature_def"]["signature_def"]["log_prob"]
        self.assertEqual(served["method_name"], "tensorflow/serving/predict")
        self.assertEqual(served["inputs"]["image"]["dtype"], "DT_UINT8")
        dims = [dim["size"] for dim in served["inputs"]["image"]["tensor_shape"]["dim"]]
        self.assertEqual(dims, ["-1", str(HEIGHT), str(WIDTH), "3"])
        inputs = {"seed": [[0, 1]], "auxiliary": np.zeros((1, HEIGHT, WIDTH, 1), int).tolist()}
        status, answer = self.post(
            "/v1/models/toy:predict",
            json.dumps({"signature_name": "given_grayscale", "inputs": inputs}).encode(),
        )
        self.assertEqual((status, list(answer)), (200, ["outputs"]))
        self.assertEqual(list(answer["outputs"]["image_png_bytes"][0]), ["b64"])
        self.assertIsInstance(answer["outputs"]["image"][0][0][0][0], int)

    def test_what_the_server_says_of_requests_that_do_not_fit(self):
        for path, body, status, message in (
            ("toy:predict", b"{", 400, "JSON Parse error"),
            ("toy:predict", b"{}", 400, "Missing 'inputs'"),
            ("toy:predict", b'{"inputs": {}, "signature_name": "none"}', 400, '"none" not found'),
            ("toy:predict", b'{"inputs": {}, "signature_name": "slow"}', 400, "input: seconds"),
            ("toy:classify", b"{}", 400, "Malformed request: POST /v1/models/toy:classify"),
            ("tory:predict", b"{}", 404, "Servable not found for request: Latest(tory)"),
        ):
            found = self.post(f"/v1/models/{path}", body)
            self.assertEqual(found[0], status)
            self.assertIn(message, found[1]["error"])
        for bad in ([[0, 1.5]], [[0, 2**31]], [[0, "1"]], [[0, 1], [0]]):
            inputs = {"seed": bad, "log_scale_shift": [0.0]}
            body = json.dumps({"signature_name": "sample", "inputs": inputs}).encode()
            status, answer = self.post("/v1/models/toy:predict", body)
            self.assertEqual(status, 400)
            self.assertIn("not of expected type: int32", answer["error"])

    def test_another_server(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = answers.pop(0)
                if answer is not None:  # Else it goes away.
                    self.send_response(answer[0])
                    self.end_headers()
                    self.wfile.write(answer[1])

            def log_message(self, *_):
                pass

        other = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        self.quick_attempts()
        address = f"127.0.0.1:{other.server_port}"
        for answers, kind, message in (
            ([(200, b"<html>")], RuntimeError, "no JSON object with 'metadata'"),
            ([(200, b"[]")], RuntimeError, "no JSON object with 'metadata'"),
            ([(500, b"")], RuntimeError, "HTTP 500"),
            ([(502, b""), (503, b""), None], ConnectionError, "Start it.*port for REST"),
        ):
            with self.assertRaisesRegex(kind, message):
                self.client(address=address).metadata()
            self.assertEqual(answers, [])


class ProcessesTest(tf.test.TestCase):
    """Programs as programs."""

    def start(self, *arguments):
        return self.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    @unittest.skipIf(client.grpc is None, NEEDS_GRPC)
    def test_a_server_that_goes_away(self):
        servable("toy")
        program = self.start(
            "pixelcnn_aux.client",
            *("--server", f"127.0.0.1:{free_port()}", "--model", "toy", "--timeout=1"),
            *("sample", "--out", f"{FOLDER.name}/never.png"),
        )
        base_path = f"--model_base_path={FOLDER.name}/toy"
        server = self.start(
            "tests.serving.prediction_server", base_path, "--port=0", "--rest_api_port=0"
        )
        self.addCleanup(server.kill)
        *_, port, _, rest_port = server.stdout.readline().replace(",", "").split()
        asked = [
            client.Client(f"127.0.0.1:{port}", "toy"),
            client.Client(f"127.0.0.1:{rest_port}", "toy", rest=True),
        ]
        self.enter_context(mock.patch.object(client, "PAUSES", (0.01,)))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for one in asked:
                one.metadata()
            minute = np.full(1, 60, np.float32)
            answers = [pool.submit(one.predict, "slow", seconds=minute) for one in asked]
            time.sleep(1)
            self.assertFalse(any(answer.done() for answer in answers))
            server.kill()
            for answer in answers:
                with self.assertRaisesRegex(ConnectionError, "Expected TensorFlow Serving at"):
                    answer.result(timeout=30)
        output, errors = program.communicate(timeout=300)
        self.assertEqual((program.returncode, output), (1, ""))
        last = errors.splitlines()[-1]
        self.assertRegex(last, "^ConnectionError: Expected TensorFlow Serving at .*--server.$")
        self.assertNotIn("Traceback", errors)
        self.assertFalse(os.path.exists(f"{FOLDER.name}/never.png"))

    @unittest.skipIf(client.grpc is None, NEEDS_GRPC)
    def test_many_clients(self):
        servable("toy")
        result = serving.measure(f"{FOLDER.name}/toy", clients=4, seconds=2)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            serving.report(result, seconds=2)
        self.assertIn(" 0 errors", output.getvalue())
        self.assertGreater(result.counts["equal"], 10)
        self.assertEqual((result.counts["different"], result.counts["wrong"]), (0, 0))


class BenchmarkTest(tf.test.TestCase):
    """What the benchmark takes for a right answer."""

    def test_likelihoods(self):
        right = {"log_prob": np.array([-3000.0, -10.0])}
        request = serving.Request("log_prob", {}, right)
        for factor, wrong in ((1.0, 0), (1 + 5e-6, 0), (1 + 3e-5, 1), (np.nan, 1)):
            counts = serving.compare(request, {"log_prob": right["log_prob"] * [1, factor]}, set())
            self.assertEqual(counts["wrong"], wrong)
        one_row = {"log_prob": np.array([-3000.0])}
        self.assertEqual(serving.compare(request, one_row, set())["wrong"], 1)

    def test_images(self):
        first, second, third = drawn_images([[0, 1], [0, 2], [0, 3]])
        drawn = {image.tobytes() for image in (first, second)}
        request = serving.Request("sample", {}, {"image": np.stack([first, second])})
        for answer, counts in (
            ([first, second], {"equal": 2, "wrong": 0}),
            ([first, third], {"equal": 1, "different": 1, "wrong": 0}),
            ([second, first], {"different": 2, "wrong": 2}),
        ):
            found = serving.compare(request, {"image": np.stack(answer)}, drawn)
            self.assertEqual(dict(found), counts)

    def test_the_report(self):
        for counts, resident, message in (
            ({"wrong": 1}, (100,), "Received: .*'wrong': 1"),
            ({"error": 1}, (100,), "Received: .*'error': 1"),
            ({"equal": 1}, (100, 106), "Received: 6.0%"),
            ({"equal": 1, "different": 1}, (100, 104), None),
            ({"equal": 1}, (100,), None),
        ):
            result = serving.Result([0.1], collections.Counter(counts), resident)
            with contextlib.ExitStack() as context:
                if message:
                    context.enter_context(self.assertRaisesRegex(RuntimeError, message))
                context.enter_context(contextlib.redirect_stdout(io.StringIO()))
                serving.report(result, seconds=1)


if __name__ == "__main__":
    tf.test.main()
