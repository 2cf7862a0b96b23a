"""Tests of the client: requests, rejected inputs, and untrusted servers."""

import concurrent.futures
import importlib
import io
import socket
import sys
import threading
import time
from unittest import mock

import grpc
import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from pixelcnn_aux.serving import exporting, grpc_client, interface
from pixelcnn_aux.serving.grpc_client import Client
from pixelcnn_aux.serving.interface import Tensor
from tests.serving import model_server, toy
from tests.serving.toy import HEIGHT, WIDTH, drawn_images, seeds

IMAGE = drawn_images([[0, 1], [0, 2]])
HOW = {"seed": seeds([0, 1], [0, 2]), "log_scale_shift": np.zeros(2, np.float32)}


class ClientTest(toy.ServedTest):
    def quick_attempts(self):
        self.enter_context(mock.patch.object(grpc_client, "PAUSES", (0.01, 0.02)))

    def test_arrays_come_back_as_they_are(self):
        pairs, shifts = seeds([-(2**31), 2**31 - 1], [0, 5]), np.array([0.0, 9.0], np.float32)
        client = self.client()
        answer = client.predict("sample", seed=pairs, log_scale_shift=shifts)
        expected = drawn_images(pairs, np.array([0, 9])[:, None, None, None])
        self.assertAllEqual(answer["image"], expected)
        self.assertEqual(answer["image"].dtype, np.uint8)
        self.assertAllEqual(answer["grayscale"], toy.gray(expected))
        for png, image in zip(answer["image_png_bytes"], expected):
            self.assertAllEqual(np.asarray(Image.open(io.BytesIO(png))), image)
        bits = client.predict("log_prob", image=expected)["bits_per_dim"]
        self.assertEqual(bits.dtype, np.float32)
        self.assertAllClose(bits, expected.mean((1, 2, 3)) * 5 / 1024, rtol=1e-6)

    def test_concurrent_requests_get_their_own_rows(self):
        shared = self.client()

        def ask(number):
            pairs, shifts = seeds([number, 0], [0, number]), np.full(2, number, np.float32)
            answer = shared.predict("sample", seed=pairs, log_scale_shift=shifts)
            return np.array_equal(answer["image"], drawn_images(pairs, number))

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            self.assertEqual([*pool.map(ask, range(64))], [True] * 64)

    def test_large_rows_are_asked_for_one_by_one(self):
        sample = interface.signatures_of_chain(self.toys["toy"].images)["sample"]
        one = interface.most_bytes(sample.outputs, 1)
        self.enter_context(mock.patch.object(grpc_client, "MAX_BYTES", one))
        requests = self.spy()
        self.assertLen(self.client().predict("sample", **HOW)["image"], 2)
        asked = [call.args[0] for call in requests.mock_calls]
        self.assertEqual(asked, ["auxiliaries", "sample", "sample"])

    def test_a_deadline_for_all_of_a_request(self):
        silent = self.enter_context(socket.create_server((model_server.HOST, 0)))
        unconnected = f"{model_server.HOST}:{silent.getsockname()[1]}"
        slow, released = self.client(timeout=0.5), threading.Event()
        self.assertLen(slow.images, 2)
        self.addCleanup(released.set)
        self.spy(side_effect=lambda *_: released.wait(60))
        for client, message in (
            (self.client(address=unconnected, timeout=0.5), "within 0.5 seconds"),
            (slow, "within 0.5 seconds. Received: DEADLINE_EXCEEDED.* longer timeout"),
        ):
            start = time.monotonic()
            with self.assertRaisesRegex(TimeoutError, message):
                client.predict("log_prob", image=IMAGE)
            self.assertLess(time.monotonic() - start, 10.0)

    def test_a_server_that_is_busy_is_asked_again(self):
        self.quick_attempts()
        full = tf.errors.UnavailableError(None, None, "The batch scheduling queue is full")
        client = self.client()
        self.assertLen(client.images, 2)
        requests = self.spy(side_effect=[full, full, mock.DEFAULT, full, full, full])
        self.assertLen(client.predict("log_prob", image=IMAGE)["bits_per_dim"], 2)
        with self.assertRaisesRegex(ConnectionError, "queue is full.* Start"):
            client.predict("log_prob", image=IMAGE)
        self.assertEqual(requests.call_count, 6)

    def test_a_server_that_comes_up_late_or_never(self):
        with socket.socket() as listener:
            listener.bind((model_server.HOST, 0))
            _, port = listener.getsockname()
        address = f"{model_server.HOST}:{port}"
        late = self.client(address=address)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(late.predict, "log_prob", image=IMAGE)
            time.sleep(0.6)
            self.assertFalse(answer.done())
            with model_server.serving(self.toys["toy"], port):
                self.assertLen(answer.result()["bits_per_dim"], 2)
        self.quick_attempts()
        with self.assertRaisesRegex(ConnectionError, f"{address} .* Start TensorFlow Serving"):
            self.client(address=address).predict("log_prob", image=IMAGE)

    def test_addresses_names_and_timeouts_that_are_none(self):
        for server, model in (
            *((x, "toy") for x in ("localhost", ":8500", "http://localhost:1")),
            *((x, "toy") for x in ("a:65536", "a\0:1", "\udcff:1", None)),
            ("a:1", "\n"),
        ):
            with self.assertRaisesRegex(ValueError, "server as HOST:PORT and a model's name"):
                Client(server, model)
        for timeout in (0, 1e10, float("nan")):
            with self.assertRaisesRegex(ValueError, f"Expected timeout above 0.*={timeout}"):
                Client("localhost:1", "toy", timeout)

    def test_what_the_server_lacks_or_refuses(self):
        address = self.serve()
        with self.assertRaisesRegex(ValueError, r"model tory .*NOT_FOUND .*Latest\(tory\)"):
            self.client("tory", address).predict("log_prob", image=IMAGE)
        with self.assertRaisesRegex(ValueError, "INVALID_ARGUMENT .*Expected shifts below 100"):
            shifts = np.full(2, 1e3, np.float32)
            self.client(address=address).predict("sample", **HOW | {"log_scale_shift": shifts})
        del self.toys["wide"].signature_defs["auxiliaries"]
        with self.assertRaisesRegex(RuntimeError, "there as wide, with the signature auxiliaries"):
            self.client("wide").predict("log_prob", image=IMAGE)
        del self.toys["toy"].signature_defs["complete"]
        for signature in ("given_green", "complete"):
            message = f"signature of toy: .*sample.* Received: '{signature}'"
            with self.assertRaisesRegex(ValueError, message):
                self.client(address=address).predict(signature, **HOW)

    def test_what_does_not_fit_is_not_sent(self):
        clients = {model: self.client(model) for model in ("toy", "wide", "gray")}
        requests = [self.spy(model) for model, client in clients.items() if client.images]
        mask = np.ones((2, HEIGHT, WIDTH, 1), np.uint8)
        pair, coarse = HOW["seed"], np.full((2, HEIGHT // 2, WIDTH // 2, 3), 5, np.uint8)
        for model, signature, arrays, message in (
            ("toy", "sample", {"seed": pair}, r"\['log_scale_shift', 'seed'\].* \['seed'\]"),
            ("toy", "log_prob", {"image": IMAGE, "seed": pair}, r"Expected \['image'\]"),
            ("toy", "log_prob", {"image": IMAGE[:0]}, r"uint8 \[1, 4, 6, 3\].* \[0, 4, 6, 3\]"),
            ("toy", "log_prob", {"image": IMAGE[0]}, r"\[4, 4, 6, 3\].* uint8 \[4, 6, 3\]"),
            ("toy", "log_prob", {"image": IMAGE.astype(np.int32)}, "Received: int32"),
            ("toy", "complete", {**HOW, "image": IMAGE, "mask": 2 * mask}, "mask from 0 to 1"),
            ("toy", "given_grayscale", {**HOW, "auxiliary": 16 * mask}, "auxiliary from 0 to 15"),
            ("wide", "given_coarse", {**HOW, "auxiliary": coarse}, "auxiliary from 0 to 4"),
            ("gray", "log_prob", {"image": mask * 17}, "image from 0 to 15. Received: 17"),
            ("toy", "sample", {**HOW, "seed": pair[:1]}, r"seed as int32 \[2, 2\].* \[1, 2\]"),
            ("toy", "sample", {**HOW, "log_scale_shift": np.full(2, np.nan, "f4")}, "finite"),
        ):
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                clients[model].predict(signature, **arrays)
        for spy in requests:
            spy.assert_not_called()

    def test_without_the_package(self):
        """Only the client needs the package, exports do not."""
        self.addCleanup(importlib.reload, grpc_client)
        absent = {x: None for x in sys.modules if x.startswith("tensorflow_serving")}
        self.enter_context(mock.patch.dict(sys.modules, absent))
        importlib.reload(exporting)
        with self.assertRaisesRegex(ImportError, "pip install tensorflow-serving-api"):
            importlib.reload(grpc_client)


class HostileTest(toy.ServedTest):
    """Servers with wrong answers."""

    def assert_refused(self, address, signature, message):
        """Asserts that a request soon raises a one-line error."""
        inputs = {"image": IMAGE} if signature in ("log_prob", "auxiliaries") else HOW
        start = time.monotonic()
        with self.subTest(message), self.assertRaisesRegex(RuntimeError, message) as caught:
            Client(address, "toy", 20.0).predict(signature, **inputs)
        self.assertLess(time.monotonic() - start, 10.0)
        said = str(caught.exception)
        self.assertRegex(said, f"^Expected .*{address}.* Received: ")
        self.assertTrue(said.isprintable() and len(said) < 1200, said)

    def test_likelihoods_of_what_is_impossible(self):
        infinite = {"log_prob": np.full(2, -np.inf, "f4"), "bits_per_dim": np.full(2, np.inf, "f4")}
        self.toys["toy"].changes["log_prob"] = infinite
        answer = self.client().predict("log_prob", image=IMAGE)
        for name, array in infinite.items():
            self.assertAllEqual(answer[name], array)

    def test_wrong_answers(self):
        image, floats, nan = np.zeros_like(IMAGE), np.zeros(2, np.float32), np.nan
        strings, counts = np.array([b"1", b"2"], object), np.array([[16, 257]], np.int32)
        factors = (b"grayscale", b"grayscale"), (b"green", b"image"), (b"image", b"grayscale")
        factors += (b"grayscale", b"\x1b[2Jimage"), (b"\xff", b"image")
        address = self.serve()
        for signature, name, array, message in (
            ("log_prob", "bits_per_dim", None, r"Expected \['bits_per_dim', 'bits_per_dim_gray"),
            ("log_prob", "log_prob", floats[:1], r"log_prob as float32 \[2\].* \[1\]"),
            ("log_prob", "log_prob", strings, "Received: 'object"),
            ("log_prob", "log_prob", floats + nan, "at most 0 nats.* Received: nan"),
            ("log_prob", "log_prob_grayscale", floats + 1, "at most 0 nats.* Received: 1.0"),
            ("log_prob", "bits_per_dim_image", floats + nan, "at least 0.* Received: nan"),
            ("sample", "image", image.astype(np.float32), "image as uint8.* Received: 'float32"),
            ("sample", "image", image[:, :, :5], r"uint8 \[2, 4, 6, 3\].*\[2, 4, 5, 3\]"),
            ("sample", "grayscale", image[..., :1] + 16, "grayscale from 0 to 15.* Received: 16"),
            ("auxiliaries", "num_values", counts - counts, r"1 to \[256, 256\]"),
            ("auxiliaries", "num_values", counts, r"1 to \[256, 256\]"),
            ("auxiliaries", "max_batch", np.zeros(1, np.int32), "max_batch of at least 1.* 0"),
            *(("auxiliaries", "factors", np.array([x], object), "factors of") for x in factors),
        ):
            self.toys["toy"].changes = {signature: {name: array}}
            self.assert_refused(address, signature, message)

        for size in (0, 2**20 + 1):
            self.toys["classes"].changes = {"auxiliaries": {"num_classes": np.int32([size])}}
            with self.assertRaisesRegex(RuntimeError, f"condition of 1 to .* Received: {size}"):
                self.assertIsNone(self.client("classes").condition)

    def test_wrong_metadata(self):
        address, served = self.serve(), self.toys["toy"].signature_defs
        original = meta_graph_pb2.SignatureDef()
        original.CopyFrom(served["auxiliaries"])
        # Its answers stay unchanged.
        self.toys["toy"].changes = {"auxiliaries": self.toys["toy"].auxiliaries(IMAGE[:1])}

        def gray(*shape, dtype=tf.uint8):
            shape = tf.TensorShape(shape).as_proto()
            return meta_graph_pb2.TensorInfo(dtype=dtype.as_datatype_enum, tensor_shape=shape)

        negative = gray(None, 4, 6, 1)
        negative.tensor_shape.dim[1].size = -4
        large = gray(None, 2**31, 2**31, 3)
        for role, name, changed, message in (
            ("outputs", "grayscale", gray(None, 4, 6, 1, dtype=tf.float32), "images uint8"),
            ("outputs", "grayscale", gray(None, 4, 6), r"4, 6\)"),
            ("outputs", "grayscale", meta_graph_pb2.TensorInfo(dtype=9999), "images uint8"),
            ("outputs", "grayscale", gray(2, 4, 6, 1), r"2, 4, 6, 1\)"),
            ("outputs", "grayscale", negative, r"-1, -4, 6, 1\)"),
            ("outputs", "grayscale", large, "at most 67108864 bytes"),
            ("outputs", "grayscale", gray(None, 4, 5, 1), r"\[1, 4, 5, 1\]"),
            ("outputs", "grayscale", None, r"string \[1, 1\]|Received: \['factors', 'gray"),
            ("outputs", "\x1b[2J", gray(None, 4, 6, 1), "Received: "),
            ("inputs", "image", None, "images uint8"),
        ):
            served["auxiliaries"].CopyFrom(original)
            infos = getattr(served["auxiliaries"], role)
            if changed is None:
                del infos[name]
            else:
                infos[name].CopyFrom(changed)
            self.assert_refused(address, "sample", message)

    def answering(self, metadata=None, answer=None, compression=None):
        """HOST:PORT of a server that answers with these bytes, except to `auxiliaries`."""
        if metadata is None:
            right = model_server.metadata_response(self.toys["toy"].signature_defs)
            metadata = right.SerializeToString()
        described = self.response(self.toys["toy"].auxiliaries(IMAGE[:1])).SerializeToString()
        answers = iter([described])
        methods = {
            "GetModelMetadata": (lambda _: metadata, bytes),
            "Predict": (lambda _: next(answers, answer), bytes),
        }
        return self.enter_context(model_server.answering(methods, compression=compression))

    def response(self, arrays):
        """A PredictResponse."""
        response = predict_pb2.PredictResponse()
        for name, array in arrays.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    def test_tensors_of_other_values(self):
        right = {"log_prob": self.toys["toy"].log(IMAGE), "sample": self.toys["toy"].sample(**HOW)}
        for signature in right:  # in `tensor_content`
            address = self.answering(answer=self.response(right[signature]).SerializeToString())
            inputs = {"image": IMAGE} if signature == "log_prob" else HOW
            answer = Client(address, "toy").predict(signature, **inputs)
            for name, array in right[signature].items():
                self.assertAllEqual(answer[name], array)
        for name, changed, message in (
            ("grayscale", {"int_val": [0]}, r"reshape array of size 1 into shape \(2,4,6,1\)"),
            ("grayscale", {"int_val": [*[0] * 47, 256]}, "uint8 from 0 to 256"),
            ("grayscale", {"int_val": [*[0] * 47, -1]}, "uint8 from -1 to 0"),
            ("grayscale", {"float_val": [0.0] * 48}, "size 0"),
            ("grayscale", {"tensor_content": b"0" * 47}, "size 47"),
            ("grayscale", {"tensor_content": b"0" * 48}, "grayscale from 0 to 15.* Received: 48"),
            ("grayscale", {"int_val": [0] * 48, "dims": [2**40, 4, 6, 1]}, "1099511627776"),
            ("grayscale", {"half_val": [0] * 48, "dtype": tf.half}, "Received: .*'float16'"),
            ("image_png_bytes", {"string_val": [b""]}, "size 1"),
            ("log_prob", {"tensor_content": b"0" * 7}, "buffer size"),
        ):
            signature = "log_prob" if name == "log_prob" else "sample"
            response = self.response(right[signature])
            tensor = response.outputs[name]
            dims = changed.pop("dims", [dim.size for dim in tensor.tensor_shape.dim])
            dtype = changed.pop("dtype", tf.as_dtype(tensor.dtype)).as_datatype_enum
            tensor.Clear()
            tensor.MergeFrom(type(tensor)(dtype=dtype, **changed))
            for dim in dims:
                tensor.tensor_shape.dim.add(size=dim)
            address = self.answering(answer=response.SerializeToString())
            self.assert_refused(address, signature, message)

    def test_no_answer_of_tensorflow_serving(self):
        other, spoiled = model_server.metadata_response({}), model_server.metadata_response({})
        other.metadata["signature_def"].Pack(tf.make_tensor_proto(0))
        spoiled.metadata["signature_def"].value = b"\xff"
        response = self.response(self.toys["toy"].log(IMAGE))
        # An unused field.
        large = response.SerializeToString() + b"\x3a\x80\x80\x40" + bytes(2**20)
        for served, message in (
            ({"metadata": b"\xff"}, "INTERNAL"),
            ({"metadata": b""}, "the signature 'auxiliaries'"),
            ({"metadata": other.SerializeToString()}, "the signature 'auxiliaries'"),
            ({"metadata": spoiled.SerializeToString()}, "the signature 'auxiliaries'"),
            ({"metadata": bytes(grpc_client.METADATA_BYTES + 1)}, "RESOURCE_EXHAUSTED .*larger"),
            ({"answer": b"\xff"}, "INTERNAL"),
            ({"answer": b""}, r"Expected .*log_prob.* Received: \[\]"),
            ({"answer": large}, "RESOURCE_EXHAUSTED .*larger than max"),
            ({"answer": large, "compression": grpc.Compression.Gzip}, "INTERNAL .*gzip"),
        ):
            self.assert_refused(self.answering(**served), "log_prob", message)

    def test_limits(self):
        """An export's largest answers fit."""
        random = np.random.default_rng(0)
        for shape in ((1, 1, 1), (1, 1, 3), (40, 40, 1), (1, 1600, 3), (1600, 1, 1)):
            images = random.integers(100, 256, [10, *shape], np.uint8)
            tensors = {
                "image": Tensor(tf.uint8, shape),
                "image_png_bytes": interface.STRINGS,
                "log_prob": interface.FLOATS,
            }
            response = predict_pb2.PredictResponse()
            response.outputs["image"].int_val.extend(images.ravel().tolist())
            png = [tf.io.encode_png(image).numpy() for image in images]
            response.outputs["image_png_bytes"].string_val.extend(png)
            response.outputs["log_prob"].float_val.extend([-1.5] * 10)
            limit = interface.most_bytes(tensors, 10)
            self.assertLess(len(response.SerializeToString()), limit)
            self.assertLess(limit, 2**17 + 20 * images.size)
