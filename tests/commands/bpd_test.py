"""Tests of the program of bits per dimension, from outside, and of what it records."""

import contextlib
import io
import json
import zlib
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.codec import lossless_files
from pixelcnn_aux.codec.codec import Codec
from pixelcnn_aux.codec.lossless_files import FORMATS
from pixelcnn_aux.commands import bpd
from pixelcnn_aux.run_files import trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits
from tests import custom, helpers
from tests.codec import helpers as codec_helpers


class ProgramTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.model = helpers.shared_model()
        cls.run_folder = cls.folder / "runs" / "tiny"
        config = {"dataset": "photos", "image_dir": None}
        RunFolder(cls.run_folder).save_model(cls.model, **config)

    def run_program(self, *arguments):
        with contextlib.chdir(self.folder):
            return helpers.run_program(bpd, *arguments)

    def found(self, run=None):
        return json.loads(((run or self.run_folder) / "bpd.json").read_text())

    def test_bpd_of_the_newest_run(self):
        first = self.run_program("--split=test", "--num_images=7")
        for line in ("Evaluating runs/tiny", "test split, 7 images", "PNG", "standard error"):
            self.assertIn(line, first)
        found = self.found()
        summary = {key: found[key] for key in ("factors", "total", "std_error")}
        self.assertEqual(summary, found["bound"])  # as it was trained
        self.assertLess(found["exact"]["total"], found["bound"]["total"])
        self.assertEqual((found["split"], found["num_images"]), ("test", 7))
        images = data.load("photos", "test", helpers.SIZE).take(range(7))
        self.assertEqual(found["crc32"], bpd.checksum([images]))
        # The bits of the codecs are kept: other ones show that they are not computed again.
        codecs = self.run_folder / "codecs.json"
        [record] = json.loads(codecs.read_text())
        self.assertEqual(list(record["bits"]), ["image"])
        record["bits"]["image"]["PNG"] = 77.0
        codecs.write_text(json.dumps([record]))
        again = self.run_program("--num_images=7")
        self.assertIn("As files of PNG, WebP", first)
        self.assertNotIn("As files of", again)
        self.assertIn("77.0000", again)
        again = self.run_program("--num_images=7", "--codecs")
        self.assertEqual(again.splitlines()[-6:], first.splitlines()[-6:])
        self.run_program("--num_images=7", "--exact")
        again = self.found()
        self.assertEqual(again["total"], again["exact"]["total"])
        self.assertEqual(again["model"], found["model"])  # the same weights
        for kind in ("bound", "exact"):
            self.assertAllClose(again[kind], found[kind], rtol=1e-6)

    def test_it_is_of_the_images_and_the_weights_that_flags_choose(self):
        run, best = self.folder / "chosen", helpers.tiny_model()
        helpers.make_run(run, self.model)
        for name, factor in best.factors.items():
            best.factors[name] = helpers.randomize(factor)
            RunFolder(run)[name].save_if_best(best.factors[name], step=1, val_bits_per_dim=1.0)
        images = {name: helpers.images(6, seed) for seed, name in enumerate(data.SPLITS)}
        arguments = [f"--workdir={run}", "--dataset=photos", "--split=validation"]
        load = mock.Mock(side_effect=lambda *, split, **kwargs: images[split])
        with mock.patch.object(data, "load", load):
            for model, count, flags in (
                (self.model, 4, ["--nobest", "--num_images=4"]),
                (best, 6, ["--best", "--num_images=99"]),  # no more than there are
            ):
                self.run_program(*arguments, *flags)
                self.assertEqual(self.found(run)["num_images"], count)
                expected = model.bits_per_dim(images["validation"].pixels[:count])["total"]
                self.assertAllClose(self.found(run)["total"], np.mean(expected), rtol=1e-6)

    def test_a_conditional_model_is_told_labels_or_none(self):
        run, classes = self.folder / "classes", pa.conditions.Classes(3)
        model = helpers.make_run(run, helpers.randomized(helpers.tiny_model(condition=classes)))
        images = data.Images(helpers.pictures(4), labels=[0, 1, 2, 0])
        with mock.patch.object(data, "load", return_value=images):
            for flags, labels in (([], images.labels), (["--nocondition"], [-1] * 4)):
                self.run_program(f"--workdir={run}", "--dataset=arrays", *flags)
                expected = model.bits_per_dim(images.pixels, labels)["total"]
                self.assertAllClose(self.found(run)["total"], np.mean(expected), rtol=1e-6)
                self.assertEqual(self.found(run)["condition"], not flags)
        unlabeled = data.Images(images.pixels)
        with mock.patch.object(data, "load", return_value=unlabeled):
            output = self.run_program(f"--workdir={run}", "--dataset=arrays")
            self.assertIn("The images have no labels; evaluating without a condition\n", output)
            self.assertAllClose(self.found(run)["total"], np.mean(expected), rtol=1e-6)
            self.assertIs(self.found(run)["condition"], False)
            with self.assertRaisesRegex(ValueError, "Expected images with labels"):
                self.run_program(f"--workdir={run}", "--dataset=arrays", "--condition")

    def test_the_size_of_a_compressed_file(self):
        run = self.folder / "rounded"
        helpers.make_run(run, codec_helpers.shared_model())
        arguments = [f"--workdir={run}", "--dataset=photos", "--bytes"]
        with mock.patch.object(data, "load", return_value=helpers.images(2)):
            printed, found = self.run_program(*arguments), self.found(run)
            bits = 8 * found["bytes"] / (2 * 4 * 6 * 3)
            self.assertIn(f"{found['bytes']:,} bytes, {bits:.4f} bits per dimension", printed)
            self.assertGreater(bits, found["total"])
            (run / "bpd.json").unlink()  # the other bits are kept where compressing fails
            failing = mock.patch.object(Codec, "compress", side_effect=NotImplementedError)
            with failing, self.assertRaises(NotImplementedError):
                self.run_program(*arguments)
            self.assertEqual(self.found(run)["num_images"], 2)
            with self.assertRaisesRegex(ValueError, "with integers.*floats in grayscale, image"):
                self.run_program(f"--workdir={self.run_folder}", "--dataset=photos", "--bytes")

    def test_weights_that_are_not_finite_have_no_figure(self):
        run, model = self.folder / "broken", helpers.tiny_model()
        broken = helpers.altered(model.factors["image"], lambda b: b + np.nan, "network/last/b")
        model = model.with_factor(broken)
        helpers.make_run(run, model)
        with self.assertRaisesRegex(ValueError, "'image'.*not finite in float32, in the array"):
            self.run_program(f"--workdir={run}", "--dataset=photos")
        self.assertFalse((run / "bpd.json").exists())

    def test_what_hinders_writing_is_found_out_before_the_evaluation(self):
        file, codecs = self.run_folder / "config.json", self.run_folder / "codecs.json"
        self.enterContext(mock.patch.object(splits, "bits", side_effect=AssertionError))
        with (
            mock.patch.object(trained, "outputs", return_value=file / "new"),
            self.assertRaisesRegex(OSError, f"folder {file}/new that takes .* Not a directory"),
        ):
            self.run_program()
        codecs.write_text("[")
        self.addCleanup(codecs.unlink)
        with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged file"):
            self.run_program()

    def test_a_checksum_is_of_all_pixels(self):
        images = helpers.pictures(5)
        expected = zlib.crc32(images.tobytes())
        for batches in ([images], [images[:2], images[2:]], [np.asfortranarray(images)]):
            self.assertEqual(bpd.checksum(batches), expected)
        images[-1, -1, -1, -1] ^= 1
        self.assertNotEqual(bpd.checksum([images]), expected)


class FileBitsTest(helpers.TestCase):
    def test_means_are_over_all_batches(self):
        images, model = helpers.pictures(3), helpers.shared_model()
        batches = [images[:2], images[2:]]
        found = bpd.mean_file_bits(model, ["image"], batches, progress=mock.Mock())
        expected = {x: np.mean(lossless_files.bits_per_dim(x, images)) for x in FORMATS}
        self.assertAllClose(found, {"image": expected})

    def test_one_record_for_each_images_and_settings(self):
        file = helpers.temporary_folder(self) / "codecs.json"
        self.assertIsNone(bpd.recorded(file, 1))
        for count, crc32, bits in ((7, 2, 4.0), (6, 1, 3.0), (8, 3, 2.0), (8, 4, 1.0)):
            bpd.record(file, {"num_images": count}, crc32=crc32, bits={"image": {"PNG": bits}})
        # Other images of the same name have taken the place of those before.
        for crc32, bits in ((1, 3.0), (2, 4.0), (4, 1.0)):
            self.assertEqual(bpd.recorded(file, crc32), {"image": {"PNG": bits}})
        self.assertLen(json.loads(file.read_text()), 3)
        with mock.patch.dict(FORMATS, PNG=[]):
            self.assertIsNone(bpd.recorded(file, 2))
        record = '[{"crc32": 1, "settings": %s, "bits": %s}]'
        nan = record % (json.dumps(FORMATS), '{"image": {"PNG": NaN}}')
        for damaged in ("[", "[3]", '[{"bits": {}}]', 100_000 * "[", nan):
            file.write_text(damaged)
            with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged"):
                bpd.recorded(file, 1)


class TableTest(helpers.TestCase):
    def test_figures_of_each_image(self):
        def table(*arguments):
            with contextlib.redirect_stdout(io.StringIO()) as output:
                bpd.print_table(*arguments)
            return {line.split()[0]: line.split()[1:] for line in output.getvalue().splitlines()}

        model = helpers.shared_model()
        results = {
            kind: {"factors": {"grayscale": 0.5, "image": bits}, "total": total, "std_error": 0.01}
            for kind, bits, total in (("bound", 2.5, 3.0), ("exact", 2.25, 2.75))
        }
        codecs = {"image": {"PNG": 5.0, "WebP": 4.0}}
        rows = table(model, results, codecs)
        # A gray pixel is one dimension where a color has three.
        self.assertEqual(rows["grayscale"], ["0.5000", "0.5000", "1.5000", "1.5000"])
        png_webp = ["5.0000", "4.0000"]
        self.assertEqual(rows["image"], ["2.5000", "2.2500", "2.5000", "3.0000", *png_webp])
        self.assertEqual(rows["total"], ["3.0000", "2.7500"])
        results["exact"]["std_error"] = None  # of one image
        rows = table(model.with_exact(True), results, codecs)
        self.assertEqual(rows["image"], ["2.5000", "2.2500", "2.2500", "2.7500", *png_webp])
        self.assertEqual(rows["standard"], ["error", "0.0100"])

    def test_a_model_of_which_some_factors_are_exact(self):
        transforms = [pa.auxiliary.HalfResolution(), custom.Bright()]  # which declares no sum
        model = helpers.random_chain(transforms, helpers.SIZE)
        self.assertEqual([factor.exact for factor in model.factors.values()], [False, False, True])
        images = helpers.pictures(3)
        results = splits.summary(splits.bits(model, [images]))
        expected = np.mean(model.bits_per_dim(images)["total"])
        self.assertEqual(list(results), ["bound", "restricted"])
        found = results[splits.bits_kind(model)]["total"]
        self.assertAllClose(found, expected, rtol=1e-5)
        self.assertLess(found, results["bound"]["total"])
        self.assertEqual(splits.bits_kind(model.with_exact(False)), "bound")
