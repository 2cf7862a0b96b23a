"""Tests of the codec's program, from picture files to picture files."""

import functools
import io
import os
import types
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf
from absl import app
from PIL import Image, ImageCms, PngImagePlugin

import pixelcnn_aux as pa
from pixelcnn_aux.codec import __main__ as codec, container, pictures, tiles
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.runs import trained
from tests import helpers
from tests.codec import group_coding_test
from tests.data.decoding_test import png
from tests.data.helpers import FilesTest, encoded, noise


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
        cls.pictures = {"a.png": noise(9, 7, 3), "b.png": noise(4, 6, 3, seed=1)}
        for name, pixels in cls.pictures.items():
            Image.fromarray(pixels).save(cls.folder / name)
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

    def test_portable(self):
        """A program of another process, with XLA and without oneDNN, gives back what this one wrote."""
        file = self.folder / "portable.pxa"
        self.run_codec("compress", self.folder / "b.png", f"--out={file}", "--portable")
        self.assertEqual(container.read(file.read_bytes()).dtype, "float64")
        arguments = ["pixelcnn_aux.codec", "verify", file, f"--workdir={self.folder / 'run'}"]
        settings = {
            "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
            "TF_ENABLE_ONEDNN_OPTS": "0",
        }
        result = helpers.start(self.folder, *arguments, environment={**os.environ, **settings})
        self.assertIn("1 tiles of 4 x 6: as they were", result.stdout, result.stderr)

    def test_a_file_of_a_model_of_the_package_needs_no_workdir(self):
        with (
            mock.patch.object(codec, "FLAGS", types.SimpleNamespace(workdir=None)),
            mock.patch.object(pa, "load") as load,
            mock.patch.object(codec, "Codec"),
        ):
            codec._codec(types.SimpleNamespace(name=trained.DEFAULT, dtype="float64"))
            load.assert_called_once_with(trained.DEFAULT, dtype="float64")
            with self.assertRaisesRegex(ValueError, "Expected --workdir.*'mine' is no trained"):
                codec._codec(types.SimpleNamespace(name="mine", dtype="float32"))

    def test_verified_and_inspected(self):
        self.assertIn(
            "2 pictures, 7 tiles of 4 x 6: as they were", self.run_codec("verify", self.file)
        )
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
        self.assertIn("0 pictures, 2 tiles of 4 x 6", self.run_codec("inspect", file))
        self.run_codec("decompress", file, f"--out={out}")
        for number, image in enumerate(images):
            self.assertAllEqual(np.asarray(Image.open(out / f"{number:05}.png")), image)

    def test_a_file_of_no_images(self):
        file = self.folder / "none.pxa"
        file.write_bytes(pa.codec.Codec(pa.load(self.folder / "run")).compress(noise(0, 4, 6, 3)))
        self.assertIn("bytes, no pixels\n", self.run_codec("inspect", file))
        self.assertIn("0 pictures, 0 tiles of 4 x 6", self.run_codec("verify", file))
        with self.assertRaisesRegex(ValueError, "file of images for --map. Received: one of none"):
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
        for command, name, value in (
            *(("verify", "--out", "=a"), ("inspect", "--out", "=a")),
            *(("decompress", "--map", "=a.png"), ("verify", "--portable", "")),
            ("decompress", "--label", "=1"),
        ):
            with self.assertRaisesRegex(app.UsageError, f"Expected {command} without.*: {name}[.]"):
                self.run_codec(command, self.file, name + value)

    def test_a_class(self):
        command = (
            "compress",
            self.folder / "b.png",
            f"--out={self.folder / 'class.pxa'}",
            "--label=2",
        )
        with self.assertRaisesRegex(
            ValueError, "model of classes for --label.*without a condition"
        ):
            self.run_codec(*command)
        model = types.SimpleNamespace(
            condition=Classes(3),
            image_size=helpers.SIZE,
            likelihood=types.SimpleNamespace(num_channels=3),
        )
        with (
            mock.patch.object(pa, "load", return_value=model),
            mock.patch.object(codec, "Codec") as made,
        ):
            made.return_value.compress.return_value = b"file"
            self.run_codec(*command)
        self.assertAllEqual(made.return_value.compress.call_args.args[1], [2])

    def test_images_of_two_channels(self):
        """They have a map, and no PNG files, which is said before anything is decoded."""
        network = pa.networks.PixelCNN(pa.networks.topology.flat(1), 4, num_params=24)
        factor = pa.Factor(pa.likelihoods.Categorical(4, 2), network, name="image")
        model, run = pa.AuxiliaryModel([factor], [], helpers.SIZE), self.folder / "two"
        helpers.make_run(run, model, model.factors)
        images = noise(2, *helpers.SIZE, 2) % 4
        file, out = self.folder / "two.pxa", self.folder / "two-channels"
        file.write_bytes(pa.codec.Codec(pa.load(run)).compress(images))
        arguments = [file, f"--workdir={run}"]
        with self.assertRaisesRegex(ValueError, "pictures of 1 or 3 channels.*Received: 2. "):
            helpers.run_program(codec, "decompress", *arguments, f"--out={out}")
        self.assertFalse(out.exists())
        drawn = self.folder / "two.png"
        helpers.run_program(codec, "inspect", *arguments, f"--map={drawn}")
        self.assertTrue(drawn.exists())

    def test_nothing_is_overwritten(self):
        """Nor is what appears while it works."""
        before = self.file.read_bytes()
        with self.assertRaisesRegex(ValueError, "new file"):
            self.run_codec("compress", self.folder / "a.png", f"--out={self.file}")
        self.assertEqual(self.file.read_bytes(), before)
        out, Codec = self.folder / "meanwhile", codec.Codec.__wrapped__
        for method, made, arguments in (
            (Codec.compress, out.with_suffix(".pxa"), ["compress", self.folder / "a.png"]),
            (Codec.decompress, out / "b.png", ["decompress", self.file]),
        ):

            def also(*args, method=method, made=made):
                result = method(*args)
                made.write_bytes(b"mine")
                return result

            to = f"--out={made if method is Codec.compress else out}"
            with mock.patch.object(Codec, method.__name__, also):
                with self.assertRaisesRegex(ValueError, f"new file. Received: {made}"):
                    self.run_codec(*arguments, to)
            self.assertEqual(made.read_bytes(), b"mine")

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


class WholePicturesTest(FilesTest):
    """By a model of images of any size, which codes them whole."""

    def test_a_folder_of_pictures(self):
        run, folder, out = (self.folder / name for name in ("run", "pictures", "out"))
        model = group_coding_test.model()
        helpers.make_run(run, model, model.factors)
        (folder / "below").mkdir(parents=True)
        images = {"a.png": noise(9, 7, 3), "b.png": noise(1, 4, 4), "c.png": noise(5, 6)}
        for path, pixels in zip(("a.png", "b.png", "below/c.png"), images.values()):
            Image.fromarray(pixels).save(folder / path)
        (folder / "notes.txt").write_text("no picture")
        file = self.folder / "all.pxa"
        printed = self.run_codec("compress", folder, f"--out={file}")
        self.assertIn("3 PNG, JPEG, TIFF or WebP files; left out are others: 1 .txt", printed)
        self.assertIn("Wrote", printed)
        self.assertIn("3 pictures: as they were written", self.run_codec("verify", file))
        self.run_codec("decompress", file, f"--out={out}")
        for name, pixels in images.items():
            self.assertAllEqual(np.asarray(Image.open(out / name)), pixels)
        drawn = self.folder / "map.png"
        printed = self.run_codec("inspect", file, f"--map={drawn}")
        self.assertIn("3 pictures\n", printed)
        self.assertRegex(printed, "b.png: 1 x 4, alpha [0-9]+ bytes")
        self.assertTrue(drawn.exists())
        with self.assertRaisesRegex(
            ValueError, "for --portable. Received: .*run, whose files decode"
        ):
            self.run_codec("compress", folder, f"--out={out}.pxa", "--portable")
        (self.folder / "empty").mkdir()
        with self.assertRaisesRegex(ValueError, "files in .*empty. Received: no files"):
            self.run_codec("compress", self.folder / "empty", f"--out={out}.pxa")

    def run_codec(self, *arguments):
        return helpers.run_program(codec, *arguments, f"--workdir={self.folder / 'run'}")


class PicturesTest(FilesTest):
    def read(self, contents, name="a.png", **how):
        return pictures.read(self.write(name, contents), **how)

    def test_what_would_be_lost_is_refused(self):
        pixels, gray = noise(8, 8, 3), Image.fromarray(noise(8, 8) // 2)
        first, second = (Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in (0, 1))
        several = {"save_all": True, "append_images": [second]}
        deep, kinds = (
            png(16, 2, noise(8 * 16 * 3), (b"tEXt", b"a\0b")),
            ("PNG", "TIFF", "WEBP", "MPO"),
        )
        for name, contents, why in (
            (
                "keyed.png",
                saved(Image.fromarray(noise(8, 8) > 99), "PNG", transparency=1),
                "fewer than 8 bits",
            ),
            ("deep.png", png(16, 0, noise(8 * 16)), "16 bits a channel"),
            ("colors.png", deep, "16 bits a channel"),
            (
                "late.png",
                deep[:8] + deep[33:48] + deep[8:33] + deep[48:],
                "another chunk than the header",
            ),
            *((f"two.{x}", saved(first, x, **several), "several pictures") for x in kinds),
            ("ink.jpg", encoded(pixels, "JPEG", "CMYK"), "kind CMYK, which would lose something"),
            ("gray.gif", saved(gray, "GIF"), ""),
            ("cut.png", encoded(pixels, "PNG")[:60], ""),
            ("none.png", b"", ""),
        ):
            with self.assertRaisesRegex(ValueError, f"of 8 bits a channel.*{name}.*{why}"):
                self.read(contents, name)
        with self.assertRaisesRegex(ValueError, "of one channel, of 8.*RGB, one channel"):
            self.read(saved(first, "PNG"), channels=1)

    def test_what_is_kept(self):
        pixels, values = noise(4, 5, 3), np.arange(20, dtype=np.uint8).reshape(4, 5)
        opaque = np.concatenate([pixels, np.full((4, 5, 1), 255, np.uint8)], axis=-1)
        palette = Image.fromarray(pixels).quantize(4)
        indexed = Image.fromarray(values, "P")
        indexed.putpalette(noise(20, 3).tobytes())
        for image, expected, options in (
            (Image.fromarray(pixels), pixels, {}),
            (Image.fromarray(opaque, "RGBA"), pixels, {}),  # as screenshots have it
            (palette, palette.convert("RGB"), {"transparency": bytes([255] * 4)}),
            (indexed, noise(20, 3)[values], {}),
            (Image.fromarray(values), np.repeat(values[..., None], 3, 2), {}),
            (Image.fromarray(values % 2 > 0), np.repeat(255 * (values[..., None] % 2), 3, 2), {}),
        ):
            found, extras = self.read(saved(image, "PNG", **options))
            self.assertAllEqual(found, expected)
            self.assertEqual(extras, {})
        for kind, options in (("TIFF", {}), ("WEBP", {"lossless": True})):
            self.assertAllEqual(self.read(encoded(pixels, kind, **options)).pixels, pixels)
        found = self.read(saved(Image.fromarray(values), "PNG"), channels=1).pixels
        self.assertAllEqual(found, values[..., np.newaxis])

    def test_pictures_are_written_as_they_were(self):
        """Every kind of PNG file of 8 bits: its pixels, and how clear each is."""
        pixels = Image.fromarray(noise(6, 5, 4), "RGBA")
        gray, colors = Image.fromarray(noise(6, 5)), pixels.convert("RGB")
        for name, image, mode, options in (
            ("rgba", pixels, "RGBA", {}),
            ("la", Image.merge("LA", [gray, pixels.getchannel(3)]), "LA", {}),
            ("clear", colors.quantize(4), "RGBA", {"transparency": 0}),
            ("keyed", colors, "RGBA", {"transparency": colors.getpixel((0, 0))}),
            ("keyed gray", gray, "LA", {"transparency": gray.getpixel((0, 0))}),
            ("rgb", colors, "RGB", {}),
            ("gray", gray, "L", {}),
        ):
            with self.subTest(name):
                data = saved(image, "PNG", **options)
                pictures.write(file := io.BytesIO(), self.read(data))
                found = Image.open(file)
                self.assertEqual(found.mode, mode)
                expected = Image.open(io.BytesIO(data)).convert("RGBA")
                self.assertAllEqual(np.asarray(found.convert("RGBA")), np.asarray(expected))

    def test_metadata_are_kept_on_request(self):
        image, exif = Image.fromarray(noise(6, 5, 3)), Image.Exif()
        exif[274], exif[271] = 6, "a camera"
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        data = saved(image, "PNG", exif=exif, icc_profile=profile)
        self.assertEqual(self.read(data).extras, {})
        picture = self.read(data, metadata=True)
        pictures.write(file := io.BytesIO(), picture)
        found = Image.open(file)
        self.assertEqual(found.info["icc_profile"], profile)
        self.assertEqual(dict(found.getexif()), {271: "a camera"})  # upright already
        self.assertAllEqual(np.asarray(found), picture.pixels)
        # A profile of colors is none for grays.
        gray = pictures.Picture(np.repeat(noise(6, 5)[..., None], 3, axis=2), picture.extras)
        pictures.write(file := io.BytesIO(), gray)
        self.assertEqual(Image.open(file).mode, "RGB")

    def test_extras_that_cannot_be(self):
        pixels = noise(6, 5, 3)
        for kind, data, message in (
            ("alpha", saved(Image.fromarray(noise(5, 6)), "PNG"), "alpha of .6, 5.*L of .5, 6"),
            ("alpha", b"no file", "alpha of .6, 5"),
            ("icc", b"no file", "icc of a picture, deflated"),
            ("exif", zlib.compress(bytes(100))[:-1], "exif of a picture, deflated"),
            ("exif", zlib.compress(bytes(2**24 + 1)), "of at most 16,777,216 bytes"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                pictures.write(io.BytesIO(), pictures.Picture(pixels, {kind: data}))

    def test_files_that_cannot_be_read(self):
        missing, pipe = self.folder / "missing.png", self.folder / "pipe.png"
        with self.assertRaisesRegex(FileNotFoundError, f"Expected to read {missing}. Received: "):
            pictures.read(missing)
        os.mkfifo(pipe)
        for path in (pipe, self.folder):
            with self.assertRaisesRegex(ValueError, rf"Received: {path} \(no file\)"):
                pictures.read(path)

    def test_upright(self):
        """Whether EXIF is a chunk of its own or, as ImageMagick writes it, a text."""
        pixels, exif, texts = noise(5, 4, 3), Image.Exif(), PngImagePlugin.PngInfo()
        exif[274] = 6
        segment = exif.tobytes()
        texts.add_text("Raw profile type exif", f"\nexif\n{len(segment):8}\n{segment.hex()}\n")
        for options in ({"exif": exif}, {"pnginfo": texts}):
            found = self.read(encoded(pixels, "PNG", **options)).pixels
            self.assertAllEqual(found, np.rot90(pixels, -1))

    def test_names_are_not_given_twice(self):
        files = ["x/a.png", "y/a.jpg", "a-2.png", "b.jpeg"]
        self.assertEqual(pictures.names(files), ["a.png", "a-2.png", "a-2-2.png", "b.png"])
        # Some disks take them for one.
        self.assertEqual(pictures.names(["img.png", "IMG.jpg"]), ["img.png", "IMG-2.png"])


def saved(image, kind, **options):
    """The bytes of the file of a Pillow image."""
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


class TilesTest(tf.test.TestCase):
    def test_cut_and_joined(self):
        for size, rows, columns in (
            ((4, 6), 1, 1),
            ((9, 7), 3, 2),
            ((1, 1), 1, 1),
            ((8, 12), 2, 2),
        ):
            picture = noise(*size, 3)
            found = tiles.cut(picture, (4, 6))
            self.assertEqual(tiles.grid(*size, (4, 6)), (rows, columns))
            self.assertEqual(found.shape, (rows * columns, 4, 6, 3))
            self.assertAllEqual(found[0, 0, 0], picture[0, 0])
            self.assertAllEqual(found[-1, -1, -1], picture[-1, -1])
            self.assertAllEqual(tiles.join(found, *size), picture)
