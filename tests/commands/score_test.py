"""Tests of the program that scores files: its table has a row for each of them, whatever they are."""

import contextlib
import csv
import io
from unittest import mock

import numpy as np
from absl import app

from pixelcnn_aux import batches, data
from pixelcnn_aux.commands import chosen_run, score
from tests import helpers
from tests.data.helpers import encoded


class ScoreTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.model = helpers.shared_model().with_exact(True)
        cls.photo = helpers.pictures(1, size=(9, 12))[0]
        cls.images = cls.folder / "images"
        (cls.images / "below").mkdir(parents=True)
        for name, contents in {
            "a.png": encoded(helpers.pictures(1)[0], "PNG"),
            "b.jpg": encoded(cls.photo, "JPEG"),
            "broken.png": encoded(cls.photo, "PNG")[:200],
            "below/c\udce9.png": encoded(cls.photo, "PNG"),
            "labels.txt": b"a",
        }.items():
            (cls.images / name).write_bytes(contents)

    def run_program(self, *arguments):
        """Its (standard output, standard error)."""
        loaded = self.folder, self.model
        with (
            mock.patch.object(batches, "MAX_PIXELS", 48),  # batches of two images
            mock.patch.object(chosen_run, "load", return_value=loaded),
            contextlib.redirect_stderr(io.StringIO()) as errors,
        ):
            return helpers.run_program(score, *arguments), errors.getvalue()

    def test_a_row_for_each_file_in_the_order_given(self):
        out = self.folder / "scores.csv"
        out.write_text("an older one")
        with self.assertRaisesRegex(ValueError, "1 of 5 without one; see the column error"):
            self.run_program(self.images / "b.jpg", self.images, f"--out={out}")
        photo, image, again, below, broken = rows = read(out.read_text())
        names = ["b.jpg", "a.png", "b.jpg", r"below/c\udce9.png", "broken.png"]
        self.assertEqual([row["file"] for row in rows], [f"{self.images}/{x}" for x in names])
        for row, size, prepared in (
            (image, ("6", "4"), "as it is"),
            (photo, ("12", "9"), "cropped and resized"),
            (below, ("12", "9"), "cropped and resized"),
        ):
            self.assertEqual((row["width"], row["height"]), size)
            self.assertEqual((row["prepared"], row["error"]), (prepared, ""))
        self.assertEqual(photo, again)
        self.assertStartsWith(broken.pop("error"), "damaged")
        self.assertEqual(set(broken.values()), {str(self.images / "broken.png"), ""})
        # Scores are those of the images that are trained on.
        images = [data.read_image(self.images / x, helpers.SIZE) for x in ("b.jpg", "a.png")]
        bits = self.model.bits_per_dim(np.stack(images))
        for name, expected in bits.items():
            found = [float(row[f"exact_bits_per_dim_{name}"]) for row in (photo, image)]
            self.assertAllClose(found, expected, rtol=1e-5, atol=1e-6)

    def test_images_of_any_size(self):
        model = helpers.tiny_parallel()
        with mock.patch.object(self, "model", model):
            printed, errors = self.run_program(
                self.images / "b.jpg", self.images / "a.png", "--jobs=1"
            )
        self.assertStartsWith(printed, "file,")  # and nothing but the table
        self.assertIn("Scored 2 of 2 files, at their own sizes", errors)
        for row, name in zip(read(printed), ("b.jpg", "a.png")):
            self.assertEqual(row["prepared"], "as it is")
            image = data.decoding.decode((self.images / name).read_bytes())
            expected = model.bits_per_dim(image[np.newaxis])["total"]
            self.assertAllClose([float(row["exact_bits_per_dim_total"])], expected, rtol=1e-5)

    def test_refusals(self):
        out = self.folder / "none.csv"
        for error, message, *arguments in (
            (ValueError, "1 of 1 without one", self.images / "broken.png", f"--out={out}"),
            (FileNotFoundError, "none.png, which is not there", self.images / "a.png", "none.png"),
            (app.UsageError, "Received: none"),
            (ValueError, "Expected --out", "a.png", f"--out={self.folder}"),
        ):
            with self.assertRaisesRegex(error, message):
                self.run_program(*arguments)
        self.assertStartsWith(read(out.read_text())[0]["error"], "damaged")

    def test_names_with_line_breaks(self):
        file = self.folder / "a\rb\nc.png"
        file.write_bytes(encoded(self.photo, "PNG"))
        printed, _ = self.run_program(file, self.images / "b.jpg")
        names = [row["file"].rpartition("/")[2] for row in read(printed)]
        self.assertEqual(names, [r"a\x0db\x0ac.png", "b.jpg"])


def read(table):
    """The rows of a table: list of dict."""
    return list(csv.DictReader(io.StringIO(table)))
