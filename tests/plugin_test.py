"""A transform of one's own, in one file outside this repository, goes through everything that models do."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

from pixelcnn_aux.testing import c_api
from pixelcnn_aux.testing.prediction_server import PredictionServer
from pixelcnn_aux.testing.servable import Servable
from tests import helpers

ROOT = pathlib.Path(__file__).parents[1]
FILE = '''
import keras
import numpy as np
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux.networks import topology
from train import runner


@keras.saving.register_keras_serializable(package="mine")
class Tones(pa.auxiliary.Transform):
    """Light and dark of each channel, of every other pixel."""

    num_values = 2
    ratio = 2

    def __call__(self, images):
        return ops.cast(images[:, ::2, ::2] > 127, "uint8")


@pa.data.register("noise")
def noise(split, image_size, data_dir, image_dir):
    random = np.random.default_rng(len(split))
    return pa.data.from_arrays(random.integers(0, 256, (8, *image_size, 3)).astype(np.uint8))


def tones(filters):
    network = {"topology": topology.flat(1), "filters": filters}
    embedding = {"topology": topology.super_resolution(1, 1), "filters": filters}
    return pa.chain([Tones()], (4, 4), network, embedding, num_components=2)


TRAINING = dict.fromkeys(["tones", "image"], pa.Training(1, 2, 4, 1e-3, 0.99))
PRESETS = {"demo": pa.presets.Preset("noise", tones, {"filters": 4}, TRAINING)}

if __name__ == "__main__":
    runner.run("mine", PRESETS)
'''


class PluginTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        (self.folder / "mine.py").write_text(FILE)
        self.assertLessEqual(len(FILE.strip().splitlines()), 40)

    def start(self, module, *arguments):
        """A program in a process of its own, as a user starts it in the folder of the file."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process, status=0):
        output, _ = process.communicate()
        self.assertEqual(process.returncode, status, output)
        return output

    def test_everything(self):
        self.finish(self.start("mine"))
        run = self.folder / "runs" / "mine-demo-noise"
        unknown = self.start("evaluate.bpd")
        plugin = ("--plugin", "mine")
        bpd = self.start("evaluate.bpd", *plugin, "--split", "test")
        output = self.finish(unknown, status=1)
        self.assertIn("Received: mine>Tones, which is not. Decorate it", output)
        self.assertIn("--plugin", output)
        self.assertNotIn("Traceback", output)
        self.finish(bpd)
        result = json.loads((run / "bpd.json").read_text())
        self.assertEqual(list(result["factors"]), ["tones", "image"])
        self.assertTrue(0 < result["factors"]["tones"] < result["total"] < 20)

        samples = self.start("evaluate.samples", *plugin, "--num", "2", "--given", "tones")
        exported = self.start("pixelcnn_aux.export", *plugin, "--out", "models")
        self.finish(samples)
        self.assertGreater(np.asarray(Image.open(run / "given_tones.png")).std(), 20)
        self.finish(exported)
        base = self.folder / "models" / run.name

        seeds = np.array([[0, 1], [0, 2]], np.int32)
        request = "sample", {"seed": seeds, "log_scale_shift": np.zeros(2, np.float32)}
        program = c_api.build(self.folder)
        [answer] = c_api.run(program, base / "1", [request]).results
        self.assertEqual(answer.outputs["image"].shape, (2, 4, 4, 3))
        self.assertEqual(answer.outputs["tones"].shape, (2, 2, 2, 3))
        self.assertLess(answer.outputs["tones"].max(), 2)

        photo = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(photo).save(self.folder / "photo.png")
        with PredictionServer(Servable(base)) as server:
            client = ("--server", f"127.0.0.1:{server.port}", "--model", run.name)
            given = ("given", "tones", "photo.png", "--num", "1", "--out", "given.png")
            self.finish(self.start("pixelcnn_aux.client", *client, *given))
        self.assertGreater(np.asarray(Image.open(self.folder / "given.png")).std(), 20)


if __name__ == "__main__":
    tf.test.main()
