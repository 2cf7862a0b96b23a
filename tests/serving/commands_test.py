"""Tests of the client's program: what it draws, the pictures it writes, and what it says of wrong input."""

import contextlib
import functools
import io
import types
import unittest
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

from pixelcnn_aux import auxiliary, client, data
from pixelcnn_aux.serving import protocols
from tests import helpers
from tests.serving import toy
from tests.serving.toy import HEIGHT, WIDTH, drawn_images


def tiles(path, height=1):
    """uint8 [n, height, H, W, 3]: the images of a picture, of which so many are above each other."""
    picture = np.asarray(Image.open(path))[::3, ::3]
    rows, columns = picture.shape[0] // height // (HEIGHT + 2), picture.shape[1] // (WIDTH + 2)
    picture = picture.reshape(rows, height, HEIGHT + 2, columns, WIDTH + 2, 3).swapaxes(2, 3)
    picture = picture.swapaxes(1, 2).reshape(-1, height, HEIGHT + 2, WIDTH + 2, 3)
    return picture[:, :, 1:-1, 1:-1]


class CommandTests(toy.ServedTests):
    """What holds for either protocol."""

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


@unittest.skipIf(protocols.grpc is None, toy.NEEDS_GRPC)
class GrpcTest(CommandTests, tf.test.TestCase):
    REST = False


class RestTest(CommandTests, tf.test.TestCase):
    REST = True


if __name__ == "__main__":
    tf.test.main()
