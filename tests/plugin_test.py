"""A transform in one file outside of this repository works in every program."""

import contextlib
import json
import sys
from unittest import mock

import numpy as np
from PIL import Image

from pixelcnn_aux.commands import bpd, client, export, program, sample, train
from tests import helpers
from tests.serving import model_server

FILE = '''
import keras
import numpy as np
from keras import ops

import pixelcnn_aux as pa
from pixelcnn_aux.commands import train
from pixelcnn_aux.networks import topology


@keras.saving.register_keras_serializable(package="mine")
class Tones(pa.auxiliary.Transform):
    """Light and dark of each channel, of every other pixel."""

    num_values = 2
    ratio = 2

    def __call__(self, images):
        return ops.cast(images[:, ::2, ::2] > 127, "uint8")


@pa.data.register("noise")
def noise(split, image_size):
    random = np.random.default_rng(len(split))
    return pa.data.from_arrays(random.integers(0, 256, (8, *image_size, 3)).astype(np.uint8))


def tones(filters):
    network = {"topology": topology.flat(1), "filters": filters}
    embedding = {"topology": topology.super_resolution(1, 1), "filters": filters}
    return pa.chain([Tones()], (4, 4), network, embedding=embedding, num_components=2)


TRAINING = pa.Training(epochs=1, steps_per_epoch=2, batch_size=4, learning_rate=1e-3, decay=0.99)
FACTORS = {"tones": TRAINING, "image": TRAINING}
DEMO = pa.presets.Preset(
    dataset="noise", constructor=tones, model={"filters": 4}, training=FACTORS
)
pa.presets.BY_MODEL["mine"] = {"demo": DEMO}
'''


class PluginTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "mine.py").write_text(FILE)
        self.assertLessEqual(len(FILE.strip().splitlines()), 40)

    @contextlib.contextmanager
    def imported(self):
        """Context in which the file is imported, as by --plugin."""
        with (
            helpers.nothing_stays_registered(),
            mock.patch.object(sys, "path", [str(self.folder), *sys.path]),
        ):
            program.import_plugin("mine")
            try:
                yield
            finally:
                del sys.modules["mine"]

    def test_everything(self):
        self.enter_context(contextlib.chdir(self.folder))
        run = self.folder / "runs" / "mine-demo-noise"
        with self.imported(), helpers.eagerly():
            helpers.run_program(train, "mine")
        with self.assertRaisesRegex(ValueError, "mine>Tones, which is not. Decorate it.*--plugin"):
            helpers.run_program(bpd)
        with self.imported(), helpers.exports_run_here():
            helpers.run_program(bpd, "--split=test")
            helpers.run_program(sample, "--num", "2", "--given", "tones")
            helpers.run_program(export, "--out=models", "--signatures=given_tones,auxiliaries")
        result = json.loads((run / "bpd.json").read_text())
        self.assertEqual(list(result["factors"]), ["tones", "image"])
        self.assertTrue(0 < result["factors"]["tones"] < result["total"] < 20)
        self.assertGreater(np.asarray(Image.open(run / "given_tones.png")).std(), 20)

        photo = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(photo).save(self.folder / "photo.png")
        servable = model_server.Servable(self.folder / "models" / run.name)
        with model_server.serving(servable) as address:
            asked = ("--server", address, "--model", run.name)
            given = ("given", "tones", "photo.png", "--num", "1", "--out", "given.png")
            helpers.run_program(client, *asked, *given)
        self.assertGreater(np.asarray(Image.open(self.folder / "given.png")).std(), 20)
