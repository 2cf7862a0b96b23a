"""Tests of the programs that draw pictures from each photograph, and of figures as files."""

import contextlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import app
from absl.testing import parameterized
from matplotlib.figure import Figure
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import jobs
from pixelcnn_aux.base import resizing, threads
from pixelcnn_aux.commands import color, complete, enlarge, plots
from pixelcnn_aux.runs import loading
from tests import helpers

PHOTOGRAPHS = helpers.pictures(2, size=(5, 7))
DRAWN = helpers.pictures(2, seed=1, size=(6, 8))
MASK = np.random.default_rng(0).integers(2, size=(1, 5, 7, 1), dtype=np.uint8)
HOW = {"seeds": [[0, 0]], "log_scale_shift": -0.3, "mode": "sample", "jit_compile": False}
HOW["condition"] = None


class PhotographsTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(contextlib.chdir(self.folder))
        for name, pixels in zip(("a", "b"), PHOTOGRAPHS):
            self.write(f"{name}.tiff", pixels)
        self.write("mask.png", 255 * MASK[0, ..., 0])
        self.model = mock.create_autospec(
            pa.AuxiliaryModel, instance=True, condition=None, factors={"image": None}
        )
        self.model.computing.return_value = self.model
        self.load = self.enter_context(mock.patch.object(pa, "load", return_value=self.model))

    def write(self, name, pixels):
        Image.fromarray(pixels).save(self.folder / name)

    def read(self, name):
        return np.asarray(Image.open(self.folder / name))

    def drawn(self, method, program, *arguments):
        """A program's calls of a method of the model, which draws `DRAWN`."""
        drawn = DRAWN[:, None, None] if method == "colorize" else DRAWN[:, None]
        method = getattr(self.model, method)
        method.side_effect = list(map(tf.constant, drawn))
        self.printed = helpers.run_program(program, *arguments)
        return method.call_args_list

    def test_each_is_colored(self):
        calls = self.drawn("colorize", color, "a.tiff", "b.tiff", "--num=1", "--jobs=1")
        for call, photograph in zip(calls, PHOTOGRAPHS, strict=True):
            self.assertAllEqual(call.args, [photograph[np.newaxis]])
            self.assertEqual(call.kwargs, {**HOW, "log_scale_shift": 0.0, "num": 1})
        self.assertAllEqual([self.read(f"{name}-colored.png") for name in "ab"], DRAWN)
        self.load.assert_called_once_with("cifar10-grayscale")
        self.assertRegex(self.printed, r"Wrote b-colored.png: 6 x 8\n")

    def test_three_colorings_in_the_order_of_the_model(self):
        """In one call, without computing bits."""
        drawn = helpers.pictures(3, seed=3, size=(8, 12))
        self.model.colorize.return_value = drawn[None]
        (self.folder / "out").mkdir()
        for flags, name in (
            ([], "a-colored"),
            (["--out=c.png"], "c"),
            (["--out=out"], "out/a-colored"),
            (["--out=new/folder"], "new/folder/a-colored"),
        ):
            printed = helpers.run_program(color, "a.tiff", "--seed=5", *flags)
            self.assertAllEqual([self.read(f"{name}-{k}.png") for k in (1, 2, 3)], drawn)
            self.assertIn(f"{name}-1.png: 8 x 12\n", printed)
        self.assertLen(self.model.colorize.call_args_list, 4)
        [images], how = self.model.colorize.call_args
        self.assertAllEqual(images, PHOTOGRAPHS[:1])
        self.assertEqual((how["seeds"], how["num"]), ([[5, 0]], 3))
        with self.assertRaisesRegex(ValueError, "Received: a-colored-1.png, which exists"):
            helpers.run_program(color, "a.tiff")

    def test_several_enlargements_the_likeliest_first(self):
        """By the bits under trained factors of the reduced pictures."""
        drawn, model = (
            helpers.pictures(3, seed=3, size=(8, 12)),
            helpers.randomized(helpers.tiny_model()),
        )
        self.load.return_value, model.untrained = model, ("grayscale",)
        enlarge_ = self.enter_context(mock.patch.object(model, "enlarge", return_value=drawn))
        seen = model.inputs(np.stack([resizing.resize(x, (4, 6)) for x in drawn]))
        bits = -np.asarray(model.factors["image"].log_prob(seen["image"])) / np.log(2) / 72
        order = np.argsort(bits)
        self.assertNotAllEqual(order, [0, 1, 2])
        printed = helpers.run_program(enlarge, "a.tiff", "--seed=5", "--num=3")
        self.assertAllEqual([self.read(f"a-enlarged-{k}.png") for k in (1, 2, 3)], drawn[order])
        self.assertIn(f"a-enlarged-1.png: 8 x 12, {min(bits):.3f} bits/dim", printed)
        [images, _], how = enlarge_.call_args
        self.assertAllEqual(images, PHOTOGRAPHS[[0, 0, 0]])
        self.assertEqual(how["seeds"], [[5, 0], [5, 1], [5, 2]])

    def test_flags(self):
        flags = "--num=1 --seed=3 --log_scale_shift=-1 --mode=map --jit --workdir=runs/x".split()
        [call] = self.drawn("colorize", color, "a.tiff", "--out=c.png", *flags)
        how = {"seeds": [[3, 0]], "log_scale_shift": -1.0, "mode": "map", "jit_compile": True}
        self.assertEqual(call.kwargs, {**how, "condition": None, "num": 1})
        self.assertAllEqual(self.read("c.png"), DRAWN[0])
        self.load.assert_called_once_with("runs/x")

    def test_several_are_the_same_in_processes(self):
        run = self.folder / "run"
        helpers.make_run(run, helpers.tiny_model(exact=True))
        self.load.return_value = loading.load(run)
        for cores in (1, 2):
            out = self.folder / str(cores)
            out.mkdir()
            with mock.patch.object(threads, "cores", cores):
                helpers.run_program(color, "a.tiff", "b.tiff", f"--out={out}")
        first, second = (helpers.contents(self.folder / x) for x in "12")
        self.assertLen(first, 6)
        self.assertEqual(first, second)

    def test_pictures_that_were_removed_or_changed_are_written_again(self):
        run = self.folder / "run"
        helpers.make_run(run, helpers.tiny_model(exact=True))
        self.load.return_value = loading.load(run)
        arguments = "a.tiff", "b.tiff", "--out=out", "--shards=shards", "--jobs=1", "--num=1"
        helpers.run_program(color, *arguments)
        before = helpers.contents(self.folder / "out")
        (self.folder / "out" / "a-colored.png").unlink()
        (self.folder / "out" / "b-colored.png").write_bytes(b"damaged")
        printed = helpers.run_program(color, *arguments)
        self.assertRegex(printed, "Writing .*a-colored.png again(.|\n)*Wrote out/a-colored.png")
        self.assertEqual(helpers.contents(self.folder / "out"), before)
        self.write("a.tiff", PHOTOGRAPHS[1])
        with self.assertRaisesRegex(
            ValueError, "another one's results.*other items in 000000.json"
        ):
            helpers.run_program(color, *arguments)

    def test_classes(self):
        """Draws have the class --label, or none."""
        self.model.condition = pa.conditions.Classes(3)
        for flags, label in (([], -1), (["--label=2"], 2)):
            [call] = self.drawn(
                "colorize", color, "a.tiff", "--num=1", f"--out={label}.png", *flags
            )
            self.assertAllEqual(call.kwargs["condition"], [label])
            self.model.colorize.reset_mock()
        self.model.condition = pa.conditions.Vector(2)
        with self.assertRaisesRegex(
            ValueError, "class-conditional model for --label.*--label 2.*vectors of 2"
        ):
            helpers.run_program(color, "a.tiff", "--label=2")

    def test_enlargements(self):
        (self.folder / "out").mkdir()
        [call] = self.drawn("enlarge", enlarge, "a.tiff", "--times=4", "--out=out")
        self.load.assert_called_once_with("photographs")
        self.assertAllEqual(call.args[0], PHOTOGRAPHS[:1])
        self.assertEqual((call.args[1:], call.kwargs), ((4,), HOW))
        self.assertAllEqual(self.read("out/a-enlarged.png"), DRAWN[0])

    def test_completions(self):
        half = np.zeros_like(MASK)
        half[:, :2] = 1
        for flag, mask in (("--mask=mask.png", MASK), ("--known=half", half)):
            [call] = self.drawn("complete", complete, "a.tiff", flag, f"--out={mask.sum()}.png")
            self.assertAllEqual(call.args[0], PHOTOGRAPHS[:1])
            self.assertAllEqual(call.args[1], mask)
            scenes = jobs.Source("cifar10-pixelcnn", by=None).load()
            self.assertEqual(call.kwargs, {**HOW, "particles": 64, "scenes": scenes})
            self.load.assert_called_with("photographs")
            self.model.complete.reset_mock()
        for flag, count in (("--particles=5", 5), ("--jit", 1)):
            [call] = self.drawn(
                "complete", complete, "a.tiff", "--known=half", flag, f"--out={count}.png"
            )
            self.assertEqual(call.kwargs["particles"], count)
            self.model.complete.reset_mock()

    def test_several_completions(self):
        self.load.return_value = helpers.tiny_model(exact=True)
        helpers.run_program(complete, "a.tiff", "--mask=mask.png", "--num=2", "--workdir=mine")
        first, second = (self.read(f"a-completed-{k}.png") for k in (1, 2))
        for found in (first, second):
            self.assertAllEqual(found * MASK[0], PHOTOGRAPHS[0] * MASK[0])
        self.assertNotAllEqual(first, second)

    @parameterized.parameters(
        ([], app.UsageError, "photographs. Received: none"),
        (
            ["c.tiff"],
            FileNotFoundError,
            "an image file or a folder of them. Received: c.tiff, which",
        ),
        (
            ["a.tiff", "--num=1", "--out=old.png"],
            ValueError,
            "name of a new file. Received: old.png",
        ),
        (["a.tiff", "--out=c.jpg"], ValueError, "ends in .png.* Received: c-1.jpg"),
        (["a.tiff", "--out=c/d.png"], ValueError, "a folder that exists. Received: c/d-1.png"),
        (["a.tiff", "b.tiff", "--out=c.png"], ValueError, "one photograph .*2, and --out c.png"),
        (["a.tiff", "--out=old.png/c"], NotADirectoryError, "Expected a folder old.png/c that"),
    )
    def test_refused_before_the_model_is_loaded(self, arguments, error, message):
        (self.folder / "old.png").write_bytes(b"old")
        with self.assertRaisesRegex(error, message):
            helpers.run_program(color, *arguments)
        self.load.assert_not_called()
        self.assertEqual((self.folder / "old.png").read_bytes(), b"old")

    def test_masks_are_black_and_white(self):
        self.write("gray.png", np.full((5, 7), 37, np.uint8))
        with self.assertRaisesRegex(ValueError, "--mask as .*Received: gray.png, with .* of 37"):
            helpers.run_program(complete, "a.tiff", "--mask=gray.png")


class WriteTest(helpers.TestCase):
    def test_formats(self):
        for suffix, beginning in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
            self.assertIn(suffix, plots.SUFFIXES)
            for name in (f"a{suffix}", f"a{suffix.upper()}"):
                plots.check("--out", self.folder / name)
                plots.write(self.folder / name, Figure())
                self.assertStartsWith((self.folder / name).read_bytes(), beginning)
        with self.assertRaisesRegex(ValueError, "ends in .png, .pdf, .svg, in a folder.*a.foo"):
            plots.check("--out", self.folder / "a.foo")

    def test_whole_or_as_it_was(self):
        plots.write(self.folder / "a.png", Figure())
        before = helpers.contents(self.folder)
        with helpers.files_of_at_most(50):
            with self.assertRaisesRegex(OSError, "Expected to write .*a.png. Received: "):
                plots.write(self.folder / "a.png", Figure())
        self.assertEqual(helpers.contents(self.folder), before)
