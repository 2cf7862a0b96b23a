"""Tests of picture files that come back as they were."""

import io
import struct
import unittest
import zlib
from unittest import mock

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from pixelcnn_aux.codec import picture_files
from pixelcnn_aux.data import decoding
from tests.data.decoding_test import dicom, png, pydicom
from tests.data.helpers import FilesTest, encoded, noise, saved

if pydicom is not None:
    from pydicom.data import get_testdata_file


def deep(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2**16, shape, dtype=np.uint16)


class PicturesTest(FilesTest):
    def read(self, contents, name="a.png", **how):
        [picture] = picture_files.read(self.write(name, contents), **how)
        return picture

    def written(self, picture):
        """The Pillow image of the PNG file of a `Picture`."""
        picture_files.write(file := io.BytesIO(), picture)
        return Image.open(file)

    def test_files_that_would_lose_something_are_refused(self):
        pixels, others = noise(8, 8, 3), [Image.fromarray(noise(8, 8, 3, seed=1))]
        several = {"save_all": True, "append_images": others}
        deep = png(16, 2, noise(8 * 16 * 3), (b"tEXt", b"a\0b"))
        late = deep[:8] + deep[33:48] + deep[8:33] + deep[48:]
        keyed = saved(Image.fromarray(noise(8, 8) > 99), "PNG", transparency=1)
        kinds = ("PNG", "WEBP", "MPO")
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
            picture_files.read(self.folder)

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
            found, extras, _ = self.read(saved(image, "PNG", **options))
            self.assertAllEqual(found, expected)
            self.assertEqual(extras, {})
        for kind, options in (("TIFF", {}), ("WEBP", {"lossless": True})):
            self.assertAllEqual(self.read(encoded(pixels, kind, **options)).pixels, pixels)
        found = self.read(saved(Image.fromarray(values), "PNG"), channels=1).pixels
        self.assertAllEqual(found, values[..., np.newaxis])

    def test_pictures_are_written_as_they_were(self):
        """Every kind of PNG file of 8 bits: its pixels and their alpha."""
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
                self.written(picture_files.Picture(noise(6, 5, 3), {kind: data}))

    def test_deep_pictures_come_back_in_their_format(self):
        gray, colors = deep(5, 7), deep(5, 7, 3)
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        exif = Image.Exif()
        exif[271] = "a scanner"
        tifffile.imwrite(tiff := io.BytesIO(), colors, photometric="rgb", iccprofile=profile)
        for pixels, data, kind in (
            (gray, saved(Image.fromarray(gray), "PNG", icc_profile=b"x" * 20, exif=exif), "PNG"),
            (gray, saved(Image.fromarray(gray), "TIFF"), "TIFF"),
            (colors, tiff.getvalue(), "TIFF"),
        ):
            channels = 1 if pixels.ndim == 2 else 3
            how = {"channels": channels, "num_values": 2**16, "metadata": True}
            picture = self.read(data, **how)
            self.assertAllEqual(np.squeeze(picture.pixels), pixels)
            self.assertEqual(picture.kind, kind)
            for written in ("PNG", "TIFF"):
                picture_files.write(file := io.BytesIO(), picture._replace(kind=written))
                again = self.read(file.getvalue(), **how)
                self.assertAllEqual(again.pixels, picture.pixels)
                self.assertEqual(again.extras.get("icc"), picture.extras.get("icc"))
        with self.assertRaisesRegex(ValueError, "a value of [0-9,]+, 4,095 at most"):
            self.read(saved(Image.fromarray(gray), "PNG"), channels=1, num_values=4096)
        tifffile.imwrite(signed := io.BytesIO(), np.int16([[-1, 5]]))
        with self.assertRaisesRegex(ValueError, "a value of -1, 0 at least"):
            self.read(signed.getvalue(), channels=1, num_values=2**16)
        alpha = png(16, 6, noise(8 * 8 * 8))
        with self.assertRaisesRegex(ValueError, "alpha beside 16 bits"):
            self.read(alpha, num_values=2**16)
        eight = saved(Image.fromarray(noise(3, 3)), "PNG")
        with self.assertRaisesRegex(ValueError, "8 bits a channel, 16 are expected"):
            self.read(eight, channels=1, num_values=2**12)

    def test_pages(self):
        for pages in ([deep(5, 7), deep(3, 2, seed=1)], [noise(5, 7, 3), noise(2, 2, 3)]):
            first, *others = map(Image.fromarray, pages)
            data = saved(first, "TIFF", save_all=True, append_images=others)
            channels, bits = (1, 16) if pages[0].ndim == 2 else (3, 8)
            path = self.write("a.tif", data)
            loaded = picture_files.read(path, channels, num_values=2**bits)
            for picture, expected in zip(loaded, pages, strict=True):
                self.assertAllEqual(np.squeeze(picture.pixels), expected)
            names = ["a.page0001.tif", "a.page0002.tif"]
            self.assertEqual(picture_files.pages("a.png", loaded), names)
        tifffile.imwrite(file := io.BytesIO(), deep(4, 5, 6, 3), photometric="rgb")
        loaded = picture_files.read(self.write("b.tif", file.getvalue()), 3, num_values=2**16)
        self.assertAllEqual(np.stack([x.pixels for x in loaded]), deep(4, 5, 6, 3))
        self.assertEqual(picture_files.names(["a.page0001.tif"]), ["a.page0001-2.png"])
        with (
            mock.patch.object(decoding, "MAX_PIXELS", 50),
            self.assertRaisesRegex(ValueError, "6 x 5 pixels after 30 of other pages, 50 at most"),
        ):
            picture_files.read(self.folder / "b.tif", 3, num_values=2**16)

    def test_exif_of_a_tiff_file(self):
        """Not its tags of sizes and strips, which turned pages do not have."""
        exif, gray = Image.Exif(), Image.fromarray(noise(5, 7))
        exif[274], exif[271] = 6, "a scanner"
        picture = self.read(saved(gray, "TIFF", exif=exif), metadata=True)
        found = self.written(picture)
        self.assertAllEqual(np.asarray(found), np.rot90(np.asarray(gray), -1))
        self.assertEqual(found.getexif()[271], "a scanner")
        self.assertNotIn(274, found.getexif())

    @unittest.skipIf(pydicom is None, "pydicom, the extra [medical], is not installed")
    def test_dicom_files_come_back_with_the_same_data_set(self):
        """Stored plainly to the last byte; compressed as decompressed."""
        pixels = deep(6, 4) % 4096
        plain = dicom(pixels, PatientName="A^B", BitsStored=12, HighBit=11)
        small = dicom(noise(3, 3), BitsAllocated=8, BitsStored=8, HighBit=7)
        packed = pydicom.dcmread(io.BytesIO(plain))
        packed.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        packed.save_as(file := io.BytesIO())
        for data, is_packed in ((plain, False), (small, False), (file.getvalue(), True)):
            picture = self.read(data, channels=1, num_values=4096, metadata=True)
            self.assertEqual(picture.kind, "DICOM")
            picture_files.write(file := io.BytesIO(), picture)
            expected = pydicom.dcmread(io.BytesIO(plain if is_packed else data))
            self.assertEqual(pydicom.dcmread(io.BytesIO(file.getvalue())), expected)
            if not is_packed:
                self.assertEqual(file.getvalue(), data)
        found = self.read(plain, channels=1, num_values=4096)
        self.assertEqual((found.kind, found.extras), ("PNG", {}))
        overlay = pixels | np.uint16(2**15)
        further = dicom(overlay, BitsStored=12, HighBit=11)
        with self.assertRaisesRegex(ValueError, "further bits|a value of"):
            self.read(further, channels=1, num_values=4096, metadata=True)
        for rest in (b"", b"\xff" * 9, struct.pack("<QB", 3, 1) + b"DICM", bytes(20)):
            with self.assertRaisesRegex(ValueError, "the rest of a DICOM|deflated"):
                extras = {"dicom": zlib.compress(rest)}
                self.written(picture_files.Picture(pixels[..., None], extras, "DICOM"))

    @unittest.skipIf(pydicom is None, "pydicom, the extra [medical], is not installed")
    def test_signed_dicom_files(self):
        """With metadata their bytes; without, their values and no name. No other format holds these."""
        values = (deep(6, 4) % 4096).astype(np.int16) - 1024
        big = {"syntax": pydicom.uid.ExplicitVRBigEndian}
        plain = dicom(values, signed=True, PatientName="A^B")
        for data in (plain, dicom(values.byteswap(), signed=True, PatientName="A^B", **big)):
            for metadata in (True, False):
                picture = self.read(data, channels=1, num_values=4096, metadata=metadata)
                self.assertEqual((picture.kind, picture.pixels.min()), ("DICOM", 0))
                picture_files.write(file := io.BytesIO(), picture)
                self.assertEqual(file.getvalue() == data, metadata)
                found = pydicom.dcmread(io.BytesIO(file.getvalue()))
                self.assertAllEqual(found.pixel_array, values)
                self.assertEqual("PatientName" in found, metadata)
                with self.assertRaisesRegex(ValueError, "values from 0.*PNG file.*Omit --format"):
                    self.written(picture._replace(kind="PNG"))
        for path in (get_testdata_file("MR_small_RLE.dcm"), get_testdata_file("JPEG2000.dcm")):
            picture, *_ = picture_files.read(path, 1, True, 2**16)
            picture_files.write(file := io.BytesIO(), picture)
            expected = pydicom.dcmread(path)
            expected.decompress(generate_instance_uid=False)
            self.assertEqual(pydicom.dcmread(io.BytesIO(file.getvalue())), expected)

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
        self.assertEqual(picture_files.names(files), ["a.png", "a-2.png", "a-2-2.png", "b.png"])
        # Some disks take them for one.
        self.assertEqual(picture_files.names(["img.png", "IMG.jpg"]), ["img.png", "IMG-2.png"])
        self.assertEqual(picture_files.names(["a\rb.png"]), ["a_b.png"])  # as files can hold it
