"""The light installation: the wheel without extras.

.ci/run runs this file in an environment that has no others, from outside of the checkout.
"""

import contextlib
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zlib

import numpy as np
from PIL import Image

import pixelcnn_aux as pa

ABSENT = "keras tensorflow tensorflow_probability jax matplotlib skimage tifffile gradio".split()
MOST = 150e6  # bytes of the environment, without the trained models
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
IMAGES[2:] = np.linspace(0, 255, 32, dtype=np.uint8)[:, np.newaxis]  # ramps
IMAGES[3] //= 2
BITS = {  # of the four images, by Keras in TensorFlow
    "cifar10-grayscale": [10.0244, 10.3714, 0.1887, 0.1468],
    "cifar10-pixelcnn": [9.2395, 9.3289, 0.4693, 0.3831],
    "cifar10-pyramid": [9.3625, 9.4472, 0.4361, 0.3268],
    "photographs": [9.2553, 9.3573, 0.4400, 0.3036],
    "photographs-fast": [9.3980, 9.5297, 0.9189, 0.5749],
}
# CRC-32 of the streams, which are the same on all machines.
COMPRESSED = {"photographs": 2366795733, "photographs-fast": 2595499911}
REFUSED = [
    (
        ["train", "grayscale", "--dataset", "folder", "--image_dir", ".", "--workdir", "run"],
        "the package keras",
    ),
    (["export", "--workdir", "photographs", "--out", "models"], "the package tensorflow"),
    (["demo"], "Gradio"),
    (["codec", "inspect", "file.pxa", "--map", "map.png"], "Matplotlib"),
    (["color", "picture.png", "--jit"], "the package keras"),
]


class LightInstallationTest(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(contextlib.chdir(folder))
        self.picture = IMAGES[2] // np.array([1, 2, 3], np.uint8)
        Image.fromarray(self.picture).save("picture.png")

    def read(self, path):
        with Image.open(path) as opened:
            return np.asarray(opened)

    def run_program(self, *arguments, status=0):
        command = [sys.executable, "-m", "pixelcnn_aux", *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(found.returncode, status, found.stdout + found.stderr)
        return found.stdout + found.stderr

    def test_the_environment_is_light(self):
        self.assertEqual([x for x in ABSENT if importlib.util.find_spec(x)], [])
        zoo = pathlib.Path(pa.__file__).parent / "zoo"
        files = [
            x for x in pathlib.Path(sys.prefix).rglob("*") if x.is_file() and not x.is_symlink()
        ]
        size = sum(x.stat().st_size for x in files if zoo not in x.parents)
        print(f"The light installation has {size / 1e6:.0f} MB without the trained models.")
        self.assertLess(size, MOST)

    def test_bits_are_those_of_keras(self):
        for name, expected in BITS.items():
            found = pa.load(name).bits_per_dim(IMAGES)["total"]
            np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_photographs_are_there(self):
        self.assertEqual(pa.data.load("photos", "test", (32, 32)).take([0]).shape, (1, 32, 32, 3))
        self.run_program(*"bpd --workdir cifar10-pyramid --dataset photos --num_images 8".split())

    def test_models_draw_and_classify(self):
        model = pa.load("cifar10-grayscale")
        drawn = model.sample([[0, 0], [0, 1]], condition=[3, 7])
        self.assertEqual(drawn["image"].shape, (2, 32, 32, 3))
        np.testing.assert_array_equal(
            model.auxiliaries(drawn["image"])["grayscale"], drawn["grayscale"]
        )
        np.testing.assert_allclose(np.exp(model.class_log_probs(IMAGES)).sum(axis=1), 1, rtol=1e-5)
        self.assertEqual(model.params(IMAGES)["image"].shape, (4, 32, 32, 100))

    def test_files_are_the_same_as_everywhere(self):
        for name, expected in COMPRESSED.items():
            model = pa.load(name)
            data = pa.codec.Codec(model).compress(IMAGES)
            contents = pa.codec.container.read(data)
            self.assertEqual(zlib.crc32(np.concatenate(contents.streams)), expected)
            np.testing.assert_array_equal(pa.codec.Codec(model).decompress(data), IMAGES)

    def test_programs_work(self):
        self.assertIn("photographs", self.run_program("models"))
        self.assertIn("# Lossless compression", self.run_program("docs", "codec"))
        for command in (["color"], ["enlarge"], ["complete", "--known", "half"]):
            self.run_program(*command, "picture.png", "--num", "1", "--out", f"{command[0]}.png")
            times = 2 if command == ["enlarge"] else 1
            self.assertEqual(self.read(f"{command[0]}.png").shape, (32 * times, 32 * times, 3))
        self.run_program(
            *"sample --workdir cifar10-pixelcnn --num 2 --label 3 --out drawn.png".split()
        )
        self.assertGreater(self.read("drawn.png").shape[1], 64)
        table = self.run_program("score", "picture.png", "--workdir", "photographs")
        self.assertRegex(table, r"picture\.png,32,32,as it is,[\d.,]+\n")
        self.run_program(*"codec compress picture.png --workdir photographs --out file.pxa".split())
        self.assertIn("reproduced exactly", self.run_program("codec", "verify", "file.pxa"))
        self.assertIn("photographs", self.run_program("codec", "inspect", "file.pxa"))
        self.run_program("codec", "decompress", "file.pxa", "--out", "again")
        np.testing.assert_array_equal(self.read("again/picture.png"), self.picture)

    def test_everything_else_says_what_to_install(self):
        pathlib.Path("file.pxa").write_bytes(
            pa.codec.Codec(pa.load("photographs")).compress(IMAGES[:1])
        )
        for command, package in REFUSED:
            form = (
                rf"Error: Expected {package}[^\n]*\. Received: no such package\. Run pip install "
            )
            self.assertRegex(self.run_program(*command, status=1), form)
        for name in ("train", "layers"):
            with self.assertRaisesRegex(ImportError, f"the package keras, which {name} needs"):
                getattr(pa, name)
        factor = pa.load("cifar10-pixelcnn").factors["image"]
        with self.assertRaisesRegex(
            ImportError, r"keras, .*pip install 'pixelcnn_aux\[tensorflow\]'"
        ):
            factor.keras_model()


if __name__ == "__main__":
    unittest.main()
