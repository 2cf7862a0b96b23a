"""Tests of the codec's program, from picture files to picture files."""

import functools
import io
import os
import struct
import types
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import app
from PIL import Image, PngImagePlugin

import pixelcnn_aux as pa
from pixelcnn_aux import zoo
from pixelcnn_aux.codec import __main__ as codec
from pixelcnn_aux.codec import container, pictures, tiles
from tests import helpers

PNG = b"\x89PNG\r\n\x1a\n"


class ProgramTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        model = helpers.tiny_model(exact=True, centered=True)
        helpers.make_run(cls.folder / "run", model, model.factors)
        # One model and one codec for all commands, which trace their graphs once then.
        for module, name in ((pa, "load"), (codec, "Codec")):
            cached = functools.cache(getattr(module, name))
            cls.enterClassContext(mock.patch.object(module, name, cached))
        random = np.random.default_rng(0)
        cls.pictures = {}
        for name, sides in (("a.png", (9, 7)), ("b.png", (4, 6))):
            cls.pictures[name] = random.integers(0, 256, (*sides, 3), np.uint8)
            Image.fromarray(cls.pictures[name]).save(cls.folder / name)
        cls.file = cls.folder / "both.pxa"
        files = [cls.folder / name for name in cls.pictures]
        cls.run_codec("compress", *files, f"--out={cls.file}")

    @classmethod
    def run_codec(cls, *arguments):
        return helpers.run_program(codec, *arguments, f"--workdir={cls.folder / 'run'}")

    def test_pictures_come_back(self):
        out = self.folder / "out"
        self.run_codec("decompress", self.file, f"--out={out}")
        for name, picture in self.pictures.items():
            self.assertAllEqual(np.asarray(Image.open(out / name)), picture)
        with self.assertRaisesRegex(ValueError, f"new file. Received: {out / 'a.png'}"):
            self.run_codec("decompress", self.file, f"--out={out}")

    def test_portable(self):
        file, out = self.folder / "portable.pxa", self.folder / "portable"
        self.run_codec("compress", self.folder / "b.png", f"--out={file}", "--portable")
        self.assertEqual(container.read(file.read_bytes()).dtype, "float64")
        self.run_codec("decompress", file, f"--out={out}")
        self.assertAllEqual(np.asarray(Image.open(out / "b.png")), self.pictures["b.png"])

    def test_portable_where_tensorflow_rounds_otherwise(self):
        """A program of another process, with XLA and without oneDNN, gives back what this one wrote."""
        file = self.folder / "elsewhere.pxa"
        self.run_codec("compress", self.folder / "b.png", f"--out={file}", "--portable")
        for name, setting in (
            ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"),
            ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ):
            result = helpers.start(
                self.folder,
                "pixelcnn_aux.codec",
                "verify",
                file,
                f"--workdir={self.folder / 'run'}",
                environment={**os.environ, name: setting},
            )
            self.assertIn("1 tiles: as they were", result.stdout, result.stderr)

    def test_a_file_of_a_model_of_the_package_needs_no_workdir(self):
        with (
            mock.patch.object(codec, "FLAGS", types.SimpleNamespace(workdir=None)),
            mock.patch.object(pa, "load") as load,
            mock.patch.object(codec, "Codec"),
        ):
            codec._codec(types.SimpleNamespace(name=zoo.DEFAULT, dtype="float64"))
            load.assert_called_once_with(zoo.DEFAULT, dtype="float64")
            with self.assertRaisesRegex(ValueError, "Expected --workdir.*'mine' is no trained"):
                codec._codec(types.SimpleNamespace(name="mine", dtype="float32"))

    def test_verified(self):
        self.assertIn("2 pictures, 7 tiles: as they were", self.run_codec("verify", self.file))

    def test_inspected(self):
        file = self.folder / "map.png"
        printed = self.run_codec("inspect", self.file, f"--map={file}")
        size = 8 * self.file.stat().st_size / sum(x.size / 3 for x in self.pictures.values())
        self.assertIn(f"bytes, {size:.3f} bits per pixel", printed)
        for words in ("run (", "a.png: 9 x 7", "b.png: 4 x 6", "grayscale", "processor", "2 of 2"):
            self.assertIn(words, printed)
        with Image.open(file) as drawn:
            self.assertGreater(min(drawn.size), 100)

    def test_a_file_of_images_that_were_no_pictures(self):
        images = helpers.pictures(2)
        file, out = self.folder / "images.pxa", self.folder / "images"
        file.write_bytes(pa.codec.Codec(pa.load(self.folder / "run")).compress(images))
        self.assertIn("2 tiles of [4, 6], of 0 pictures", self.run_codec("inspect", file))
        self.run_codec("decompress", file, f"--out={out}")
        for number, image in enumerate(images):
            self.assertAllEqual(np.asarray(Image.open(out / f"{number:05}.png")), image)

    def test_a_file_of_no_images(self):
        file, contents = self.folder / "none.pxa", container.read(self.file.read_bytes())
        none = contents._replace(
            count=0, batch=1, pictures=[], streams=[], checksums=np.zeros(0, np.uint32)
        )
        file.write_bytes(container.write(none))
        self.assertIn("bytes, no pixels\n", self.run_codec("inspect", file))
        self.assertIn("0 pictures, 0 tiles", self.run_codec("verify", file))
        with self.assertRaisesRegex(
            ValueError, "a file of images for --map. Received: one of none"
        ):
            self.run_codec("inspect", file, f"--map={self.folder / 'none.png'}")

    def test_where_no_file_can_be_is_found_out_before_the_work(self):
        picture = self.folder / "a.png"
        with mock.patch.object(pa, "load", side_effect=AssertionError):
            for out in ("missing/map.png", "map.foo"):
                with self.assertRaisesRegex(ValueError, f"Expected --map as a name.*{out}"):
                    self.run_codec("inspect", self.file, f"--map={self.folder / out}")
            with self.assertRaisesRegex(ValueError, "Expected --out as a name.*missing"):
                self.run_codec("compress", picture, f"--out={self.folder / 'missing' / 'a.pxa'}")
            with self.assertRaisesRegex(ValueError, f"new file. Received: {picture}"):
                self.run_codec("decompress", self.file, f"--out={self.folder}")

    def test_flags_of_other_commands_are_refused(self):
        for command, flag in (
            ("verify", "--out=a"),
            ("inspect", "--out=a"),
            ("decompress", "--map=a.png"),
            ("verify", "--portable"),
        ):
            name = flag.partition("=")[0]
            with self.assertRaisesRegex(app.UsageError, f"Expected {command} without.*: {name}[.]"):
                self.run_codec(command, self.file, flag)

    def test_images_of_two_channels(self):
        """They have a map, and no PNG files, which is said before anything is decoded."""
        network = pa.networks.PixelCNN(pa.networks.topology.flat(1), 4, num_params=24)
        factor = pa.Factor(pa.likelihoods.Categorical(4, 2), network, name="image")
        model, run = pa.AuxiliaryModel([factor], [], helpers.SIZE), self.folder / "two"
        helpers.make_run(run, model, model.factors)
        images = np.random.default_rng(0).integers(0, 4, (2, *helpers.SIZE, 2), np.uint8)
        file, out = self.folder / "two.pxa", self.folder / "two-channels"
        file.write_bytes(pa.codec.Codec(pa.load(run)).compress(images))
        arguments = [file, f"--workdir={run}"]
        with self.assertRaisesRegex(ValueError, "pictures of 3 channels.*Received: 2. "):
            helpers.run_program(codec, "decompress", *arguments, f"--out={out}")
        self.assertFalse(out.exists())
        drawn = self.folder / "two.png"
        helpers.run_program(codec, "inspect", *arguments, f"--map={drawn}")
        self.assertTrue(drawn.exists())

    def test_nothing_is_overwritten(self):
        before = self.file.read_bytes()
        with self.assertRaisesRegex(ValueError, "new file"):
            self.run_codec("compress", self.folder / "a.png", f"--out={self.file}")
        self.assertEqual(self.file.read_bytes(), before)

    def test_what_appears_while_it_works_is_not_overwritten(self):
        file, out = self.folder / "meanwhile.pxa", self.folder / "meanwhile"

        def during(method, *made):
            def also(codec, *args):
                result = method(codec, *args)
                for path in made:
                    path.write_bytes(b"mine")
                return result

            return mock.patch.object(codec.Codec.__wrapped__, method.__name__, also)

        Codec = codec.Codec.__wrapped__
        with during(Codec.compress, file), self.assertRaisesRegex(ValueError, "new file"):
            self.run_codec("compress", self.folder / "a.png", f"--out={file}")
        self.assertEqual(file.read_bytes(), b"mine")
        with during(Codec.decompress, out / "b.png"):
            with self.assertRaisesRegex(ValueError, f"new file. Received: {out / 'b.png'}"):
                self.run_codec("decompress", self.file, f"--out={out}")
        self.assertEqual((out / "b.png").read_bytes(), b"mine")

    def test_standard_input_and_output(self):
        """What is written is the file alone; what is printed goes to standard error."""
        output, errors = (self.folder / "piped.pxa").open("w"), io.StringIO()
        with mock.patch.object(codec, "sys", types.SimpleNamespace(stdout=output, stderr=errors)):
            printed = self.run_codec("compress", self.folder / "b.png", "--out=-")
        self.assertEqual(printed, "")
        self.assertIn("Wrote -: ", errors.getvalue())
        output.close()
        written = (self.folder / "piped.pxa").read_bytes()
        self.assertEqual(container.read(written).pictures, [["b.png", 4, 6]])
        given = types.SimpleNamespace(buffer=io.BytesIO(written))
        with mock.patch.object(codec.sys, "stdin", given):
            self.assertIn("1 pictures, 1 tiles", self.run_codec("verify", "-"))
        with (
            open("/dev/full", "w") as full,
            mock.patch.object(codec, "sys", types.SimpleNamespace(stdout=full, stderr=errors)),
            self.assertRaisesRegex(OSError, "standard output. Received: No space left"),
        ):
            self.run_codec("compress", self.folder / "b.png", "--out=-")


def deep_colors(pixels):
    """A PNG file of 16 bits a channel, which Pillow does not write: of pixels [H, W, 3]."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return PNG + b"".join(chunk(*each) for each in chunks)


def chunk(kind, data):
    """A part of a PNG file: of 4 bytes that name its kind, and its bytes."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(orientation, *others):
    """A segment of EXIF; `others` are (tag, type, 4 bytes) of entries that come before."""
    entries = [*others, (0x0112, 3, struct.pack("<HH", orientation, 0))]
    counts = {2: 4, 3: 1, 11: 1}
    packed = (struct.pack("<HHI", tag, kind, counts[kind]) + data for tag, kind, data in entries)
    start = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return start + b"".join(packed) + bytes(4)


class PicturesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    def test_what_would_be_lost_is_refused(self):
        pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8)
        Image.fromarray(pixels, "RGBA").save(self.folder / "alpha.png")
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(self.folder / "deep.png")
        Image.fromarray(pixels[..., 0]).save(self.folder / "gray.gif")
        whole = self.folder / "whole.png"
        Image.fromarray(pixels[..., :3]).save(whole)
        (self.folder / "cut.png").write_bytes(whole.read_bytes()[:60])
        (self.folder / "none.png").write_bytes(b"")
        (self.folder / "colors.png").write_bytes(deep_colors(pixels[..., :3]))
        first, second = (Image.fromarray(pixels[..., k : k + 3]) for k in (0, 1))
        first.save(self.folder / "moves.png", save_all=True, append_images=[second])
        first.save(self.folder / "two.jpg", "MPO", save_all=True, append_images=[second])
        first.convert("CMYK").save(self.folder / "ink.jpg")
        first.quantize(4).save(self.folder / "clear.png", transparency=0)
        late = PNG + chunk(b"tEXt", b"a\0b") + deep_colors(pixels[..., :3])[len(PNG) :]
        (self.folder / "late.png").write_bytes(late)
        gray = Image.fromarray(pixels[..., 0] // 2)
        gray.save(self.folder / "keyed.png", transparency=255)  # which no pixel is
        for name, why in (
            ("keyed.png", "not opaque, which would lose something"),
            ("alpha.png", "not opaque, which would lose something"),
            ("deep.png", "16 bits a channel"),
            ("colors.png", "16 bits a channel"),
            ("moves.png", "2 pictures"),
            ("two.jpg", "2 pictures"),
            ("ink.jpg", "kind CMYK, which would lose something"),
            ("clear.png", "not opaque, which would lose something"),
            ("late.png", "another chunk than the header"),
            ("gray.gif", ""),
            ("cut.png", ""),
            ("none.png", ""),
        ):
            with self.assertRaisesRegex(ValueError, f"opaque pixels.*{name}.*{why}"):
                pictures.read(self.folder / name)
        self.assertAllEqual(pictures.read(whole), pixels[..., :3])
        pixels[..., 3] = 255  # as screenshots have it
        Image.fromarray(pixels, "RGBA").save(self.folder / "opaque.png")
        self.assertAllEqual(pictures.read(self.folder / "opaque.png"), pixels[..., :3])
        palette = first.quantize(4)
        palette.save(self.folder / "palette.png", transparency=bytes([255] * 4))
        self.assertIn("transparency", Image.open(self.folder / "palette.png").info)
        self.assertAllEqual(pictures.read(self.folder / "palette.png"), palette.convert("RGB"))

    def test_files_that_cannot_be_read(self):
        missing, pipe = self.folder / "missing.png", self.folder / "pipe.png"
        with self.assertRaisesRegex(FileNotFoundError, f"Expected to read {missing}. Received: "):
            pictures.read(missing)
        os.mkfifo(pipe)
        for path in (pipe, self.folder):
            with self.assertRaisesRegex(ValueError, rf"Received: {path} \(no file\)"):
                pictures.read(path)

    def test_upright_whatever_else_the_exif_says(self):
        pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
        for entries in ([], [(0x0100, 2, b"abc\0")], [(0x010F, 11, b"\0\0\x80\x3f")]):
            segment = exif(6, *entries)
            Image.fromarray(pixels).save(self.folder / "a.png", exif=segment)
            self.assertAllEqual(pictures.read(self.folder / "a.png"), np.rot90(pixels, -1))
            Image.fromarray(pixels).save(self.folder / "a.jpg", exif=segment)
            with Image.open(self.folder / "a.jpg") as stored:
                decoded = np.asarray(stored)
            self.assertAllEqual(pictures.read(self.folder / "a.jpg"), np.rot90(decoded, -1))

    def test_upright_where_a_text_has_the_exif(self):
        """As ImageMagick writes it."""
        pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
        segment, texts = exif(6), PngImagePlugin.PngInfo()
        texts.add_text("Raw profile type exif", f"\nexif\n{len(segment):8}\n{segment.hex()}\n")
        Image.fromarray(pixels).save(self.folder / "a.png", pnginfo=texts)
        self.assertAllEqual(pictures.read(self.folder / "a.png"), np.rot90(pixels, -1))

    def test_grays_and_palettes(self):
        file, values = self.folder / "a.png", np.arange(20, dtype=np.uint8).reshape(4, 5)
        Image.fromarray(values).save(file)
        self.assertAllEqual(pictures.read(file), np.repeat(values[..., None], 3, 2))
        Image.fromarray(values % 2 > 0).save(file)
        self.assertAllEqual(pictures.read(file), np.repeat(255 * (values[..., None] % 2), 3, 2))
        colors = np.random.default_rng(0).integers(0, 256, (20, 3), np.uint8)
        indexed = Image.fromarray(values, "P")
        indexed.putpalette(colors.tobytes())
        indexed.save(file)
        self.assertAllEqual(pictures.read(file), colors[values])

    def test_names_are_not_taken_twice(self):
        files = ["x/a.png", "y/a.jpg", "a-2.png", "b.jpeg"]
        self.assertEqual(pictures.names(files), ["a.png", "a-2.png", "a-2-2.png", "b.png"])
        # Some disks take them for one.
        self.assertEqual(pictures.names(["img.png", "IMG.jpg"]), ["img.png", "IMG-2.png"])


class TilesTest(tf.test.TestCase):
    def test_cut_and_joined(self):
        for sides in ((4, 6), (9, 7), (1, 1), (8, 12)):
            picture = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
            found = tiles.cut(picture, (4, 6))
            self.assertEqual(found.shape, (tiles.num_tiles(sides, (4, 6)), 4, 6, 3))
            self.assertAllEqual(found[0, 0, 0], picture[0, 0])
            self.assertAllEqual(found[-1, -1, -1], picture[-1, -1])
            self.assertAllEqual(tiles.join(found, sides), picture)


if __name__ == "__main__":
    tf.test.main()
