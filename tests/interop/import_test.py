"""Tests of the program that converts the authors' weights to a workdir."""

import types
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.interop import __main__ as program
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers
from tests.interop.published import DATA, authors_variables, pyramid, python_2_pickle, reference


class ProgramTest(helpers.TestCase):
    def test_makes_a_workdir_of_either_file(self):
        folder = helpers.temporary_folder(self)
        arrays, variables, expected = reference()
        npz, model = DATA / "authors_pyramid.npz", folder / "model.pickle"
        model.write_bytes(python_2_pickle(variables))
        helpers.run_program(program, model, "--workdir", folder / "pickle", "--base_size=4x8")
        output = helpers.run_program(program, npz, "--workdir", folder / "npz")
        self.assertIn("with the factors 8x8, 16x16", output)
        for name, size in (("npz", (16, 16)), ("pickle", (8, 16))):
            loaded = pa.load(folder / name)
            self.assertEqual((loaded.image_size, loaded.untrained), (size, ()))
            log_prob = loaded.log_prob(arrays["image"])
            self.assertAllEqual(log_prob, expected.log_prob(arrays["image"]))
        config = RunFolder(folder / "pickle").config()
        self.assertEqual((config["dataset"], config["image_dir"]), ("celeb_a", None))

    def test_refuses_a_workdir_of_something_else(self):
        folder = helpers.temporary_folder(self)
        variables = authors_variables(pyramid(1, filters=2, num_components=1))
        values = types.SimpleNamespace(workdir=str(folder / "run"), base_size="4x8")
        self.enter_context(mock.patch.object(program, "FLAGS", values))

        def run(subfolder):
            (folder / subfolder).mkdir(exist_ok=True)
            file = folder / subfolder / "model.npz"
            np.savez(file, **variables)
            program.main(str(file))

        run("one")
        run("one")  # The same once more.
        before = helpers.contents(folder / "run")
        variables["Resnet/scale0/conv_last/b"] += 1
        with self.assertRaisesRegex(ValueError, "Choose another --workdir"):
            run("another")
        self.assertEqual(helpers.contents(folder / "run"), before)
        values.workdir = str(folder / "one")
        with self.assertRaisesRegex(ValueError, "holds other things"):
            run("another")
        self.assertEqual(list(helpers.contents(folder / "one")), ["model.npz"])
        values.base_size = "8x8x8"
        with self.assertRaisesRegex(ValueError, "--base_size as a side or HxW"):
            run("another")
