"""Tests of figures as files: their formats, and that they are whole."""

import tensorflow as tf
from matplotlib.figure import Figure

from pixelcnn_aux.commands import plots
from tests import helpers


class WriteTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

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
