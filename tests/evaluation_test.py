"""Tests of evaluation: exact means, codecs, and the programs from outside."""

import contextlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

from evaluate import bpd
from pixelcnn_aux import evaluation, workdir
from tests import helpers

ROOT = pathlib.Path(__file__).parents[1]


class BitsPerDimTest(tf.test.TestCase):
    def test_every_image_counts_once_in_a_ragged_last_batch_too(self):
        model, images = helpers.shared_model(), helpers.pictures(5)
        done = []
        bits = evaluation.bits_per_dim(model, [images[:2], images[2:4], images[4:]], done.append)
        expected = -model.log_prob(images).numpy() / (math.prod(helpers.SIZE) * 3 * math.log(2))
        self.assertAllClose(bits["total"], expected, rtol=1e-5)
        self.assertEqual(list(bits), ["grayscale", "image", "total"])
        self.assertEqual(done, [2, 4, 5])

    def test_summary_by_hand(self):
        total = np.array([1.0, 2.0, 6.0])
        summary = evaluation.summarize(
            {"grayscale": total / 4, "image": total * 3 / 4, "total": total}
        )
        self.assertAllClose(summary["factors"], {"grayscale": 0.75, "image": 2.25})
        self.assertAllClose(summary["total"], 3.0)
        self.assertAllClose(summary["std_error"], math.sqrt(7.0) / math.sqrt(3.0))

    def test_codecs_count_whole_files_that_lose_nothing(self):
        images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
        for codec, settings in evaluation.CODECS.items():
            sizes = []
            for image in images:
                file = io.BytesIO()
                Image.fromarray(image).save(file, **settings)
                self.assertAllEqual(np.asarray(Image.open(file).convert("RGB")), image)
                sizes.append(len(file.getvalue()))
            bits = evaluation.codec_bits_per_dim(codec, images)
            self.assertAllClose(bits, 8 * np.array(sizes) / images[0].size)
            self.assertAllGreater(bits, 8.0)  # noise does not compress, and there are headers


class ProgramsTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.model = helpers.tiny_model()
        run = cls.folder / "runs" / "tiny"
        workdir.create(run, {"dataset": "photos", "image_dir": None, "model": cls.model.config})
        for name, factor in cls.model.factors.items():
            workdir.save_weights(run, name, factor)

    def run_program(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    def test_bpd_of_the_newest_run(self):
        result = self.run_program("evaluate.bpd", "--split=test", "--num_images=7")
        self.assertEqual(result.returncode, 0, result.stderr)
        for line in (
            "Evaluating runs/tiny",
            "test split, 7 images",
            "PNG",
            "WebP",
            "standard error",
        ):
            self.assertIn(line, result.stdout)
        found = json.loads((self.folder / "runs" / "tiny" / "bpd.json").read_text())
        self.assertEqual((found["split"], found["num_images"]), ("test", 7))
        self.assertAllClose(found["total"], sum(found["factors"].values()))

    def test_the_table_has_a_bound_for_each_image(self):
        result = {"factors": {"grayscale": 0.5, "image": 2.5}, "total": 3.0, "std_error": 0.01}
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            bpd.print_table(self.model, result, {"image": {"PNG": 5.0, "WebP": 4.0}})
        rows = {line.split()[0]: line.split()[1:] for line in output.getvalue().splitlines()}
        # A gray pixel is one dimension where a color has three.
        self.assertEqual(rows["grayscale"], ["0.5000", "1.5000", "1.5000"])
        self.assertEqual(rows["image"], ["2.5000", "2.5000", "3.0000", "5.0000", "4.0000"])

    def test_samples_are_pictures(self):
        for name, *arguments in (
            ("samples",),
            ("completions", "--known=half"),
            ("given_grayscale", "--given=grayscale"),
            ("sweep", "--sweep"),
        ):
            with self.subTest(name):
                result = self.run_program("evaluate.samples", "--num=2", *arguments)
                self.assertEqual(result.returncode, 0, result.stderr)
                picture = Image.open(self.folder / "runs" / "tiny" / f"{name}.png").convert("RGB")
                colors = np.unique(np.asarray(picture).reshape(-1, 3), axis=0)
                self.assertGreater(len(colors), 20)

    def test_two_pictures_at_once_are_refused(self):
        for arguments, message in (
            (["--sweep", "--known=half"], r"Received: \['known', 'sweep'\]"),
            (["--sweep", "--mode=map"], "Expected --sweep without"),
            (["--given=8x8"], r"of \['grayscale'\].* Received: \['8x8'\]"),
        ):
            with self.subTest(arguments):
                result = self.run_program("evaluate.samples", *arguments)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, message)
                self.assertNotIn("Traceback", result.stderr)

    def test_no_workdir_is_one_message(self):
        result = self.run_program("evaluate.bpd", f"--workdir={self.folder / 'none'}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("FileNotFoundError: Expected a workdir", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    tf.test.main()
