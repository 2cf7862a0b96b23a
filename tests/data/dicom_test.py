"""Tests of DICOM files: values as they are stored, and what is refused."""

import io
import unittest

import numpy as np
import tensorflow as tf

from pixelcnn_aux.data import decoding

try:
    import pydicom
except ImportError:
    pydicom = None


def dicom(pixels, signed=False, **elements):
    """A DICOM file, bytes, with a window that hides most of its values."""
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
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
        floats = dicom(
            pixels, FloatPixelData=(pixels + np.float32(1.5)).tobytes(), BitsAllocated=32
        )
        for contents, message in (
            (dicom(pixels)[:-9], "damaged DICOM file"),
            (dicom(pixels + np.uint16(4096)), "a value of .* 4,095 at most"),
            (dicom(pixels.astype(np.int16) - 999, signed=True), "of int16 from -.* 0 or more"),
            (floats, "of float32 from .*, whole ones"),
            (dicom(np.stack([pixels] * 2), NumberOfFrames=2), "2 images of 4 x 6"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                decoding.decode(contents, 1, 4096)
