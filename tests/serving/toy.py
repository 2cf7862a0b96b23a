"""A model of a little arithmetic behind a server on the loopback interface: what tests of clients ask."""

import functools
import math
import pathlib
import socket
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import auxiliary
from pixelcnn_aux.serving import client
from pixelcnn_aux.testing import prediction_server
from tests import helpers

HEIGHT, WIDTH = helpers.SIZE
NEEDS_GRPC = "gRPC needs tensorflow-serving-api: pip install 'pixelcnn_aux[serving]'"


def drawn_images(seeds, shift=0):
    """What a toy of color images draws: uint8 [N, H, W, 3] from int [N, 2], in NumPy."""
    seeds = np.asarray(seeds, np.int64)[:, None, None, None]
    pixels = np.arange(HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3)
    return ((seeds[..., 0] * 31 + seeds[..., 1] * 7 + pixels + shift) % 256).astype(np.uint8)


def coarse(images):
    """uint8 [N, H, W, 3] -> uint8 [N, H / 2, W / 2, 3], values 0 .. 4: no transform of the package."""
    return images[:, ::2, ::2] // 52


def green(images):
    """uint8 [N, H, W, 3] -> uint8 [N, H, W, 1], of all 256 values, likewise."""
    return images[..., 1:2]


class Toy(tf.Module):
    """Stands in for an export: its signatures, but no networks. One of its own, `slow`, takes its time.

    Args:
      auxiliaries: dict, factor name -> (function of full images, the num_values that it gives).
      full: str, the name of the factor of full images.
      channels, num_values: int, of full images.
      max_batch: int, the most rows of a request to `sample`.
    """

    def __init__(self, auxiliaries, full="image", channels=3, num_values=256, max_batch=256):
        super().__init__()
        self.transforms = {name: transform for name, (transform, _) in auxiliaries.items()}
        self.num_values = [*(num_values for _, num_values in auxiliaries.values()), num_values]
        self.full = full
        self.channels = channels
        self.max_batch = max_batch

    def draw(self, seed, shift):
        seed, shift = tf.cast(seed, tf.int64), tf.cast(shift, tf.int64)
        first = seed[:, 0] * 31 + seed[:, 1] * 7 + shift
        pixels = tf.reshape(tf.range(HEIGHT * WIDTH * 3, dtype=tf.int64), [HEIGHT, WIDTH, 3])
        drawn = (first[:, None, None, None] + pixels) % self.num_values[-1]
        return tf.cast(drawn[..., : self.channels], tf.uint8)

    def auxiliary_images(self, image):
        return {name: transform(image) for name, transform in self.transforms.items()}

    def with_png(self, image):
        if self.num_values[-1] < 256:
            return {"image": image}
        png = tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.string)
        return {"image": image, "image_png_bytes": png}

    def sample(self, seed, log_scale_shift):
        checks = [
            tf.debugging.Assert(fits, [f"Expected {expected}."])
            for fits, expected in (
                (tf.reduce_all(log_scale_shift < 100), "shifts below 100"),
                (tf.shape(seed)[0] <= self.max_batch, f"at most {self.max_batch} rows"),
            )
        ]
        with tf.control_dependencies(checks):
            image = self.draw(seed, log_scale_shift)
            return {**self.auxiliary_images(image), **self.with_png(image)}

    def given(self, seed, log_scale_shift, auxiliary):
        shift = tf.reduce_sum(tf.cast(auxiliary, tf.int64), axis=[1, 2, 3])
        return self.with_png(self.draw(seed, tf.cast(log_scale_shift, tf.int64) + shift))

    def complete(self, seed, log_scale_shift, image, mask):
        return self.with_png(tf.where(mask == 1, image, self.draw(seed, log_scale_shift)))

    def log_prob(self, image):
        means = tf.reduce_mean(tf.cast(image, tf.float32), axis=[1, 2, 3])
        bits = {**dict.fromkeys(self.transforms, means / 1024), self.full: means / 256}
        total = tf.add_n(list(bits.values()))
        nats = -HEIGHT * WIDTH * self.channels * math.log(2)
        return {
            "bits_per_dim": total,
            "log_prob": nats * total,
            **{f"bits_per_dim_{name}": value for name, value in bits.items()},
            **{f"log_prob_{name}": nats * value for name, value in bits.items()},
        }

    def auxiliaries(self, image):
        rows = tf.ones([tf.shape(image)[0], 1], tf.int32)
        names = tf.constant([[*self.transforms, self.full]])
        return {
            **self.auxiliary_images(image),
            "factors": tf.repeat(names, tf.shape(image)[0], axis=0),
            "num_values": rows * [self.num_values],
            "max_batch": rows[:, 0] * self.max_batch,
        }

    def slow(self, seconds):
        end = tf.timestamp() + tf.cast(tf.reduce_max(seconds), tf.float64)
        now = tf.while_loop(lambda now: now < end, lambda _: [tf.timestamp()], [end - 1])
        with tf.control_dependencies(now):
            return {"waited": tf.identity(seconds)}

    def save(self, base_path, version):
        floats = tf.TensorSpec([None], tf.float32)
        how = {"seed": tf.TensorSpec([None, 2], tf.int32), "log_scale_shift": floats}
        image = tf.TensorSpec([None, HEIGHT, WIDTH, self.channels], tf.uint8)
        mask = tf.TensorSpec([None, HEIGHT, WIDTH, 1], tf.uint8)
        served = {
            "sample": (self.sample, how),
            "complete": (self.complete, {**how, "image": image, "mask": mask}),
            "log_prob": (self.log_prob, {"image": image}),
            "auxiliaries": (self.auxiliaries, {"image": image}),
            "slow": (self.slow, {"seconds": floats}),
        }
        zeros = self.auxiliary_images(tf.zeros([1, *image.shape[1:]], tf.uint8))
        for name, given in zeros.items():
            spec = tf.TensorSpec([None, *given.shape[1:]], tf.uint8)
            served[f"given_{name}"] = self.given, {**how, "auxiliary": spec}
        signatures = {
            name: tf.function(function).get_concrete_function(**specs)
            for name, (function, specs) in served.items()
        }
        tf.saved_model.save(self, str(base_path / version), signatures)


TOYS = {
    "toy": Toy({"grayscale": (auxiliary.Grayscale(4), 16)}),
    "plain": Toy({}, max_batch=8),
    # Not in the order of the alphabet, nor of size.
    "wide": Toy({"green": (green, 256), "coarse": (coarse, 5)}, full="4x6"),
    "gray": Toy({}, channels=1, num_values=16),
}
FOLDER = tempfile.TemporaryDirectory()  # gone when the process ends


@functools.cache
def servable(name):
    """The `Servable` of a saved `Toy`."""
    base_path = pathlib.Path(FOLDER.name) / name
    TOYS[name].save(base_path, "10")
    for other in ("9", ".writing-11"):  # neither is the newest version
        (base_path / other).mkdir()
    return prediction_server.Servable(base_path)


def seeds(*pairs):
    return np.array(pairs, np.int32)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ServedTests:
    """What tests of a served toy share; `REST` says which protocol they ask by."""

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

    def spy(self, model="toy", **kwargs):
        """Counts the requests that reach a model; other arguments change what it does."""
        toy = servable(model)
        return self.enter_context(
            mock.patch.object(toy, "predict", **{"wraps": toy.predict, **kwargs})
        )
