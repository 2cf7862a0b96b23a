"""Tests of decoding: every format agrees with TensorFlow, upright; damaged files are rejected."""

import io
import struct
import unittest
import zlib
from unittest import mock

import numpy as np
import tensorflow as tf
import tifffile
from PIL import Image

from pixelcnn_aux.data import decoding
from tests.data.helpers import encoded, flipped, noise, saved

try:
    import pydicom
except ImportError:
    pydicom = None


def png(depth, color_type, values, *chunks):
    """A PNG file of 8 x 8 pixels, bytes, whose rows are `values`, with further chunks: (name, contents)."""
    rows = b"".join(b"\0" + row.tobytes() for row in values.reshape(8, -1))
    header = struct.pack(">IIBBBBB", 8, 8, depth, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x))
        for name, x in chunks
    )


def with_exif(contents):
    """A JPEG file with this EXIF: bytes."""
    plain = encoded(noise(8, 16, 3), "JPEG")
    segment = b"Exif\0\0" + contents
    return plain[:2] + struct.pack(">HH", 0xFFE1, 2 + len(segment)) + segment + plain[2:]


def tiff(*entries):
    """EXIF with these entries (tag, type, count, value) in its first directory."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def tiff_file(pixels, **options):
    """A TIFF file as tifffile writes it, of colors unless options say otherwise: bytes."""
    tifffile.imwrite(file := io.BytesIO(), pixels, **{"photometric": "rgb", **options})
    return file.getvalue()


class KindsTest(tf.test.TestCase):
    def test_pixels_are_those_that_tensorflow_decodes(self):
        """The decoding that trained models and published figures depend on."""
        pixels = noise(37, 50, 3).repeat(3, axis=0).repeat(3, axis=1)
        files = [
            encoded(pixels[:height, :width], "JPEG", mode, quality=quality, **options)
            for mode, options in (
                *(("RGB", {"subsampling": x}) for x in (0, 1, 2)),
                *(("RGB", {"progressive": True}), ("L", {}), ("CMYK", {})),
            )
            for quality in (60, 95)
            for height, width in ((111, 150), (110, 33), (1, 1))
        ]
        kinds = [(depth, 0, 1) for depth in (1, 2, 4, 8)] + [(8, 2, 3), (8, 4, 2), (8, 6, 4)]
        for depth, color_type, channels in kinds:
            values = noise(8 * depth * channels)
            files.append(png(depth, color_type, values))
            if color_type in (0, 2):
                files.append(png(depth, color_type, values, (b"tRNS", bytes(2 * channels))))
        for depth in (1, 2, 4, 8):
            palette = (b"PLTE", noise(3 * 2**depth).tobytes())
            files.append(png(depth, 3, noise(8 * depth), palette))
            files.append(png(depth, 3, noise(8 * depth), palette, (b"tRNS", b"\0\x80")))
        for file in files:
            expected = tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")
            self.assertAllEqual(decoding.decode(file), expected, file[:60])

    def test_tiff_and_webp(self):
        pixels, alpha = noise(9, 14, 3), noise(9, 14, 4)
        gray = np.repeat(pixels[..., :1], 3, axis=-1)
        for file, expected in (
            *(
                (encoded(x, "TIFF", mode, compression=compression), x)
                for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
                for x, mode in ((pixels, "RGB"), (gray, "L"))
            ),
            (encoded(gray, "TIFF", "1"), decoding.decode(encoded(gray, "PNG", "1"))),
            (encoded(gray, "TIFF", "P"), decoding.decode(encoded(gray, "PNG", "P"))),
            (encoded(255 - pixels, "TIFF", "CMYK"), 255 - pixels),
            (encoded(alpha, "TIFF", "RGBA"), alpha[..., :3]),
            (encoded(gray, "WEBP", "L", lossless=True), gray),
            (encoded(alpha, "WEBP", "RGBA", lossless=True, exact=True), alpha[..., :3]),
        ):
            self.assertAllEqual(decoding.decode(file), expected, file[:60])

    def test_more_than_8_bits_a_channel_are_refused(self):
        kinds = {0: 1, 2: 3, 4: 2, 6: 4}  # of colors in PNG files: their channels
        deep = [(png(16, x, noise(128 * channels)), 16) for x, channels in kinds.items()]
        deep.append((saved(Image.fromarray(noise(8, 8).astype(np.float32)), "TIFF"), 32))
        deep.append((tiff_file(noise(8, 8, 3).astype(np.uint16)), 16))
        for contents, bits in deep:
            with self.assertRaisesRegex(
                ValueError, f"{bits} bits a channel, 8 are expected, as of"
            ):
                decoding.decode(contents)

    def test_one_channel_and_16_bits(self):
        """16-bit gray PNG and TIFF files of either byte order keep their values."""
        deep = np.random.default_rng(0).integers(0, 2**16, (8, 6)).astype(np.uint16)
        for kind, values in (("PNG", deep), ("TIFF", deep), ("TIFF", deep.astype(">u2"))):
            found = decoding.decode(saved(Image.fromarray(values), kind), 1, 2**16)
            self.assertEqual(found.dtype, np.uint16)
            self.assertAllEqual(found, deep[..., np.newaxis])
        gray = decoding.decode(encoded(noise(8, 6), "PNG", "L"), 1)
        self.assertAllEqual(gray[..., 0], noise(8, 6))
        with self.assertRaisesRegex(ValueError, "RGB, one channel of 8 bits is expected"):
            decoding.decode(encoded(noise(8, 6, 3), "PNG"), 1)

    def test_colors_of_16_bits(self):
        """16-bit colors agree with TensorFlow and tifffile, and are upright."""
        deep = np.random.default_rng(0).integers(0, 2**16, (8, 8, 3)).astype(np.uint16)
        alpha, gray = np.concatenate([deep, deep[..., :1]], axis=-1), deep[..., :1]
        big = [x.astype(">u2").view(np.uint8) for x in (deep, alpha, gray)]
        exif = Image.Exif()
        exif[274] = 6
        files = [
            (png(16, 2, big[0]), deep),
            (png(16, 6, big[1]), deep),
            (png(16, 0, big[2]), np.repeat(gray, 3, axis=-1)),
            (png(16, 2, big[0], (b"eXIf", exif.tobytes()[6:])), np.rot90(deep, -1)),
            (tiff_file(deep, compression="zlib", predictor=True, byteorder=">"), deep),
            (tiff_file(deep.transpose(2, 0, 1), planarconfig="separate"), deep),
            (tiff_file(deep, tile=(16, 16)), deep),
        ]
        for orientation in range(1, 9):  # as Pillow turns 8 bits
            tag = {"extratags": [(274, "H", 1, orientation, True)]}
            expected = decoding.decode(tiff_file(noise(8, 6, 3), **tag))
            files.append((tiff_file(noise(8, 6, 3).astype(np.uint16), **tag), expected))
        for contents, expected in files:
            found = decoding.decode(contents, 3, 2**16)
            self.assertEqual(found.dtype, np.uint16)
            self.assertAllEqual(found, expected)

    def test_grays_of_which_0_is_white(self):
        for top, dtype in ((255, np.uint8), (65535, np.uint16)):
            stored = noise(8, 6).astype(dtype)
            tifffile.imwrite(file := io.BytesIO(), stored, photometric="miniswhite")
            found = decoding.decode(file.getvalue(), 1, top + 1)
            self.assertAllEqual(found[..., 0], top - stored)
            self.assertAllEqual(decoding.decode(file.getvalue(), 3, top + 1), found.repeat(3, -1))

    def test_several_pictures(self):
        pixels, others = noise(8, 8, 3), [Image.fromarray(noise(8, 8, 3, seed=1))]
        for kind in ("PNG", "TIFF", "WEBP"):
            file = encoded(pixels, kind, save_all=True, append_images=others)
            with self.assertRaisesRegex(ValueError, "several pictures, one is expected"):
                decoding.decode(file)
        file = encoded(pixels, "MPO", save_all=True, append_images=others)  # as cameras have it
        self.assertAllEqual(decoding.decode(file), decoding.decode(encoded(pixels, "JPEG")))


class OrientationTest(tf.test.TestCase):
    def test_orientation_is_that_which_cameras_write(self):
        # Gray blocks, each of its own value, which JPEG keeps; 16 x 32, so that sides differ.
        pixels = np.arange(0, 256, 32, dtype=np.uint8).reshape(2, 4, 1)
        pixels = pixels.repeat(8, axis=0).repeat(8, axis=1).repeat(3, axis=2)
        plain = decoding.decode(encoded(pixels, "JPEG"))
        half = plain[::-1, ::-1]
        turned = [plain, plain[:, ::-1], half, plain[::-1]]
        turned += [x.swapaxes(0, 1) for x in (plain, plain[::-1], half, plain[:, ::-1])]
        for orientation, expected in enumerate(turned, start=1):
            for order in ("<", ">"):
                exif = Image.Exif()
                exif.endian = order
                exif[271] = "a camera"  # a tag before that of the orientation
                exif[274] = orientation
                self.assertAllEqual(decoding.decode(encoded(pixels, "JPEG", exif=exif)), expected)
            for kind, options in (
                *(("TIFF", {"compression": x}) for x in ("raw", "tiff_lzw")),
                *(("PNG", {}), ("WEBP", {"lossless": True})),
            ):
                file = encoded(plain, kind, exif=exif, **options)
                self.assertAllEqual(decoding.decode(file), expected, f"{kind} {orientation}")

    def test_damaged_exif(self):
        """Damaged orientations rotate nothing; damage of other entries does not prevent the rotation."""
        turned = (274, 3, 1, 6)
        for contents in (
            *(tiff((274, 3, 1, 9)), tiff((275, 3, 1, 6)), tiff(), tiff(turned)[:20]),
            *(b"", b"XX*\0", b"II*\0" + b"\xff" * 4, b"II*\0" + struct.pack("<IH", 8, 65535)),
        ):
            self.assertEqual(decoding.decode(with_exif(contents)).shape, (8, 16, 3), contents)
        for entry in ((271, 11, 1, 9), (282, 7, 1, 9), (34853, 9, 1, 2**31), (700, 13, 4, 1)):
            contents = with_exif(tiff(turned, entry))
            self.assertEqual(decoding.decode(contents).shape, (16, 8, 3))


class DamageTest(tf.test.TestCase):
    def count_refused(self, damaged, whole=None, kind=(3, 256)):
        """Number of rejected files; the others have the same pixels, or pixels of the same shape."""
        refused = 0
        for contents in damaged:
            try:
                found = decoding.decode(contents, *kind)
            except ValueError:
                refused += 1
            else:
                if whole is None:
                    self.assertEqual(found.shape, (8, 8, 3))
                else:
                    self.assertAllEqual(found, whole)
        return refused

    def test_damage_is_found_anywhere(self):
        """PNG chunks have checksums."""
        for mode in ("RGB", "L", "P"):
            file = encoded(noise(8, 8, 3), "PNG", mode)
            places = range(len(file))
            damaged = [flipped(file, at) for at in places] + [file[:end] for end in places]
            refused = self.count_refused(damaged, decoding.decode(file))
            self.assertGreater(refused, 2 * len(file) - 24)

    def test_files_that_are_cut_off(self):
        """The end of a TIFF file may be irrelevant."""
        for kind, options, more in (
            *(("JPEG", {}, 0), ("JPEG", {"progressive": True}, 0), ("WEBP", {}, 2)),
            *(("TIFF", {}, 2), ("TIFF", {"compression": "tiff_lzw"}, 2)),
        ):
            file = encoded(noise(64, 64, 3), kind, **options)
            ends = [*range(0, len(file), 97), len(file) - 1]
            refused = self.count_refused([file[:end] for end in ends], decoding.decode(file))
            self.assertGreaterEqual(refused, len(ends) - more)

    def test_no_part_of_16_bit_colors_is_made_up(self):
        """Where a damaged TIFF file claims another size, tifffile would fill in zeros."""
        file = tiff_file(noise(8, 8, 3).astype(np.uint16))
        damaged = [flipped(file, at) for at in range(400)]  # all before the pixels
        self.assertGreater(self.count_refused(damaged, kind=(3, 2**16)), 50)

    def test_too_many_pixels_are_refused_before_they_are_decoded(self):
        def claiming(kind, at, form, *size):
            contents = bytearray(encoded(noise(64, 64, 3), kind))
            at = contents.index(b"\xff\xc0") + 5 if at is None else at
            struct.pack_into(form, contents, at, *size)
            if kind == "PNG":
                contents[29:33] = struct.pack(">I", zlib.crc32(contents[12:29]))
            return bytes(contents)

        bomb = claiming("PNG", 16, ">II", 2**14, 2**13)
        chunk = struct.pack(">I4sII", 4, b"abCd", 1, zlib.crc32(b"abCd\0\0\0\1"))
        kind = [(258, 3, 1, 8), (262, 3, 1, 1)]
        wide = tiff((256, 4, 1, 2**14), (257, 4, 1, 2**13), *kind, (273, 4, 1, 8))
        tiles = [(322, 4, 1, 2**14), (323, 4, 1, 2**13), (324, 4, 1, 8)]
        tiles = tiff((256, 4, 1, 8), (257, 4, 1, 8), *kind, *tiles)
        jpeg = claiming("JPEG", None, ">HH", 12000, 7000)
        webp = claiming("WEBP", 26, "<HH", 12000, 7000)
        for contents in (bomb, bomb[:8] + chunk + bomb[8:], jpeg, wide, tiles, webp):
            with self.assertRaisesRegex(ValueError, r"pixels, 67,108,864 at most"):
                decoding.decode(contents)
        with self.assertRaises(ValueError):  # beyond Pillow's limit
            decoding.decode(claiming("JPEG", None, ">HH", 65000, 65000))


class TiffTest(tf.test.TestCase):
    def test_volumes_and_parts_are_bounded_before_they_are_inflated(self):
        deep = noise(2, 8, 6, 3).astype(np.uint16)
        pairs = {"photometric": "minisblack", "planarconfig": "contig"}
        volume = tiff_file(deep, volumetric=True, tile=(16, 16, 16))
        gray = tiff_file(deep[..., 0], volumetric=True, tile=(16, 16, 16), photometric="minisblack")
        small = tiff_file(deep[0, ..., :2], compression="zlib", **pairs)
        bomb = tiff_file(np.zeros((800, 600, 2), np.uint16), compression="zlib", **pairs)
        for tag in (b"\x00\x01", b"\x01\x01", b"\x16\x01"):  # width, height, rows of a strip
            at = bomb.index(tag, 8)
            bomb = bomb[: at + 8] + struct.pack("<H", 6) + bomb[at + 10 :]
        described = tiff_file(noise(3, 8, 6), imagej=True, truncate=True, photometric="minisblack")
        for contents, kind, message in (
            (volume, (3, 2**16), "a volume in one page"),
            (gray, (1, 2**16), "a volume in one page"),
            (bomb, (2, 2**16), "inflates to more than 144 bytes"),
            (small, (4, 2**16), "a page of 2 channels of 16 bits, 4 of 16 are expected"),
            (small, (1, 2**16), "a page of 2 channels of 16 bits, 1 of 16 are expected"),
            (small, (2, 256), "a page of 2 channels of 16 bits, 2 of 8 are expected"),
            (described, (1, 256), "more images than pages"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                decoding.decode(contents, *kind)
        self.assertAllEqual(decoding.decode(small, 2, 2**16), deep[0, ..., :2])


def dicom(pixels, signed=False, syntax=None, **elements):
    """A DICOM file with a window that hides most of its values: bytes."""
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax or pydicom.uid.ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"  # CT
    found.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    found.Rows, found.Columns = pixels.shape[-2:]
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit = 16, 16, 15
    found.PixelRepresentation = int(signed)
    found.WindowCenter, found.WindowWidth, found.RescaleIntercept = 40, 2, -1024
    found.RescaleSlope, found.PixelData = 1, pixels.tobytes()
    if "FloatPixelData" in elements:
        del found.PixelData
    for name, value in elements.items():
        setattr(found, name, value)
    pydicom.dcmwrite(file := io.BytesIO(), found, enforce_file_format=True)
    return file.getvalue()


@unittest.skipIf(pydicom is None, "pydicom, the extra [medical], is not installed")
class DicomTest(tf.test.TestCase):
    def test_stored_values(self):
        pixels = np.random.default_rng(0).integers(0, 4096, (6, 4)).astype(np.uint16)
        found = decoding.decode(dicom(pixels), 1, 4096)
        self.assertEqual(found.dtype, np.uint16)
        self.assertAllEqual(found[..., 0], pixels)
        floats = (pixels + np.float32(1.5)).tobytes()
        for contents, message in (
            (dicom(pixels)[:-9], "damaged DICOM file"),
            (dicom(pixels + np.uint16(4096)), "a value of .* 4,095 at most"),
            (
                dicom((2 * pixels - 999.0).clip(-999).astype(np.int16), signed=True),
                "above the least, -9.., 4,095 at most",
            ),
            (dicom(pixels, FloatPixelData=floats, BitsAllocated=32), "float32 values, whole"),
            (dicom(np.stack([pixels] * 2), NumberOfFrames=2), "2 images of 4 x 6"),
            (dicom(np.stack([pixels] * 2)), "48 values for one image of 4 x 6"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                decoding.decode(contents, 1, 4096)
        with self.assertRaisesRegex(ValueError, "a DICOM file, whose one channel"):
            decoding.decode(dicom(pixels))

    def test_values_below_0_are_counted_from_the_least(self):
        values = np.random.default_rng(0).integers(-1024, 3072, (6, 4)).astype(np.int16)
        values[0, 0], values[-1, -1] = -1024, 3071
        for pixels in (values, values + 1024):
            found, least = decoding.stored_values(dicom(pixels, signed=True), 4096)
            self.assertEqual(least, pixels[0, 0])
            self.assertAllEqual(found[..., 0].astype(int) + least, pixels)

    def test_deflated_files_are_bounded_before_they_are_inflated(self):
        pixels = noise(6, 4).astype(np.uint16)
        syntax = pydicom.uid.DeflatedExplicitVRLittleEndian
        file = dicom(pixels, syntax=syntax, ImageComments="a" * 10_000)
        self.assertAllEqual(decoding.decode(file, 1, 4096)[..., 0], pixels)
        with (
            mock.patch.object(decoding, "_MAX_INFLATED", 9_000),
            mock.patch.object(pydicom, "dcmread", side_effect=AssertionError),
            self.assertRaisesRegex(ValueError, "more than 9,000 bytes, inflated"),
        ):
            decoding.decode(file, 1, 4096)
