"""Tests of picture files that come back as they were."""

import io
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from pixelcnn_aux.codec import pictures
from tests.data.decoding_test import png
from tests.data.helpers import FilesTest, encoded, noise, saved


class PicturesTest(FilesTest):
    def read(self, contents, name="a.png", **how):
        return pictures.read(self.write(name, contents), **how)

    def written(self, picture):
        """The Pillow image of the PNG file of a `Picture`."""
        pictures.write(file := io.BytesIO(), picture)
        return Image.open(file)

    def test_files_that_would_lose_something_are_refused(self):
        pixels, others = noise(8, 8, 3), [Image.fromarray(noise(8, 8, 3, seed=1))]
        several = {"save_all": True, "append_images": others}
        deep = png(16, 2, noise(8 * 16 * 3), (b"tEXt", b"a\0b"))
        late = deep[:8] + deep[33:48] + deep[8:33] + deep[48:]
        keyed = saved(Image.fromarray(noise(8, 8) > 99), "PNG", transparency=1)
        kinds = ("PNG", "TIFF", "WEBP", "MPO")
        for name, contents, why in (
            ("keyed.png", keyed, "fewer than 8 bits"),
            ("deep.png", deep, "16 bits a channel"),
            ("late.png", late, "another chunk than the header"),
            *((f"two.{x}", encoded(pixels, x, **several), "several pictures") for x in kinds),
            ("ink.jpg", encoded(pixels, "JPEG", "CMYK"), "mode CMYK, which would lose information"),
            ("colors.gif", encoded(pixels, "GIF"), ""),
            ("cut.png", encoded(pixels, "PNG")[:60], ""),
        ):
            with self.assertRaisesRegex(ValueError, f"of 8 bits a channel.*{name}.*{why}"):
                self.read(contents, name)
        with self.assertRaisesRegex(ValueError, "of one channel, of 8.*RGB, one channel"):
            self.read(encoded(pixels, "PNG"), channels=1)
        with self.assertRaisesRegex(ValueError, rf"Received: {self.folder} \(no file\)"):
            pictures.read(self.folder)

    def test_opaque_pictures_keep_their_pixels_alone(self):
        pixels, values = noise(4, 5, 3), np.arange(20, dtype=np.uint8).reshape(4, 5)
        opaque = np.concatenate([pixels, np.full((4, 5, 1), 255, np.uint8)], axis=-1)
        palette = Image.fromarray(pixels).quantize(4)
        indexed = Image.fromarray(values, "P")
        indexed.putpalette(noise(20, 3).tobytes())
        for image, expected, options in (
            (Image.fromarray(opaque, "RGBA"), pixels, {}),  # as screenshots have it
            (palette, palette.convert("RGB"), {"transparency": bytes([255] * 4)}),
            (indexed, noise(20, 3)[values], {}),
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
            data = saved(image, "PNG", **options)
            found = self.written(self.read(data))
            self.assertEqual(found.mode, mode, name)
            expected = Image.open(io.BytesIO(data)).convert("RGBA")
            self.assertAllEqual(np.asarray(found.convert("RGBA")), np.asarray(expected), name)

    def test_metadata_are_kept_on_request(self):
        image, exif = Image.fromarray(noise(6, 5, 3)), Image.Exif()
        exif[274], exif[271] = 6, "a camera"
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        data = saved(image, "PNG", exif=exif, icc_profile=profile)
        self.assertEqual(self.read(data).extras, {})
        picture = self.read(data, metadata=True)
        found = self.written(picture)
        self.assertEqual(found.info["icc_profile"], profile)
        self.assertEqual(dict(found.getexif()), {271: "a camera"})  # upright already
        self.assertAllEqual(np.asarray(found), picture.pixels)
        # A profile of colors does not fit grays.
        gray = np.repeat(noise(6, 5)[..., None], 3, axis=2)
        self.assertEqual(self.written(picture._replace(pixels=gray)).mode, "RGB")
        for kind, data, message in (
            ("alpha", saved(Image.fromarray(noise(5, 6)), "PNG"), "alpha of .6, 5.*L of .5, 6"),
            ("alpha", b"no file", "alpha of .6, 5"),
            ("exif", zlib.compress(bytes(100))[:-1], "exif of a picture, deflated"),
            ("exif", zlib.compress(bytes(2**24 + 1)), "of at most 16,777,216 bytes"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.written(pictures.Picture(noise(6, 5, 3), {kind: data}))

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
