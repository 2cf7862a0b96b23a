"""Tests of pixelcnn-aux client: requests, pictures, and messages for wrong input."""

import numpy as np
from PIL import Image

from pixelcnn_aux import data, image_grid
from pixelcnn_aux.commands import client
from tests import helpers
from tests.serving import toy
from tests.serving.toy import HEIGHT, WIDTH, drawn_images


def tiles(path, height=1):
    """The images of a picture, `height` of them in a column: uint8 [n, height, H, W, 3]."""
    side = image_grid.SIDE // max(HEIGHT, WIDTH)  # of a pixel, enlarged
    picture = np.asarray(Image.open(path))[::side, ::side]
    rows, columns = picture.shape[0] // height // (HEIGHT + 2), picture.shape[1] // (WIDTH + 2)
    picture = picture.reshape(rows, height, HEIGHT + 2, columns, WIDTH + 2, 3).swapaxes(2, 3)
    picture = picture.swapaxes(1, 2).reshape(-1, height, HEIGHT + 2, WIDTH + 2, 3)
    return picture[:, :, 1:-1, 1:-1]


def colors(images, num_values):
    """Images of fewer values and pixels, as the picture has them: uint8 [n, H, W, c]."""
    scaled = np.round(images * (255 / (num_values - 1))).astype(np.uint8)
    return scaled.repeat(HEIGHT // images.shape[1], axis=1).repeat(WIDTH // images.shape[2], axis=2)


class ProgramTest(toy.ServedTest):
    def run_program(self, *arguments, model="toy"):
        asked = [f"--server={self.serve(model)}", f"--model={model}"]
        return helpers.run_program(client, *asked, *arguments)

    def write_image(self, name, size=(21, 17)):
        """Writes a file of another size than the model's images."""
        path = self.folder / name
        Image.fromarray(helpers.pictures(1, size=size)[0]).save(path)
        return path

    def test_sample(self):
        """Pictures are stacked in the order of the chain, each scaled to the full range."""
        out, how = self.folder / "grid.png", ["--seed=3", "--log_scale_shift=7"]
        for model, count, rows, shown in (
            ("toy", 20, [16, 4], [np.asarray, lambda x: 17 * toy.gray(x)]),
            ("plain", 16, [8, 8], [np.asarray]),  # 8 at most
            ("wide", 4, [4], [np.asarray, lambda x: colors(toy.coarse(x), 5), toy.green]),
            ("gray", 4, [4], [lambda x: 17 * (x[..., :1] % 16)]),
        ):
            requests = self.spy(model)
            output = self.run_program("sample", f"--num={count}", *how, "--out", out, model=model)
            self.assertEqual(output, f"Wrote {out}\n")
            asked = [call.args for call in requests.mock_calls if call.args[0] == "sample"]
            self.assertEqual([len(inputs["seed"]) for _, inputs in asked], rows)
            images = drawn_images([(3, index) for index in range(count)], shift=7)
            expected = [np.broadcast_to(x(images), images.shape) for x in shown]
            self.assertAllEqual(tiles(out, height=len(shown)), np.stack(expected, axis=1))
        message = r"color images.* Received: gray, of uint8 \[4, 6, 1\] below 16. Send arrays"
        with self.assertRaisesRegex(ValueError, message):
            self.run_program("bpd", self.write_image("photo.png"), model="gray")

    def check_draws_given(self, name, model, transform, num_values, *command):
        """A command draws given the auxiliary image of a file, computed by the server."""
        out, file = self.folder / "given.png", self.write_image("photo.jpg")
        requests = self.spy(model)
        shift = "--log_scale_shift=-2"
        self.run_program(*command, file, "--num=3", shift, "--out", out, model=model)
        image = data.read_image(file, helpers.SIZE)
        given = np.asarray(transform(image[np.newaxis]))
        signature, inputs = requests.mock_calls[-1].args
        self.assertEqual(signature, f"given_{name}")
        self.assertAllEqual(inputs["auxiliary"], np.repeat(given, 3, axis=0))
        found = tiles(out)[:, 0]
        self.assertAllEqual(found[0], image)
        self.assertAllEqual(found[1], np.broadcast_to(colors(given, num_values)[0], image.shape))
        draws = drawn_images([(0, 0), (0, 1), (0, 2)], shift=int(given.sum()) - 2)
        self.assertAllEqual(found[2:5], draws)
        self.assertAllEqual(found[5:], np.full((1, HEIGHT, WIDTH, 3), 255))

    def test_given(self):
        self.check_draws_given("grayscale", "toy", toy.gray, 16, "given", "grayscale")
        self.check_draws_given("grayscale", "toy", toy.gray, 16, "colorize")
        self.check_draws_given("coarse", "wide", toy.coarse, 5, "given", "coarse")
        out, file = f"--out={self.folder / 'other.png'}", self.write_image("photo.png")
        for model, command, message in (
            ("plain", ["colorize"], "image of plain: it has none. Received: 'grayscale'"),
            ("wide", ["given", "4x6"], "image of wide: green, coarse. Received: '4x6'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program(*command, file, out, model=model)
        self.assertFalse((self.folder / "other.png").exists())

    def test_complete(self):
        out, file = self.folder / "completed.PNG", self.write_image("photo.png")
        how = ["--num=2", "--seed=-4", "--log_scale_shift=-3"]
        self.run_program("complete", file, *how, f"--out={out}")
        image = data.read_image(file, helpers.SIZE)
        found, draws = tiles(out)[:, 0], drawn_images([(-4, 0), (-4, 1)], shift=-3)
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

    def test_classes(self):
        """All draws and likelihoods use the class --label, or none."""
        out, file = f"--out={self.folder / 'of_a_class.png'}", self.write_image("photo.png")
        for command, label in (
            (["sample", "--num=2", out, "--label=7"], 7),
            (["bpd", file, file, "--label=7"], 7),
            (["sample", "--num=2", out], -1),
        ):
            requests = self.spy("classes")
            self.run_program(*command, model="classes")
            _, inputs = requests.mock_calls[-1].args
            self.assertAllEqual(inputs["condition"], np.full(2, label, np.int32))
        requests = self.spy("classes")
        with self.assertRaisesRegex(ValueError, "classes from 0 to 9, or -1 .*Received: 10"):
            self.run_program("sample", out, "--label=10", model="classes")
        self.assertEqual([call.args[0] for call in requests.mock_calls], ["auxiliaries"])
        with self.assertRaisesRegex(
            ValueError, "class-conditional model for --label.*without a condition"
        ):
            self.run_program("sample", out, "--label=1")

    def test_bad_files(self):
        requests, good = self.spy(), self.write_image("good.png")
        truncated, missing = self.folder / "truncated.png", self.folder / "none.png"
        truncated.write_bytes(good.read_bytes()[:-100])
        for file, error in ((truncated, ValueError), (missing, FileNotFoundError)):
            with self.assertRaisesRegex(error, f"Expected .*{file}"):
                self.run_program("bpd", good, file)
        self.assertEqual({call.args[0] for call in requests.mock_calls}, {"auxiliaries"})

    def test_wrong_usage(self):
        requests = self.spy()
        out = f"--out={self.folder / 'a.png'}"
        for arguments, message in (
            (["paint"], "command of sample, given, colorize, complete, bpd. Received: 'paint'"),
            (["sample", "a.png", out], "Expected sample and flags. Received: sample a.png"),
            (["given", "grayscale", out], "given NAME IMG and flags. Received: given grayscale"),
            (["bpd"], r"Expected bpd IMG... and flags"),
            (["sample", "--out=a.jpg"], "--out as a name that ends in .png"),
            (["sample", f"--out={self.folder / 'none' / 'a.png'}"], "in a folder that exists"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program(*arguments)
        requests.assert_not_called()
