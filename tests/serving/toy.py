"""Stand-ins for exports, with trivial arithmetic, for tests of the client."""

import math
from unittest import mock

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from pixelcnn_aux import auxiliary
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.serving.grpc_client import Client
from pixelcnn_aux.serving.interface import Tensor, signatures_of_chain
from tests import helpers
from tests.serving import model_server

HEIGHT, WIDTH = helpers.SIZE


def drawn_images(seeds, shift=0):
    """Draws of a toy of color images, from int [N, 2]: uint8 [N, H, W, 3]."""
    seeds = np.asarray(seeds, np.int64)[:, None, None, None]
    pixels = np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3)
    return ((seeds[..., 0] * 31 + seeds[..., 1] * 7 + pixels + shift) % 256).astype(np.uint8)


def gray(images):
    """uint8 [N, H, W, 3] -> uint8 [N, H, W, 1], values 0 .. 15."""
    return auxiliary.Grayscale(4)(images)


def coarse(images):
    """uint8 [N, H, W, 3] -> uint8 [N, H / 2, W / 2, 3], values 0 .. 4: no transform of the package."""
    return images[:, ::2, ::2] // 52


def green(images):
    """uint8 [N, H, W, 3] -> uint8 [N, H, W, 1], values 0 .. 255: no transform of the package either."""
    return images[..., 1:2]


class Toy:
    """Stand-in for an export's `Servable`, which adds classes to shifts.

    `factors` is a dict, factor name -> (function of color images that gives its own, their num_values), and
    `changes` one of signature -> dict, output -> array in its place, or None to leave it out.
    """

    def __init__(self, name, factors, max_batch=256, condition=None):
        self.name, self.max_batch, self.condition = name, max_batch, condition
        self.changes, self.signature_defs = {}, {}
        *auxiliaries, full = factors
        self.transforms = {key: factors[key][0] for key in auxiliaries}
        self.full, _ = factors[full]
        zeros = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
        self.images = {
            key: Tensor(tf.uint8, function(zeros).shape[1:], num_values)
            for key, (function, num_values) in factors.items()
        }
        for key, (inputs, outputs) in signatures_of_chain(self.images, condition).items():
            made = self.signature_defs[key] = meta_graph_pb2.SignatureDef()
            for infos, tensors in ((made.inputs, inputs), (made.outputs, outputs)):
                for name, tensor in tensors.items():
                    infos[name].dtype = tensor.dtype.as_datatype_enum
                    shape = tf.TensorShape([None, *tensor.shape]).as_proto()
                    infos[name].tensor_shape.CopyFrom(shape)

    def predict(self, signature, inputs):
        """`Servable.predict`: calls the method whose name begins the signature's."""
        inputs = dict(inputs)
        label = inputs.pop("condition", 0)
        if "log_scale_shift" in inputs:
            inputs["log_scale_shift"] = inputs["log_scale_shift"] + label
        answer = getattr(self, signature.partition("_")[0])(**inputs)
        outputs = self.signature_defs[signature].outputs
        answer = {name: array for name, array in answer.items() if name in outputs}
        answer |= self.changes.get(signature, {})
        return {name: array for name, array in answer.items() if array is not None}

    def auxiliary_images(self, image):
        return {name: transform(image) for name, transform in self.transforms.items()}

    def draw(self, seed, shift):
        return self.full(drawn_images(seed, np.int64(shift)[:, None, None, None]))

    def answer(self, image):
        png = []
        if "image_png_bytes" in self.signature_defs["sample"].outputs:
            png = [tf.io.encode_png(x).numpy() for x in image]
        answer = {"image": image, "image_png_bytes": np.array(png, object)}
        return self.auxiliary_images(image) | answer

    def sample(self, seed, log_scale_shift):
        if len(seed) > self.max_batch or log_scale_shift.max() >= 100:
            message = f"Expected shifts below 100, and at most {self.max_batch} rows."
            raise tf.errors.InvalidArgumentError(None, None, message)
        return self.answer(self.draw(seed, log_scale_shift))

    def given(self, seed, log_scale_shift, auxiliary):
        return self.answer(self.draw(seed, log_scale_shift + auxiliary.sum((1, 2, 3))))

    def complete(self, seed, log_scale_shift, image, mask):
        return self.answer(np.where(mask == 1, image, self.draw(seed, log_scale_shift)))

    def log(self, image):
        means = image.mean((1, 2, 3), dtype=np.float32)
        *names, full = self.images
        bits = {**{f"_{name}": means / 1024 for name in names}, f"_{full}": means / 256}
        bits[""] = sum(bits.values())
        nats = np.float32(-math.prod(image.shape[1:]) * math.log(2))
        answer = {f"bits_per_dim{name}": value for name, value in bits.items()}
        return answer | {f"log_prob{name}": nats * value for name, value in bits.items()}

    def auxiliaries(self, image):
        rows, counts = len(image), [spec.num_values for spec in self.images.values()]
        classes = {"num_classes": np.full(rows, self.condition.size)} if self.condition else {}
        description = {"num_values": [counts] * rows, "max_batch": [self.max_batch] * rows}
        description |= classes
        return {
            **self.auxiliary_images(image),
            "factors": np.array([[name.encode() for name in self.images]] * rows, object),
            **{name: np.array(value, np.int32) for name, value in description.items()},
        }


def toys():
    """dict, name -> a new `Toy`."""
    full, grayscale = (lambda x: x, 256), (gray, 16)
    factors = {"grayscale": grayscale, "image": full}
    few = {"image": (lambda x: x[..., :1] % np.uint8(16), 16)}
    # In neither alphabetical order nor order of size.
    wide = {"green": (green, 256), "coarse": (coarse, 5), "4x6": full}
    return {
        "toy": Toy("toy", factors),
        "plain": Toy("plain", {"image": full}, max_batch=8),
        "wide": Toy("wide", wide),
        "gray": Toy("gray", few),
        "classes": Toy("classes", factors, condition=Classes(10)),
    }


def seeds(*pairs):
    return np.array(pairs, np.int32)


class ServedTest(helpers.TestCase):
    """Test case that serves new toys for each test."""

    def setUp(self):
        super().setUp()
        self.toys = toys()

    def serve(self, model="toy", port=0):
        """HOST:PORT of a new server of a toy."""
        return self.enter_context(model_server.serving(self.toys[model], port))

    def client(self, model="toy", address=None, timeout=60.0):
        return Client(address or self.serve(model), model, timeout)

    def spy(self, model="toy", **kwargs):
        """Mock of `Toy.predict`, which wraps it by default."""
        toy = self.toys[model]
        how = {"wraps": toy.predict, **kwargs}
        return self.enter_context(mock.patch.object(toy, "predict", **how))
