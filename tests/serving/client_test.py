"""Tests of the client, against a server on the loopback interface whose model is a little arithmetic."""

import concurrent.futures
import http.server
import io
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux import auxiliary
from pixelcnn_aux import client as client_program
from pixelcnn_aux.serving import client, protocols
from pixelcnn_aux.testing import prediction_server
from tests import helpers
from tests.serving import toy
from tests.serving.toy import HEIGHT, NEEDS_GRPC, WIDTH, drawn_images, free_port, seeds, servable

ROOT = pathlib.Path(__file__).parents[2]


class ClientTests(toy.ServedTests):
    """What holds for either protocol."""

    def quick_attempts(self):
        self.enter_context(mock.patch.object(client, "PAUSES", (0.01, 0.02)))

    def test_metadata(self):
        served = self.client().metadata()
        names = ["auxiliaries", "complete", "given_grayscale", "log_prob", "sample", "slow"]
        self.assertEqual(list(served), names)
        self.assertEqual(
            served["complete"].inputs,
            {
                "seed": tf.TensorSpec([None, 2], tf.int32),
                "log_scale_shift": tf.TensorSpec([None], tf.float32),
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
        # REST leaves out its name.
        [waited] = self.client().predict("slow", seconds=seconds).values()
        self.assertAllEqual(waited, seconds)

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
        for timeout in (0, -1.0, 1e10, float("inf"), float("nan")):
            with self.assertRaisesRegex(ValueError, f"Expected timeout above 0.*={timeout}"):
                self.client(timeout=timeout)
        slow = self.client(timeout=0.5)
        slow.images()
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
        asked.images()
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
        with self.assertRaisesRegex(
            ValueError, "'given_green'. Received: plain .*complete, log_prob"
        ):
            plain.signature("given_green")

    def test_images(self):
        for model, expected in (
            ("toy", {"grayscale": ((HEIGHT, WIDTH, 1), 16), "image": ((HEIGHT, WIDTH, 3), 256)}),
            ("plain", {"image": ((HEIGHT, WIDTH, 3), 256)}),
            (
                "wide",
                {
                    "green": ((HEIGHT, WIDTH, 1), 256),
                    "coarse": ((HEIGHT // 2, WIDTH // 2, 3), 5),
                    "4x6": ((HEIGHT, WIDTH, 3), 256),
                },
            ),
            ("gray", {"image": ((HEIGHT, WIDTH, 1), 16)}),
        ):
            asked = self.client(model, self.serve(servable(model)))
            self.assertEqual(list(asked.images().items()), list(expected.items()))
            requests = self.spy(model)
            asked.images()
            requests.assert_not_called()

    def test_what_the_server_refuses(self):
        arrays = {"seed": seeds([0, 1]), "log_scale_shift": np.full(1, 1e3, np.float32)}
        with self.assertRaisesRegex(ValueError, "its refusal .*Expected shifts below 100"):
            self.client().predict("sample", **arrays)

    def test_what_does_not_fit_is_not_sent(self):
        asked = self.client()
        asked.images()
        requests = self.spy()
        pair, shift, image = seeds([0, 1]), np.zeros(1, np.float32), drawn_images([[0, 1]])
        mask = np.ones((1, HEIGHT, WIDTH, 1), np.uint8)
        how = {"seed": pair, "log_scale_shift": shift}
        for signature, arrays, message in (
            ("sample", {"seed": pair}, r"inputs \['log_scale_shift', 'seed'\].* \['seed'\]"),
            ("log_prob", {"image": image, "seed": pair}, r"the inputs \['image'\]"),
            ("log_prob", {"image": image[:0]}, "at least one"),
            ("log_prob", {"image": image[0]}, r"image as uint8 \[N, 4, 6, 3\].*uint8 \[4, 6, 3\]"),
            ("log_prob", {"image": image[:, :, :5]}, r"Received: uint8 \[1, 4, 5, 3\]"),
            ("log_prob", {"image": image.astype(np.int32)}, "Received: int32"),
            ("complete", {**how, "image": image, "mask": 2 * mask}, "mask.* 0 to 1"),
            ("given_grayscale", {**how, "auxiliary": 16 * mask}, "auxiliary.* 0 to 15"),
            ("given_grayscale", {"seed": pair, "auxiliary": mask}, "inputs .*'log_scale_shift'"),
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
        requests.assert_not_called()

    def test_values_that_the_chain_has(self):
        wide = self.client("wide", self.serve(servable("wide")))
        gray = self.client("gray", self.serve(servable("gray")))
        pair, full = seeds([0, 1]), np.full((1, HEIGHT, WIDTH, 1), 255, np.uint8)
        how = {"seed": pair, "log_scale_shift": np.zeros(1, np.float32)}
        coarse = np.full((1, HEIGHT // 2, WIDTH // 2, 3), 4, np.uint8)
        for given in ({"green": full}, {"coarse": coarse}):
            [(name, images)] = given.items()
            answer = wide.predict(f"given_{name}", **how, auxiliary=images)
            self.assertAllEqual(answer["image"], drawn_images(pair, shift=images.sum(dtype=int)))
        for asked, signature, arrays, message in (
            (
                wide,
                "given_coarse",
                {**how, "auxiliary": coarse + 1},
                "auxiliary from 0 to 4",
            ),
            (
                gray,
                "log_prob",
                {"image": full // 15},
                "image from 0 to 15. Received: a value of 17",
            ),
        ):
            requests = self.spy(asked.model)
            asked.images()
            with self.assertRaisesRegex(ValueError, message):
                asked.predict(signature, **arrays)
            self.assertNotIn(signature, [call.args[0] for call in requests.mock_calls])


@unittest.skipIf(protocols.grpc is None, NEEDS_GRPC)
class GrpcTest(ClientTests, tf.test.TestCase):
    REST = False

    def test_without_the_package(self):
        with (
            mock.patch.object(protocols, "grpc", None),
            self.assertRaisesRegex(ImportError, r"pip install 'pixelcnn_aux\[serving\]'"),
        ):
            self.client()

    def test_what_the_server_says_of_requests_that_do_not_fit(self):
        protocol = protocols.Grpc(self.address, "toy")
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
            with self.assertRaises(protocols.Failure) as caught:
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
        grays = np.zeros((1, HEIGHT, WIDTH, 1), int).tolist()
        inputs = {"seed": [[0, 1]], "log_scale_shift": [0.0], "auxiliary": grays}
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
            ("toy:predict", b'{"inputs": 5}', 400, "Missing 'inputs'"),
            ("toy:predict", b'["inputs"]', 400, "Missing 'inputs'"),
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

    def test_a_stand_in_without_grpc(self):
        self.enter_context(mock.patch.object(prediction_server, "grpc", None))
        with self.assertRaisesRegex(ImportError, "tensorflow-serving-api for gRPC.*give no port"):
            prediction_server.PredictionServer(servable("toy"), port=0)
        with prediction_server.PredictionServer(servable("toy"), port=None, rest_port=0) as server:
            self.assertLen(
                client.Client(f"127.0.0.1:{server.rest_port}", "toy", True).metadata(), 6
            )

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
            ([(200, b"<html>")], RuntimeError, "Expected a JSON object with 'metadata'"),
            ([(200, b"[]")], RuntimeError, "Expected a JSON object with 'metadata'"),
            ([(500, b"")], RuntimeError, "HTTP 500"),
            ([(502, b""), (503, b""), None], ConnectionError, "Start it.*port for REST"),
        ):
            with self.assertRaisesRegex(kind, message):
                self.client(address=address).metadata()
            self.assertEqual(answers, [])


class ProgramTest(tf.test.TestCase):
    def test_flags_are_passed_on(self):
        with (
            mock.patch.object(client_program, "Client") as made,
            mock.patch.dict(client_program.COMMANDS, sample=(mock.Mock(), [])),
        ):
            asked = ("--server=a:1", "--model=m", "--rest", "--timeout=5", "sample")
            helpers.run_program(client_program, *asked, f"--out={toy.FOLDER.name}/none.png")
        made.assert_called_once_with("a:1", "m", True, 5.0)


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

    @unittest.skipIf(protocols.grpc is None, NEEDS_GRPC)
    def test_a_server_that_goes_away(self):
        servable("toy")
        program = self.start(
            "pixelcnn_aux.client",
            *("--server", f"127.0.0.1:{free_port()}", "--model", "toy", "--timeout=1"),
            *("sample", "--out", f"{toy.FOLDER.name}/never.png"),
        )
        base_path = f"--model_base_path={toy.FOLDER.name}/toy"
        server = self.start(
            "pixelcnn_aux.testing.prediction_server", base_path, "--port=0", "--rest_api_port=0"
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
        self.assertFalse(os.path.exists(f"{toy.FOLDER.name}/never.png"))


if __name__ == "__main__":
    tf.test.main()
