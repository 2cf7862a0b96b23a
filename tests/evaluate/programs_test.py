"""Tests of the programs of bits and of samples, from outside, and of what they record."""

import contextlib
import functools
import io
import json
import shutil
import types
import zlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from PIL import Image

import pixelcnn_aux as pa
from evaluate import bpd, common, image_files, samples
from pixelcnn_aux import data, evaluation, zoo
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder
from tests import helpers


@keras.saving.register_keras_serializable(package="tests")
class Reds(pa.auxiliary.Transform):
    """Whether a pixel is red, of which no sum tells."""

    channels, num_values = 1, 2

    def __call__(self, images):
        return keras.ops.cast(images[..., :1] > 127, "uint8")


class CodecRecordsTest(tf.test.TestCase):
    def test_one_record_for_each_images_and_settings(self):
        file = helpers.temporary_folder(self) / "codecs.json"
        records = bpd.CodecRecords(file, crc32=1)
        self.assertIsNone(records.find({"num_images": 6}))
        for count, bits in ((6, 5.0), (7, 4.0), (6, 3.0)):
            records.store({"num_images": count}, {"image": {"PNG": bits}})
        self.assertEqual(records.find({"num_images": 6}), {"image": {"PNG": 3.0}})
        self.assertEqual(records.find({"num_images": 7}), {"image": {"PNG": 4.0}})
        self.assertLen(json.loads(file.read_text()), 2)
        # Figures of other settings are not its own.
        with mock.patch.dict(image_files.FORMATS, PNG=[]):
            self.assertIsNone(records.find({"num_images": 7}))

    def test_other_images_of_the_same_name_have_figures_of_their_own(self):
        file, name = helpers.temporary_folder(self) / "codecs.json", {"image_file": "/a.npz"}
        settings = json.loads(json.dumps(image_files.FORMATS))
        file.write_text(json.dumps([{"measured": name, "settings": settings, "bits": {}}]))
        for crc32 in (1, 2):  # The record of before there were checksums is of no images known.
            records = bpd.CodecRecords(file, crc32)
            self.assertIsNone(records.find(name))
            records.store(name, {"image": {"PNG": crc32}})
            self.assertEqual(records.find(name), {"image": {"PNG": crc32}})
        self.assertLen(json.loads(file.read_text()), 1)

    def test_a_checksum_is_of_all_pixels(self):
        images = helpers.pictures(5)
        expected = zlib.crc32(images.tobytes())
        for batches in ([images], [images[:2], images[2:]], [np.asfortranarray(images)]):
            self.assertEqual(bpd.checksum(batches), expected)
        images[-1, -1, -1, -1] ^= 1
        self.assertNotEqual(bpd.checksum([images]), expected)

    def test_a_damaged_file_is_named(self):
        file = helpers.temporary_folder(self) / "codecs.json"
        record = '[{"measured": {}, "settings": {}, "bits": %s}]'
        figures = ['{"image": {"PNG": ' + x + "}}" for x in ('"x"', "NaN", "Infinity", 400 * "9")]
        bits = [record % x for x in ("3", '{"image": 3}', *figures)]
        for damaged in ("[", "3", "[3]", '[{"bits": {}}]', 100_000 * "[", *bits):
            file.write_text(damaged)
            with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged.*Remove it"):
                bpd.CodecRecords(file, crc32=1).find({})


class ProgramsTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.model = helpers.tiny_model()
        cls.run_folder = run = cls.folder / "runs" / "tiny"
        RunFolder(run).create(
            {"dataset": "photos", "image_dir": None, "model": cls.model.description()}
        )
        for name, factor in cls.model.factors.items():
            RunFolder(run)[name].save_weights(factor)

    def start(self, *arguments):
        """What a program prints in a process of its own, where it is to print nothing but its own lines."""
        result = helpers.start(self.folder, *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def run_here(self, program, *arguments):
        """What a program prints in this process, which has imported TensorFlow already."""
        with contextlib.chdir(self.folder):
            return helpers.run_program(program, *arguments, sharing=[common])

    def test_bpd_of_the_newest_run(self):
        first = self.start("evaluate.bpd", "--split=test", "--num_images=7")
        for line in (
            "Evaluating runs/tiny",
            "test split, 7 images",
            "PNG",
            "WebP",
            "standard error",
        ):
            self.assertIn(line, first)
        folder = self.folder / "runs" / "tiny"
        found = json.loads((folder / "bpd.json").read_text())
        summary = ["factors", "total", "std_error"]
        measured = ["dataset", "image_dir", "split", "num_images", "crc32", "best", "model"]
        self.assertEqual(list(found), [*measured, *summary, "bound", "exact"])
        self.assertEqual({key: found[key] for key in summary}, found["bound"])  # as it was trained
        self.assertLess(found["exact"]["total"], found["bound"]["total"])
        self.assertEqual((found["split"], found["num_images"]), ("test", 7))
        images = data.load("photos", "test", helpers.SIZE).take(range(7))
        self.assertEqual(found["crc32"], bpd.checksum([images]))
        self.assertAllClose(found["total"], sum(found["factors"].values()))
        # The figures of the codecs are kept: other ones show that they are not computed again.
        codecs = folder / "codecs.json"
        [record] = json.loads(codecs.read_text())
        self.assertEqual(list(record["bits"]), ["image"])
        record["bits"]["image"]["PNG"] = 77.0
        codecs.write_text(json.dumps([record]))
        again = self.run_here(bpd, "--num_images=7")
        self.assertIn("As PNG and WebP files:", first)
        self.assertNotIn("As PNG and WebP files:", again)
        self.assertIn("77.0000", again)
        again = self.run_here(bpd, "--num_images=7", "--codecs")
        self.assertEqual(again.splitlines()[-6:], first.splitlines()[-6:])
        printed = self.run_here(bpd, "--num_images=7", "--exact", "--bytes")
        again = json.loads((folder / "bpd.json").read_text())
        self.assertEqual(again["total"], again["exact"]["total"])
        self.assertAllClose(again["exact"], found["exact"], rtol=1e-6)
        self.assertEqual(again["model"], found["model"])  # the same weights
        self.assertIn(f"{again['bytes']:,} bytes", printed)
        self.assertGreater(8 * again["bytes"] / (7 * 4 * 6 * 3), again["total"])
        self.assertAllClose(again["bound"], found["bound"], rtol=1e-6)

    def test_bpd_is_of_the_images_and_the_weights_that_flags_choose(self):
        run, best = self.folder / "chosen", helpers.tiny_model()
        helpers.make_run(run, self.model, self.model.factors)
        for name, factor in best.factors.items():
            helpers.randomize(factor)
            RunFolder(run)[name].save_if_best(factor, step=1, val_bits_per_dim=1.0)
        splits = {name: helpers.images(6, seed) for seed, name in enumerate(data.SPLITS)}
        arguments = [f"--workdir={run}", "--dataset=photos", "--num_images=4"]
        self.enter_context(helpers.eagerly())
        load = self.enter_context(
            mock.patch.object(
                data, "load", side_effect=lambda _, split, *args, **kwargs: splits[split]
            )
        )
        for model, flag in ((self.model, "--best=false"), (best, "--best")):
            self.run_here(
                *(bpd, *arguments, "--split=validation", flag), *("--data_dir=a", "--cache_dir=b")
            )
            places = [load.call_args.kwargs[name] for name in ("data_dir", "cache_dir")]
            self.assertEqual(places, ["a", "b"])
            found = json.loads((run / "bpd.json").read_text())
            expected = model.bits_per_dim(splits["validation"].pixels[:4])["total"]
            self.assertAllClose(found["total"], np.mean(expected), rtol=1e-6)

    def test_bpd_is_kept_where_compressing_fails(self):
        run = self.folder / "kept"
        helpers.make_run(run, self.model, self.model.factors)
        for compressing in ("num_bytes", "codec_bits"):
            with (
                mock.patch.object(data, "load", return_value=helpers.images(2)),
                mock.patch.object(bpd, compressing, side_effect=NotImplementedError),
                self.assertRaises(NotImplementedError),
            ):
                self.run_here(bpd, f"--workdir={run}", "--dataset=photos", "--bytes", "--codecs")
            self.assertEqual(json.loads((run / "bpd.json").read_text())["num_images"], 2)
            (run / "bpd.json").unlink()

    def test_more_images_than_there_are_and_their_bytes(self):
        with mock.patch.object(data, "load", return_value=helpers.images(6)):
            printed = self.run_here(bpd, "--dataset=photos", "--num_images=99", "--bytes")
        found = json.loads((self.run_folder / "bpd.json").read_text())
        self.assertEqual(found["num_images"], 6)
        bits = 8 * found["bytes"] / (6 * 4 * 6 * 3)
        self.assertIn(f"{found['bytes']:,} bytes, {bits:.4f} bits per dimension", printed)

    def test_bits_of_files_are_means_over_all_batches(self):
        images = helpers.pictures(3)
        batches = [images[:2], images[2:]]
        found = bpd.codec_bits(self.model, ["image"], batches, lambda count: None)
        expected = {x: np.mean(image_files.bits_per_dim(x, images)) for x in image_files.FORMATS}
        self.assertAllClose(found, {"image": expected})

    def test_seeds_and_numbers_out_of_range_are_refused(self):
        for arguments in (f"--seed={2**40}", f"--num={2**40}", "--num=0"):
            with self.assertRaisesRegex(flags.IllegalFlagValueError, arguments[2:5]):
                self.run_here(samples, arguments)

    def test_weights_that_are_not_finite_have_no_figure(self):
        run = self.folder / "runs" / "broken"
        model = helpers.tiny_model()
        model.factors["image"].network.weights[0].assign(
            np.full(model.factors["image"].network.weights[0].shape, np.nan)
        )
        helpers.make_run(run, model, model.factors)
        with self.assertRaisesRegex(ValueError, "'image'.*not finite in the array"):
            self.run_here(bpd, f"--workdir={run}", "--dataset=photos")
        self.assertFalse((run / "bpd.json").exists())
        shutil.rmtree(run)

    def test_what_would_lose_figures_is_found_out_before_they_are_computed(self):
        file = self.run_folder / "config.json"
        message = f"Expected a folder {file}/new that takes files. Received: Not a directory. Move"
        for program, of_program in ((bpd, evaluation), (samples, samples)):
            work = "bound_and_exact" if program is bpd else "sample"
            with (
                mock.patch.object(zoo, "outputs", return_value=file / "new"),
                mock.patch.object(of_program, work, side_effect=AssertionError),
                self.assertRaisesRegex(OSError, message),
            ):
                self.run_here(program)
        with mock.patch.object(samples, "sample", side_effect=AssertionError):
            with self.assertRaisesRegex(ValueError, "Expected a folder of images"):
                self.run_here(samples, "--dataset=folder")
        codecs = self.run_folder / "codecs.json"
        codecs.write_text("[")
        self.addCleanup(codecs.unlink)
        for arguments in ([], ["--codecs"]):
            with mock.patch.object(evaluation, "bound_and_exact", side_effect=AssertionError):
                with self.assertRaisesRegex(ValueError, "codecs.json. Received: a damaged file"):
                    self.run_here(bpd, *arguments)

    def test_figures_are_shown_where_they_cannot_be_written(self):
        output = io.StringIO()
        with (
            mock.patch.object(bpd, "print", functools.partial(print, file=output), create=True),
            mock.patch.object(disk, "write_json", side_effect=OSError),
            self.assertRaises(OSError),
        ):
            self.run_here(bpd, "--num_images=3", "--codecs")
        self.assertRegex(
            output.getvalue(), r"test split, 3 images: bound \d+\.\d+, exact \d+\.\d+ bits per dim"
        )
        with (
            mock.patch.object(bpd, "print_table") as shown,
            mock.patch.object(bpd.CodecRecords, "store", side_effect=OSError),
            self.assertRaises(OSError),
        ):
            self.run_here(bpd, "--num_images=3", "--codecs")
        shown.assert_called_once()

    def test_the_table_has_figures_of_each_image(self):
        results = {
            kind: {"factors": {"grayscale": 0.5, "image": bits}, "total": total, "std_error": 0.01}
            for kind, bits, total in (("bound", 2.5, 3.0), ("exact", 2.25, 2.75))
        }
        codecs = {"image": {"PNG": 5.0, "WebP": 4.0}}
        rows = self.table(self.model, results, codecs)
        # A gray pixel is one dimension where a color has three.
        self.assertEqual(rows["grayscale"], ["0.5000", "0.5000", "1.5000", "1.5000"])
        of_codecs = ["5.0000", "4.0000"]
        self.assertEqual(rows["image"], ["2.5000", "2.2500", "2.5000", "3.0000", *of_codecs])
        self.assertEqual(rows["total"], ["3.0000", "2.7500"])
        rows = self.table(self.model.with_exact(True), results, codecs)
        self.assertEqual(rows["image"], ["2.5000", "2.2500", "2.2500", "2.7500", *of_codecs])

    def test_the_table_of_gray_images(self):
        def factor(channels):
            likelihood = types.SimpleNamespace(num_channels=channels)
            return types.SimpleNamespace(likelihood=likelihood, exact=False)

        model = types.SimpleNamespace(
            exact=False,
            factors={"opponents": factor(2), "image": factor(1)},
            sizes=lambda: {"opponents": (2, 3), "image": (4, 6)},
        )
        result = {"factors": {"opponents": 0.5, "image": 2.0}, "total": 2.5, "std_error": 0.01}
        rows = self.table(model, {"bound": result}, {})
        self.assertEqual(rows["opponents"], ["0.5000", "1.0000", "1.0000"])
        self.assertEqual(rows["image"], ["2.0000", "2.0000", "2.5000"])
        rows = self.table(model, {"bound": {**result, "std_error": None}}, {})  # of one image
        self.assertEqual(rows["standard"], ["error"])

    def test_a_model_without_auxiliary_images(self):
        model = pa.pixelcnn_pp((4, 4), 4, 1, 1)
        self.assertEqual((bpd.kinds(model), bpd.kind(model)), (["exact"], "exact"))
        result = {"factors": {"image": 2.0}, "total": 2.0, "std_error": 0.01}
        rows = self.table(model, {"exact": result}, {})
        self.assertEqual(rows["total"], ["2.0000"])
        self.assertNotIn("No", rows)

    def test_a_model_of_which_some_factors_are_exact(self):
        network = {"topology": pa.networks.topology.flat(1), "filters": 4}
        larger = {"topology": pa.networks.topology.super_resolution(1, 1), "filters": 4}
        model = pa.chain(
            *([pa.auxiliary.HalfResolution(), Reds()], helpers.SIZE, network),
            *([None, network, larger], ["reds", "half", "image"], 2),
        )
        self.assertEqual([factor.exact for factor in model.factors.values()], [False, False, True])
        images = helpers.pictures(3)
        both = evaluation.bound_and_exact(model, [images], lambda count: None)
        results = dict(zip(bpd.kinds(model), map(evaluation.summarize, both), strict=True))
        self.assertEqual(list(results), ["bound", "restricted"])
        found = results[bpd.kind(model)]["total"]
        self.assertAllClose(found, np.mean(model.bits_per_dim(images)["total"]), rtol=1e-5)
        self.assertLess(found, results["bound"]["total"])
        self.assertEqual(bpd.kind(model.with_exact(False)), "bound")

    def table(self, *arguments):
        """dict, first word -> the others, of the lines that `print_table` prints."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            bpd.print_table(*arguments)
        return {line.split()[0]: line.split()[1:] for line in output.getvalue().splitlines()}

    def found(self):
        """The colors, as integers, of the picture that the program leaves."""
        return colors(np.asarray(Image.open(self.folder / "picture.png").convert("RGB")))

    def run_samples(self, *arguments):
        # The model keeps its graphs from one picture to the next.
        loaded = self.run_folder, self.model
        with mock.patch.object(common, "load", return_value=loaded) as load:
            self.run_here(samples, "--num=2", "--out=picture.png", *arguments)
        load.assert_called_once_with("--best" in arguments)
        return self.found()

    def test_pictures_of_samples_have_the_pixels_drawn(self):
        seeds = [[0, 0], [0, 1]]
        drawn = self.model.sample(seeds)
        self.start("evaluate.samples", "--num=2", "--out=picture.png")
        found = self.found()
        self.assertContainsSubset(colors(drawn["image"]), found)
        self.assertContainsSubset(colors(np.repeat(17 * drawn["grayscale"], 3, axis=-1)), found)
        found = self.run_samples("--sweep")
        for how in ({}, {"log_scale_shift": -0.5}, {"log_scale_shift": -1.0}, {"mode": "map"}):
            self.assertContainsSubset(colors(self.model.sample(seeds, **how)["image"]), found)

    def test_pictures_of_test_images_have_the_pixels_drawn(self):
        found = self.run_samples("--known=half")
        self.assertIn(0x7F7F7F, found)
        # Labels are gray: what has another color is of the images, the upper halves and what is drawn.
        self.assertGreater(sum(not is_gray(color) for color in found), 24)
        found = self.run_samples("--given=grayscale", "--best")
        self.assertGreater(sum(not is_gray(color) for color in found), 3 * 24)

    def test_each_row_given_an_auxiliary_image_has_draws_of_its_own(self):
        originals = helpers.pictures(2)
        given = {"grayscale": self.model.auxiliaries(originals)["grayscale"]}
        flags = types.SimpleNamespace(num=2, seed=3, log_scale_shift=0.0, mode="sample")
        with mock.patch.object(samples, "FLAGS", flags):
            rows = samples.draws_given(self.model, originals, "grayscale", 2)
        drawn = [images for label, _, images in rows if label == "drawn"]
        for first, images in zip((0, 2), drawn, strict=True):
            seeds = [[3, first], [3, first + 1]]
            self.assertAllEqual(images, self.model.sample(seeds, given=given)["image"])

    def test_test_images_are_drawn_again_from_their_auxiliary_images(self):
        originals = helpers.pictures(2)
        flags = types.SimpleNamespace(num=2, seed=3, log_scale_shift=-0.5, mode="map")
        with (
            mock.patch.object(samples, "FLAGS", flags),
            mock.patch.object(samples, "test_images", lambda *_: originals),
        ):
            rows = samples.samples(self.run_folder, self.model)
        images = {label: images for label, _, images in rows}
        given = {"grayscale": self.model.auxiliaries(originals)["grayscale"]}
        self.assertAllEqual(images["their\ngrayscale"], given["grayscale"])
        expected = self.model.sample([[3, 0], [3, 1]], -0.5, "map", given=given)["image"]
        self.assertAllEqual(images["drawn\ngiven grayscale"], expected)

    def test_each_row_of_a_picture_shows_its_images(self):
        images = helpers.pictures(3)
        grays = self.model.auxiliaries(images)["grayscale"].numpy()
        rows = [("a", "image", images), ("b", "grayscale", grays)]
        figure = samples.draw(samples.shown(self.model, rows))
        for axes, expected in zip(figure.axes, (images, np.repeat(17 * grays, 3, -1)), strict=True):
            [picture] = axes.get_images()
            strip = picture.get_array()
            self.assertEqual(strip.shape, (6, 3 * 8, 3))
            inside = np.stack(np.split(strip, 3, axis=1))[:, 1:-1, 1:-1]
            self.assertAllEqual(inside, expected)

    def test_two_pictures_at_once_are_refused(self):
        for arguments, message in (
            (["--sweep", "--known=half"], r"Received: \['known', 'sweep'\]"),
            (["--sweep", "--mode=map"], "Expected --sweep without.*Received: --mode. Leave"),
            (["--given=8x8"], r"of \['grayscale'\].* Received: \['8x8'\]"),
        ):
            with self.subTest(arguments):
                with self.assertRaisesRegex(ValueError, message):
                    self.run_here(samples, *arguments)


def colors(images):
    """The colors of uint8 [..., 3] as a set of integers 0xRRGGBB."""
    return set((np.asarray(images).reshape(-1, 3) @ [1 << 16, 1 << 8, 1]).tolist())


def is_gray(color):
    return color % 0x010101 == 0


if __name__ == "__main__":
    tf.test.main()
