"""Tests of the codec's program, from picture files to picture files."""

import functools
import io
import os
import shutil
import types
import unittest
from unittest import mock

import numpy as np
import tifffile
from absl import app
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import jobs
from pixelcnn_aux.codec import container
from pixelcnn_aux.commands import codec
from pixelcnn_aux.run_files import trained
from tests import helpers
from tests.codec import helpers as codec_helpers
from tests.data.decoding_test import dicom, pydicom
from tests.data.helpers import FilesTest, noise

_TILES = {"tile": (16, 16), "compression": "zlib"}
_OME = {"ome": True, "metadata": {"axes": "TZCYX", "PhysicalSizeXUnit": "µm", "PhysicalSizeX": 0.1}}
_IMAGEJ = {"imagej": True, "resolution": (3, 3), "metadata": {"axes": "ZCYX", "unit": "um"}}
# name -> shape, bits, channels of the model, whether its bytes are the same, how it is written
STACKS = {
    "ome": ((2, 2, 3, 5, 7), 12, 1, True, _OME),
    "ome_plane": ((1, 1, 1, 5, 7), 16, 1, True, _OME),
    "ome_tiles": ((1, 2, 2, 20, 33), 12, 1, False, {**_OME, **_TILES, "predictor": True}),
    "imagej": ((3, 2, 5, 7), 16, 1, True, _IMAGEJ),
    "white_is_0": ((3, 5, 7), 16, 1, True, {"photometric": "miniswhite"}),
    "white_tiles": ((3, 5, 7), 16, 1, False, {"photometric": "miniswhite", **_TILES}),
    "imagej_big": ((3, 2, 5, 7), 8, 1, True, {**_IMAGEJ, "byteorder": ">"}),
    "strips": ((3, 20, 7), 8, 1, False, {"rowsperstrip": 7, "compression": "zlib"}),
    "pairs": ((3, 5, 7, 2), 12, 2, True, {"planarconfig": "contig"}),
    "one_pair": ((2, 5, 7), 12, 2, True, {"planarconfig": "separate", "description": "one"}),
    "separate": ((3, 2, 20, 7), 12, 2, False, {"planarconfig": "separate", **_TILES}),
    "colors": ((3, 5, 7, 3), 8, 3, True, {"photometric": "rgb"}),
    "gray": ((3, 5, 7), 8, 3, True, {}),
    "color_tiles": ((2, 20, 7, 3), 16, 3, False, {"photometric": "rgb", **_TILES}),
    "four": ((2, 5, 7, 4), 8, 4, True, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "big": ((2, 4, 5, 7), 16, 4, False, {"planarconfig": "separate", "bigtiff": True, **_TILES}),
}


class ProgramTest(FilesTest):
    """By a model of one size, which codes tiles."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = helpers.temporary_folder(cls)
        cls.run_folder = cls.shared / "run"
        model = codec_helpers.shared_model().with_image_size(helpers.SIZE)
        helpers.make_run(cls.run_folder, model)
        # One model and one codec for all commands.
        for module, name in ((pa, "load"), (pa.codec, "Codec")):
            cached = functools.cache(getattr(module, name))
            cls.enterClassContext(mock.patch.object(module, name, cached))
        cls.pictures = {"a.png": noise(5, 7, 3), "b.png": noise(4, 6, 3, seed=1)}
        for name, pixels in cls.pictures.items():
            Image.fromarray(pixels).save(cls.shared / name)
        cls.file, cls.picture = cls.shared / "both.pxa", cls.shared / "a.png"
        cls.run_codec("compress", cls.picture, cls.shared / "b.png", f"--out={cls.file}")

    @classmethod
    def run_codec(cls, *arguments):
        return helpers.run_program(codec, *arguments, f"--workdir={cls.run_folder}")

    def test_pictures_come_back_and_so_do_images_without_names(self):
        images, file, out = helpers.pictures(2), self.folder / "images.pxa", self.folder / "out"
        file.write_bytes(pa.codec.Codec(pa.load(self.run_folder)).compress(images))
        numbered = {f"{number:05}.png": image for number, image in enumerate(images)}
        for given, pictures in ((self.file, self.pictures), (file, numbered)):
            self.run_codec("decompress", given, f"--out={out}")
            for name, picture in pictures.items():
                self.assertAllEqual(np.asarray(Image.open(out / name)), picture)

    def test_archives(self):
        folder, archive, out = (self.folder / name for name in ("in", "archive", "out"))
        (folder / "below").mkdir(parents=True)
        names = ["a.png", "b.png", "below/a.png", "c.png"]
        expected = {"a.png": noise(5, 7, 3), "b.png": noise(4, 6, 3), "a-2.png": noise(3, 3, 3)}
        expected["c.png"] = noise(9, 2, 3)
        for name, pixels in zip(names, expected.values()):
            Image.fromarray(pixels).save(folder / name)
        damaged = (folder / "c.png").read_bytes()
        (folder / "c.png").write_bytes(b"damaged")
        with mock.patch.object(codec, "_MAX_GROUPED", 2):
            for _ in range(2):  # The second run says it again.
                with self.assertRaisesRegex(ValueError, "left out.*remove .*000001.pxa, and"):
                    self.run_codec("compress", folder, f"--out={archive}", "--jobs=1")
            self.run_codec("verify", archive, "--jobs=1")
            first = (archive / "000000.pxa").read_bytes()
            (archive / "000001.pxa").unlink()
            (folder / "c.png").write_bytes(damaged)
            printed = self.run_codec("compress", folder, f"--out={archive}", "--jobs=1")
        self.assertIn("4 pictures in 2 files", printed)
        self.assertEqual((archive / "000000.pxa").read_bytes(), first)
        printed = self.run_codec("verify", archive, "--jobs=1")
        self.assertIn("4 pictures in 2 files: reproduced exactly", printed)
        for _ in range(2):  # The second run finds all of them.
            self.run_codec("decompress", archive, f"--out={out}", "--jobs=1")
        for name, pixels in expected.items():
            self.assertAllEqual(np.asarray(Image.open(out / name)), pixels)
        self.run_codec("verify", archive / "000001.pxa")
        self.check_missing_and_changed(folder, archive, out)

    @mock.patch.object(codec, "_MAX_GROUPED", 2)
    def check_missing_and_changed(self, folder, archive, out):
        """Files of an archive are named by its readers, and written again by its writer; so are pictures."""
        whole, last = helpers.contents(archive), archive / "000001.pxa"
        pictures = {name: (out / name).read_bytes() for name in os.listdir(out) if "." in name}
        first = (archive / "000000.pxa").read_bytes()
        for contents, received in ((None, "no file"), (first, "another file"), (b"a", "another")):
            last.unlink() if contents is None else last.write_bytes(contents)
            (out / "a.png").unlink()
            (out / "b.png").write_bytes(b"damaged")
            unfinished = out / "writing.1-00000002"
            unfinished.write_bytes(b"of a worker that was killed")
            for command, *flags in (("verify",), ("decompress", f"--out={out}")):
                message = f"{last} as compress wrote it. Received: {received}"
                with self.assertRaisesRegex(jobs.ShardError, message):
                    self.run_codec(command, archive, "--jobs=1", *flags)
            self.run_codec("compress", folder, f"--out={archive}", "--jobs=1")
            self.assertEqual(helpers.contents(archive), whole)
            self.run_codec("decompress", archive, f"--out={out}", "--jobs=1")
            for name, contents in pictures.items():
                self.assertEqual((out / name).read_bytes(), contents)
            self.assertFalse(unfinished.exists())
        with self.assertRaisesRegex(app.UsageError, "flags of one compressed file.*--jobs"):
            self.run_codec("verify", self.file, "--jobs=2")

    def test_a_file_of_a_model_of_the_package_needs_no_workdir(self):
        known = pa.pretrained()[trained.DEFAULT]["fingerprint"]
        with (
            mock.patch.object(codec, "FLAGS", types.SimpleNamespace(workdir=None)),
            mock.patch.object(pa, "load") as load,
            mock.patch.object(pa.codec, "Codec"),
        ):
            codec._codec(types.SimpleNamespace(name="its name then", model=known))
            load.assert_called_once_with(trained.DEFAULT)
            with self.assertRaisesRegex(ValueError, "Expected --workdir.*'mine', 12345, is no"):
                codec._codec(types.SimpleNamespace(name="mine", model="12345"))

    def test_photographs_compresses_unless_another_is_named(self):
        """A picture of any size, even beside a newer run."""
        picture, out = self.shared / "a.png", self.folder / "a.pxa"
        helpers.run_program(codec, "compress", picture, f"--out={out}")
        self.assertEqual(container.read(out.read_bytes()).name, "photographs")

    def test_verified_and_inspected(self):
        printed = self.run_codec("verify", self.file)
        self.assertIn("2 pictures, 5 tiles of 4 x 6: reproduced", printed)
        file = self.folder / "map.png"
        printed = self.run_codec("inspect", self.file, f"--map={file}")
        size = 8 * self.file.stat().st_size / sum(x.size / 3 for x in self.pictures.values())
        self.assertIn(f"bytes, {size:.3f} bits per pixel", printed)
        for words in ("run (", "a.png: 5 x 7", "b.png: 4 x 6", "half", "processor", "2 of 2"):
            self.assertIn(words, printed)
        with Image.open(file) as drawn:
            self.assertGreater(min(drawn.size), 100)

    def test_wrong_commands_and_flags(self):
        for arguments, message in (
            (("pack", self.file), "compress, decompress, verify, inspect. Received: pack"),
            (("inspect", self.file, "--out=a"), "inspect without.*: --out[.]"),
            (("decompress", self.file, "--map=a.png"), "decompress without.*: --map[.]"),
            (("verify", self.file, "--metadata"), "verify without.*: --metadata[.]"),
            (("compress", self.picture), "pictures, and --out"),
            (("decompress", self.file, "--out=-"), "a folder for the pictures. Received: -"),
            (("verify", self.file, self.file), "one compressed file"),
        ):
            with self.assertRaisesRegex(app.UsageError, message):
                self.run_codec(*arguments)

    def test_where_no_file_can_be_is_found_out_before_the_work(self):
        with mock.patch.object(pa, "load", side_effect=AssertionError):
            for arguments, message in (
                (("inspect", self.file, "--map=missing/map.png"), "Expected --map as a name.*miss"),
                (("inspect", self.file, "--map=map.foo"), "Expected --map as a name.*map.foo"),
                (("compress", self.picture, "--out=missing/a.pxa"), "Expected --out as a name"),
                (("compress", self.picture, f"--out={self.file}"), "new file. Received: .*both"),
                (("decompress", self.file, f"--out={self.shared}"), "new file. Received: .*a.png"),
            ):
                with self.assertRaisesRegex(ValueError, message):
                    self.run_codec(*arguments)

    def test_standard_input_and_output(self):
        """Standard output has only the file; messages go to standard error."""
        file, errors = self.folder / "piped.pxa", io.StringIO()
        with (
            file.open("w") as output,
            mock.patch.object(codec, "sys", types.SimpleNamespace(stdout=output, stderr=errors)),
        ):
            printed = self.run_codec("compress", self.shared / "b.png", "--out=-")
        self.assertEqual(printed, "")
        self.assertIn("Wrote -: ", errors.getvalue())
        written = file.read_bytes()
        self.assertEqual(container.read(written).pictures, [["b.png", 4, 6]])
        given = types.SimpleNamespace(buffer=io.BytesIO(written))
        with mock.patch.object(codec.sys, "stdin", given):
            self.assertIn("1 pictures, 1 tiles", self.run_codec("verify", "-"))
        given.buffer.seek(0)
        with (
            mock.patch.object(codec.sys, "stdin", given),
            mock.patch.object(codec, "_MAX_PIPED", len(written) - 1),
            self.assertRaisesRegex(ValueError, "in standard input. Received: more. Name the"),
        ):
            self.run_codec("verify", "-")
        with (
            open("/dev/full", "w") as full,
            mock.patch.object(codec, "sys", types.SimpleNamespace(stdout=full, stderr=errors)),
            self.assertRaisesRegex(OSError, "standard output. Received: No space left"),
        ):
            self.run_codec("compress", self.shared / "b.png", "--out=-")

    def test_pictures_before_a_bad_one_are_written(self):
        contents = container.read(self.file.read_bytes())
        checksums = contents.checksums ^ np.array([0, 0, 0, 0, 1], np.uint32)
        file, out = self.folder / "bad.pxa", self.folder / "bad"
        file.write_bytes(container.write(contents._replace(checksums=checksums)))
        for command, which in (("decompress", "where decoding stops"), ("verify", "1 of 5")):
            flags = [f"--out={out}"] * (command == "decompress")
            with self.assertRaisesRegex(ValueError, f"fail their checksum, {which}: number 4"):
                self.run_codec(command, file, *flags)
        self.assertEqual([x.name for x in out.iterdir()], ["a.png"])

    def test_what_is_no_file(self):
        """Reading one may block, or never end."""
        os.mkfifo(pipe := self.folder / "pipe")
        for path in ("/dev/zero", pipe, self.folder):
            with self.assertRaisesRegex(
                OSError, f"a regular file as {path}. Received: a folder, a"
            ):
                self.run_codec("inspect", path)


class WholePicturesTest(FilesTest):
    """By a model of images of any size, which codes them whole."""

    def test_a_folder_of_pictures(self):
        run, folder, out = (self.folder / name for name in ("run", "pictures", "out"))
        helpers.make_run(run, codec_helpers.shared_model())
        (folder / "below").mkdir(parents=True)
        images = {"a.png": noise(5, 7, 3), "b.png": noise(1, 4, 4), "c.png": noise(5, 6)}
        for path, pixels in zip(("a.png", "b.png", "below/c.png"), images.values()):
            Image.fromarray(pixels).save(folder / path)
        (folder / "notes.txt").write_text("no picture")
        file = self.folder / "all.pxa"
        printed = self.run_codec("compress", folder, f"--out={file}")
        self.assertIn("3 PNG, JPEG, TIFF or WebP files; skipped: 1 .txt", printed)
        self.assertIn("Wrote", printed)
        self.assertIn("3 pictures: reproduced exactly", self.run_codec("verify", file))
        self.run_codec("decompress", file, f"--out={out}")
        for name, pixels in images.items():
            self.assertAllEqual(np.asarray(Image.open(out / name)), pixels)
        self.assertRegex(self.run_codec("inspect", file), "b.png: 1 x 4, alpha [0-9]+ bytes")
        (folder / "broken.png").symlink_to("nowhere")
        self.write("pictures/damaged.png", b"damaged")
        others = self.folder / "others.pxa"
        with self.assertRaisesRegex(ValueError, f"left out. Mend these, remove {others}"):
            self.run_codec("compress", folder, f"--out={others}")
        self.assertLen(container.read(others.read_bytes()).pictures, 3)
        (self.folder / "empty").mkdir()
        with self.assertRaisesRegex(ValueError, "files in .*empty. Received: no files"):
            self.run_codec("compress", self.folder / "empty", f"--out={out}.pxa")

    @unittest.skipIf(pydicom is None, "pydicom, the extra [medical], is not installed")
    def test_a_folder_of_scans(self):
        """16-bit PNG, TIFF of pages and DICOM files, to a file and to an archive."""
        helpers.make_run(self.folder / "run", codec_helpers.model(bits=12, channels=1))
        scans, out = self.folder / "scans", self.folder / "out"
        scans.mkdir()
        values = np.random.default_rng(0).integers(0, 4096, (4, 6, 5)).astype(np.uint16)
        first, second, third, fourth = map(Image.fromarray, values)
        first.save(scans / "a.png")
        second.save(scans / "b.tif", save_all=True, append_images=[third])
        (scans / "c.dcm").write_bytes(dicom(values[3], PatientName="A^B"))
        for file in ("all.pxa", "archive"):
            for metadata in (False, True):
                here = self.folder / f"{metadata}-{file}"
                flags = ["--metadata"] * metadata + ["--jobs=1"] * (file == "archive")
                printed = self.run_codec("compress", scans, f"--out={here}", *flags)
                self.assertIn("3 PNG, JPEG, TIFF, WebP or DICOM files\n", printed)
                for kind in (None, "png", "tiff"):
                    to, flags = out / f"{here.name}-{kind}", [f"--format={kind}"] * bool(kind)
                    self.run_codec("decompress", here, f"--out={to}", *flags)
                    names = ["a.png", "b.page0001.tif", "b.page0002.tif", "c.png"]
                    if metadata and kind != "png":  # a stack is one file
                        names[1:3] = ["b.tif", "b.tif"]
                    if metadata and kind is None:
                        names[3] = "c.dcm"
                    for k, name in enumerate(names):
                        path = (to / name).with_suffix(f".{kind[:3]}" if kind else name[-4:])
                        if path.suffix == ".dcm":
                            self.assertEqual(path.read_bytes(), (scans / "c.dcm").read_bytes())
                            continue
                        with Image.open(path) as found:
                            found.seek(k - 1 if path.name == "b.tif" else 0)
                            self.assertAllEqual(np.asarray(found), values[k])

    def test_stacks(self):
        """The same arrays, axes, description and tags; the same bytes if they are stored plainly."""
        random = np.random.default_rng(0)
        by_model: dict = {}
        for name, (shape, bits, channels, is_plain, options) in STACKS.items():
            values = random.integers(0, 2**bits, shape, dtype=np.uint16)
            tifffile.imwrite(
                file := io.BytesIO(),
                values.astype(np.uint8 if bits == 8 else np.uint16),
                **{"photometric": "minisblack", **options},
            )
            contents = file.getvalue()
            by_model.setdefault((bits, channels), {})[name] = contents, is_plain
        for (bits, channels), stacks in by_model.items():
            folder = self.folder / f"{bits}-{channels}"
            file, out = folder / "all.pxa", folder / "out"
            made = codec_helpers.model(bits=bits, channels=channels, masked=1, masked_blocks=1)
            helpers.make_run(self.folder / "run", made)
            folder.mkdir()
            for name, (contents, _) in stacks.items():
                (folder / f"{name}.tif").write_bytes(contents)
            self.run_codec("compress", folder, f"--out={file}", "--metadata")
            printed = self.run_codec("decompress", file, f"--out={out}")
            self.assertLen(list(out.iterdir()), len(stacks))
            for name, (contents, is_plain) in stacks.items():
                self.assertIn(f"Wrote {out / name}.tif: ", printed)
                written = (out / f"{name}.tif").read_bytes()
                self.assertEqual(written == contents, is_plain, name)
                found, expected = (tifffile.TiffFile(io.BytesIO(x)) for x in (written, contents))
                self.assertAllEqual(found.asarray(), expected.asarray(), name)
                self.assertEqual(str(found.imagej_metadata), str(expected.imagej_metadata))
                self.assertEqual(found.ome_metadata, expected.ome_metadata)
                for page, before in zip(found.pages, expected.pages, strict=True):
                    for tag in ("photometric", "planarconfig", "extrasamples", "description"):
                        kept = [getattr(x, tag, None) for x in (page.aspage(), before.aspage())]
                        self.assertEqual(*kept, name)
                self.assertEqual(found.series[0].axes, expected.series[0].axes)
            shutil.rmtree(self.folder / "run")

    def run_codec(self, *arguments):
        return helpers.run_program(codec, *arguments, f"--workdir={self.folder / 'run'}")
