"""Tests of the package's trained models: packing, finding by name, and evaluation."""

import contextlib
import json
import pathlib
import shutil
import tomllib
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from benchmarks import pack
from pixelcnn_aux import data
from pixelcnn_aux.commands import bpd, chosen_run
from pixelcnn_aux.run_files import tensors, trained
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.scores import splits
from pixelcnn_aux.training import metrics
from tests import helpers

NUM_IMAGES = 6
ROW = dict.fromkeys(metrics.FIELDS, 1) | {"seconds": 30.0}


def make_run(folder, condition=None):
    """Writes files of a trained and evaluated run. Returns its model."""
    # Two resolutions include kernels of transposed convolutions.
    shape = pa.networks.topology.pixelcnn_pp(blocks=1, resolutions=2)
    model = helpers.tiny_model(topology=shape, condition=condition)
    helpers.make_run(folder, model)
    for name in model.factors:
        RunFolder(folder)[name].record_training({"epochs": 1})
        metrics.MetricsTable(RunFolder(folder)[name], 0).add(ROW)
    found = {"dataset": "photos", "split": "test", "num_images": NUM_IMAGES, "best": False}
    found |= {"model": bpd.identity(model), "crc32": bpd.checksum([helpers.pictures(NUM_IMAGES)])}
    found |= {"total": 6.4, "bound": {"total": 6.5, "std_error": 0.1}, "exact": {"total": 6.4}}
    (folder / "bpd.json").write_text(json.dumps(found))
    return model


def pack_run(folder, name, *others):
    """Output of packing a run under that name, with random images."""
    facts = {"dataset": "photos", "name": name, "data": "pictures", "license": "no license"}
    facts |= {"machine": "this", "command": "a command", "purpose": "tests"}
    arguments = [*(f"--{key}={value}" for key, value in facts.items()), *others]
    images = helpers.images(NUM_IMAGES)
    with mock.patch.object(chosen_run, "images", lambda *_: images):
        return helpers.run_program(pack, f"--workdir={folder}", *arguments)


class TrainedTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = helpers.temporary_folder(cls)
        cls.enterClassContext(mock.patch.object(trained, "FOLDER", folder / "zoo"))
        cls.enterClassContext(mock.patch.object(RunFolder, "RUNS", folder / "runs"))
        trained.FOLDER.mkdir()
        cls.mine = folder / "mine"
        cls.model = make_run(cls.mine)
        pack_run(cls.mine, "tiny")

    def changed(self, file, **changes):
        """Changes values of a JSON file until the test ends."""
        whole = file.read_text()
        self.addCleanup(file.write_text, whole)
        file.write_text(json.dumps({**json.loads(whole), **changes}))

    def dtypes(self, name, factor):
        arrays, _ = tensors.read(RunFolder(trained.find(name))[factor].weights)
        return {array.dtype.name for array in arrays.values()}

    def test_a_name_that_is_mistaken_for_another(self):
        runs = self.folder / "runs"
        helpers.make_run(runs / "grayscale-demo", self.model)
        with mock.patch.object(RunFolder, "RUNS", runs):
            for name, meant in (
                ("tinny", "tiny"),
                (runs / "grayscale-dmeo", runs / "grayscale-demo"),
            ):
                message = (
                    f"model: tiny. Received: {name}. Did you mean '{meant}'. Give one of these, or"
                )
                with self.assertRaisesRegex(FileNotFoundError, message):
                    pa.load(name)

    def test_packed_weights_are_those_of_the_run_in_16_bits(self):
        loaded = pa.load("tiny")
        for name, factor in self.model.factors.items():
            for path, expected in factor.weights.items():
                array = loaded.factors[name].weights[path]
                self.assertAllEqual(array, expected.astype(np.float16).astype(np.float32))
            self.assertEqual(self.dtypes("tiny", name), {"float16"})

    def test_kernels_in_8_bits(self):
        self.addCleanup(shutil.rmtree, trained.FOLDER / "small", ignore_errors=True)
        with mock.patch.object(splits, "mean_bits", return_value=2.0):
            pack_run(self.mine, "small", "--in_8_bits=image")
        self.assertEqual(self.dtypes("small", "image"), {"float16", "int8"})
        self.assertEqual(self.dtypes("small", "grayscale"), {"float16"})
        packed, model = (x.factors["image"].kernels() for x in (pa.load("small"), self.model))
        for path, kept in model.items():
            # Half a step of 1/127 of the largest, and lengths of 11 bits.
            self.assertAllClose(packed[path], kept, rtol=0, atol=0.005 * np.abs(kept).max())
        with self.assertRaisesRegex(ValueError, "Expected a factor of .* Received: 'gray'"):
            pack_run(self.mine, "another", "--in_8_bits=gray")
        shutil.rmtree(trained.FOLDER / "small")
        with mock.patch.object(splits, "mean_bits", return_value=2.0):
            pack_run(self.mine, "small", "--in_8_bits=image/embedding")
        arrays, _ = tensors.read(RunFolder(trained.find("small"))["image"].weights)
        for name, array in arrays.items():
            is_small = name.startswith("image/embedding/") and name.endswith("/v")
            self.assertEqual(array.dtype, np.int8 if is_small else np.float16, name)

    def test_the_facts_of_their_cards(self):
        self.assertEqual(list(pa.pretrained()), ["tiny"])
        card, files = pa.pretrained()["tiny"], helpers.contents(trained.find("tiny"))
        expected = {"bits_per_dim": 6.5, "std_error": 0.1, "data": "pictures", "seconds": 60}
        expected |= {"license": "no license", "machine": "this", "command": "a command"}
        expected["purpose"] = "tests"
        expected |= {"bytes": sum(map(len, files.values()))}
        expected["fingerprint"] = bpd.identity(pa.load("tiny"))
        self.assertEqual({key: card[key] for key in expected}, expected)
        self.assertContainsSubset(["image/metrics.csv", "image/training.json"], files)
        file = trained.FOLDER / "tiny" / "card.json"
        self.addCleanup(file.write_text, file.read_text())
        file.write_text("{")
        with self.assertRaisesRegex(ValueError, f"Expected .* in {file}. Received: .*Restore"):
            pa.pretrained()

    def test_paths_of_this_machine_are_not_packed(self):
        run = RunFolder(self.mine)
        described, recorded = run.config(), run["image"].recorded_training()
        self.changed(run.config_file, image_dir="/home/me", image_file="/me.npz")
        self.changed(run["image"].training, init="/home/me/runs/other")
        packed = RunFolder(helpers.temporary_folder(self) / "packed")
        pack.write_run(self.mine, self.model, packed.path)
        self.assertEqual(packed["image"].recorded_training(), {**recorded, "init": "other"})
        expected = {**described, "image_dir": None, "image_file": None}
        self.assertEqual(packed.config(), expected)

    def assertNotPacked(self, error, message, folder=None, name="another"):
        """Packing a run raises the error and leaves the models unchanged."""
        before = helpers.contents(trained.FOLDER)
        with self.assertRaisesRegex(error, message):
            pack_run(folder or self.mine, name)
        self.assertEqual(helpers.contents(trained.FOLDER), before)

    def test_the_cost_of_rounding(self):
        """Measured on the first images; packing that improves the bits is accepted."""
        self.assertNotPacked(ValueError, "Expected a new name. Received: tiny", name="tiny")
        with mock.patch.object(splits, "mean_bits", side_effect=[2.0, 3.0]):  # the run's, packed
            self.assertNotPacked(ValueError, "at most 0.001 bits per dimension.*Received: 1.0")
        with mock.patch.object(splits, "mean_bits", side_effect=RuntimeError):
            self.assertNotPacked(RuntimeError, "")
        self.addCleanup(shutil.rmtree, trained.FOLDER / "better")
        with (
            mock.patch.object(splits, "mean_bits", side_effect=[3.0, 2.0]),
            mock.patch.object(pack, "NUM_IMAGES", 4),
        ):
            output = pack_run(self.mine, "better")
        self.assertIn("packing: -1.00000 bits per dimension on 4 validation images\n", output)
        self.assertIn("better", trained.pretrained())

    def test_weights_beyond_those_of_16_bits_are_refused_by_name(self):
        folder = helpers.temporary_folder(self) / "large"
        model = make_run(folder)
        image = helpers.altered(model.factors["image"], lambda b: 1e5 + b, "embedding/first/b")
        RunFolder(folder)["image"].save_weights(image)
        model = model.with_factor(image)
        self.changed(folder / "bpd.json", model=bpd.identity(model))
        self.assertNotPacked(ValueError, "from -65,504 to 65,504.*array .*/b", folder)

    def test_figures_of_other_images_or_weights_go_on_no_card(self):
        file = self.mine / "bpd.json"
        whole = file.read_text()
        self.addCleanup(file.write_text, whole)
        for changes, received in (
            ({"dataset": "cifar10"}, 'dataset: "cifar10" instead of "photos"'),
            ({"crc32": 7}, "crc32: 7 instead of"),
            ({"best": True}, "best: true instead of false"),
            ({"model": "another"}, 'model: "another" instead of'),
        ):
            file.write_text(json.dumps({**json.loads(whole), **changes}))
            message = f"all 6 test images.*{received}.*evaluate.bpd --split test --workdir"
            self.assertNotPacked(ValueError, message)
        file.write_text("{")
        self.assertNotPacked(ValueError, "Received: none. Run python -m evaluate.bpd")
        folder = helpers.temporary_folder(self) / "classes"
        make_run(folder, pa.conditions.Classes(10))
        self.changed(folder / "bpd.json", condition=True)
        message = "condition: true instead of false.*evaluate.bpd .* --nocondition first"
        self.assertNotPacked(ValueError, message, folder)

    def test_other_names_are_refused(self):
        too_long = "trained model: x{200}. Received: File name too long. Give a shorter name"
        for name, error, message in (
            ("small", FileNotFoundError, "trained model: tiny. Received: small"),
            ("tiny/../tiny", FileNotFoundError, "tiny. Received: tiny/../tiny"),
            (5000 * "x", OSError, too_long),
        ):
            with self.assertRaisesRegex(error, message):
                pa.load(name)

    def test_a_folder_of_that_name_hides_it_if_it_is_a_run(self):
        folder = helpers.temporary_folder(self)
        self.enterContext(contextlib.chdir(folder))
        for name in ("tiny", "other"):
            (folder / name).mkdir()
        self.assertEqual(trained.find("tiny"), trained.FOLDER / "tiny")
        self.assertEqual(trained.find("other"), pathlib.Path("other"))
        RunFolder(folder / "tiny").create({"model": {}})
        self.assertEqual(trained.find("tiny"), pathlib.Path("tiny"))

    def test_evaluations_are_not_written_into_a_run_of_that_name(self):
        runs = helpers.temporary_folder(self)
        self.enterContext(mock.patch.object(RunFolder, "RUNS", runs))
        mine = runs / "tiny"
        RunFolder(mine).create({"model": {}})
        with self.assertRaisesRegex(ValueError, f"Expected {mine} .*Received: a run"):
            trained.outputs(trained.FOLDER / "tiny")
        self.assertEqual(trained.outputs(mine), mine)

    def test_programs_without_a_run(self):
        """They choose and report the default models, and write beside runs, not into the package."""
        before = helpers.contents(trained.FOLDER)
        for arguments, expected in (([], "photos"), (["--dataset=cifar10"], "cifar10")):
            with (
                mock.patch.object(trained, "DEFAULT", "tiny"),
                mock.patch.object(data, "load", return_value=helpers.images(3)) as load,
            ):
                output = helpers.run_program(bpd, "--split=test", *arguments)
            self.assertEqual(load.call_args.kwargs["name"], expected)
            self.assertIn(f"On the test images of {expected}\n", output)
        self.assertIn(f"Evaluating {trained.FOLDER / 'tiny'}", output)
        self.assertIn(f"Wrote {RunFolder.RUNS / 'tiny' / 'bpd.json'}", output)
        self.assertEqual(helpers.contents(trained.FOLDER), before)


class PackageTest(helpers.TestCase):
    def test_all_files_of_the_models_are_in_the_wheel(self):
        project = pathlib.Path(pa.__file__).parents[1] / "pyproject.toml"
        settings = tomllib.loads(project.read_text())["tool"]["setuptools"]
        patterns = settings["package-data"]["pixelcnn_aux"]
        package = trained.FOLDER.parent
        packed = {x for y in patterns if y.startswith("zoo/") for x in package.glob(y)}
        files = {file for name in pa.pretrained() for file in (trained.FOLDER / name).rglob("*.*")}
        self.assertNotEmpty(files)
        self.assertEqual(packed, files)
