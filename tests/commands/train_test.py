"""Tests of the program that trains: its flags and its workdirs."""

import contextlib
import dataclasses
import functools
import os
import signal
import time
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import data, training
from pixelcnn_aux.commands import train
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import devices, first_weights, loop, presets
from tests import helpers

FACTORS = ["grayscale", "image"]
ONE = training.Training(epochs=1, steps_per_epoch=2, batch_size=4, learning_rate=1e-3, decay=0.999)
IN_PARTS = dataclasses.replace(ONE, accumulate=2, mixed_precision=True)


def preset(dataset, settings):
    settings = dict.fromkeys(FACTORS, settings)
    return presets.Preset(
        dataset=dataset, constructor=helpers.tiny_model, model={}, training=settings
    )


PRESETS = {
    "demo": preset("photos", ONE),
    "small": preset("cifar10", dataclasses.replace(ONE, batch_size=8)),
    "parts": preset("photos", IN_PARTS),
}


def load_pictures(name, split, image_size, image_dir=None, image_file=None, **_):
    """Stands in for `data.load`."""
    images = helpers.images({"train": 8, "validation": 3}[split])
    images.source = {"dataset": name, "image_dir": image_dir, "image_file": image_file}
    return images


class FlagsTest(helpers.TestCase):
    """The calls that flags lead to; nothing is trained."""

    def setUp(self):
        super().setUp()
        self.runs = helpers.temporary_folder(self) / "runs"
        self.load = mock.Mock(side_effect=load_pictures)
        self.train_factor = mock.Mock(
            side_effect=lambda config, name, *_: config.model.factors[name]
        )
        self.mixed_is_faster = False

    def run_program(self, *arguments, model="grayscale", plugin=lambda presets: None):
        """`helpers.run_program`; `plugin` changes the presets of grayscale."""
        shared = {
            name: dataclasses.replace(preset, constructor=lambda **_: helpers.shared_model())
            for name, preset in PRESETS.items()
        }
        plugin(shared)
        with (
            mock.patch.dict(presets.BY_MODEL, grayscale=shared),
            mock.patch.object(RunFolder, "RUNS", self.runs),
            mock.patch.object(data, "load", self.load),
            mock.patch.object(loop, "_train_factor", self.train_factor),
            mock.patch.object(devices, "is_mixed_faster", lambda: self.mixed_is_faster),
        ):
            return helpers.run_program(train, model, *arguments)

    def trained(self):
        """The trained factors, and their folders."""
        calls = [call.args for call in self.train_factor.call_args_list]
        return [name for _, name, *_ in calls], {config.folder.path for config, *_ in calls}

    def last(self):
        """The `RunConfig` and `Training` of the factor trained last."""
        config, _, settings, _ = self.train_factor.call_args.args
        return config, settings

    def test_no_flags_train_the_demo(self):
        output = self.run_program()
        folder = self.runs / "grayscale-demo-photos"
        self.assertEqual(self.trained(), (FACTORS, {folder}))
        self.assertIn(f"Training in {folder}: 8 images", output)
        self.assertEqual([call.args[0] for call in self.load.call_args_list], ["photos"] * 2)
        config, settings = self.last()
        self.assertIs(config.model, helpers.shared_model())
        self.assertEqual((config.images.num_images, config.validation_images.num_images), (8, 3))
        self.assertEqual(settings, ONE)
        self.assertEqual((config.seed, config.remat, config.profile), (0, False, False))
        self.assertIsInstance(config.stop, training.Stop)

    def test_flags_of_models_and_of_presets(self):
        built = []

        def constructor(channels=3, bits=8):
            built.append((channels, bits))
            return helpers.shared_model()

        def plugin(presets):
            presets["mine"] = dataclasses.replace(presets["parts"], constructor=constructor)

        self.run_program("--preset=mine", "--channels=1", "--bits=16", plugin=plugin)
        self.assertEqual(built, [(1, 16)])
        self.assertEqual(self.trained(), (FACTORS, {self.runs / "grayscale-mine-photos"}))
        self.assertEqual(self.last()[1], IN_PARTS)
        overrides = {"epochs": 3, "steps_per_epoch": 7, "batch_size": 12, "learning_rate": 0.5}
        overrides |= {"decay": 0.25, "accumulate": 2, "flip": False, "mixed_precision": True}
        arguments = [f"--{name}={value}" for name, value in overrides.items()]
        self.train_factor.reset_mock()
        self.run_program("--factor=image", "--remat", "--profile", "--seed=7", *arguments)
        self.assertEqual(self.trained()[0], ["image"])
        config, settings = self.last()
        self.assertEqual(settings, dataclasses.replace(ONE, **overrides))
        self.assertEqual((config.remat, config.profile, config.seed), (True, True, 7))

    def test_bits_are_those_of_the_images(self):
        built = []

        def constructor(channels=3, bits=8):
            built.append(bits)
            return helpers.shared_model()

        def plugin(presets):
            presets["mine"] = dataclasses.replace(presets["parts"], constructor=constructor)

        holds = "The images' values end at {:,}: --bits {} holds them{}\n"
        for dtype, largest, bits, expected, more in (
            (np.uint8, 15, [], 8, None),
            (np.uint16, 3401, [], 12, ""),
            (np.uint16, 100, [], 9, ""),
            (np.uint8, 15, ["--bits=8"], 4, ", and 8 costs more bits a value"),
            (np.uint16, 3401, ["--bits=16"], 12, ", and 16 costs more bits a value"),
            (np.uint16, 3401, ["--bits=12"], None, None),
        ):
            flags = ["--preset=mine", "--dataset=arrays", *bits]
            pixels = np.full((3, *helpers.SIZE, 3), largest, dtype)
            self.load.side_effect = lambda *_, x=pixels, **__: data.from_arrays(x)
            with mock.patch.object(training, "train"):
                printed = self.run_program(*flags, plugin=plugin)
            if not bits:
                self.assertEqual(built[-1], expected)
                self.assertIsNone(self.load.call_args.kwargs["num_values"])
            line = more is not None and holds.format(largest, expected, more)
            self.assertEqual(line and line in printed, more is not None, printed)
            self.assertEqual("holds" in printed, more is not None)

    def test_another_data_set(self):
        places = {"image_dir": "here", "data_dir": "there", "cache_dir": "a", "image_file": "b"}
        arguments = [f"--{name}={place}" for name, place in places.items()]
        arguments += ["--validation_share=0.1"]
        self.run_program("--preset=small", "--dataset=folder", *arguments)
        for call in self.load.call_args_list:
            self.assertEqual(call.args[0], "folder")
            self.assertEqual(call.args[2], helpers.SIZE)
            others = {"labels": None, "channels": 3, "num_values": 256, "validation_share": 0.1}
            self.assertEqual(call.kwargs, {**places, **others, "test_share": None})
        self.assertEqual(self.trained()[1], {self.runs / "grayscale-small-folder"})

    def test_the_same_command_goes_on_and_another_data_set_is_refused(self):
        folder = f"--workdir={self.runs / 'mine'}"
        self.run_program(folder)
        self.run_program(folder)
        self.assertEqual(self.trained()[0], FACTORS * 2)
        config = RunFolder(self.runs / "mine").config()
        source = [config[key] for key in ("dataset", "image_dir", "image_file")]
        self.assertEqual(source, ["photos", None, None])
        before = helpers.contents(self.runs)
        message = 'mine/config.json has others.*dataset: "cifar10" instead of "photos"'
        with self.assertRaisesRegex(ValueError, message):
            self.run_program(folder, "--preset=small")
        self.assertEqual(helpers.contents(self.runs), before)

    def test_signals_stop_all_factors_and_say_how_to_go_on(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self.train_factor.reset_mock()
            self.train_factor.side_effect = lambda *_, number=number: os.kill(os.getpid(), number)
            with (
                mock.patch.object(train, "print", create=True) as said,
                self.assertRaises(SystemExit) as caught,
            ):
                self.run_program()
            self.assertEqual(caught.exception.code, 128 + number)
            self.assertIn("The same command resumes", said.call_args.args[0])
            self.assertEqual(self.trained()[0], ["grayscale"])

    def test_a_signal_of_which_tensorflow_makes_another_error(self):
        def interrupted(*_):
            with contextlib.suppress(training.Stopped):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)
            raise RuntimeError("traced")

        self.train_factor.side_effect = interrupted
        with self.assertRaises(SystemExit) as caught:
            self.run_program()
        self.assertEqual(caught.exception.code, 130)

    def test_errors_after_a_signal_that_is_noted_are_their_own(self):
        def failing(config, *_):
            with config.stop.held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
                raise RuntimeError("not finite")

        for failure in (failing, RuntimeError("not finite")):
            self.train_factor.side_effect = failure
            with self.assertRaisesRegex(RuntimeError, "not finite"):
                self.run_program()

    def test_first_weights_are_those_of_the_run_that_init_names(self):
        first = object()
        with mock.patch.object(first_weights, "fitting", return_value={"image": first}) as fitting:
            self.run_program("--init=cifar10-pyramid")
        self.assertEqual(fitting.call_args.args[0], "cifar10-pyramid")
        given = [call.args[3] for call in self.train_factor.call_args_list]
        self.assertEqual(given, [None, first])

    def test_init_without_a_preset_takes_the_one_of_the_same_networks(self):
        """Also for a run of one trained factor. An error about another preset names it."""
        tiny = helpers.tiny_model(condition=pa.conditions.Classes(3))
        helpers.make_run(run := self.runs / "tiny", tiny, trained=["image"])

        def plugin(known):
            for name, blocks in (("demo", 2), ("small", 1), ("parts", 1)):
                build = functools.partial(helpers.tiny_model, blocks)
                known[name] = dataclasses.replace(known[name], constructor=build)

        printed = self.run_program(f"--init={run}", plugin=plugin)
        self.assertIn(f"--preset small, which has the networks of {run}\n", printed)
        self.assertEqual(self.trained()[1], {self.runs / "grayscale-small-cifar10"})
        message = "Choose another --init, or train grayscale --preset small, which has its networks"
        with self.assertRaisesRegex(ValueError, message):
            self.run_program(f"--init={run}", "--preset=demo", plugin=plugin)

    def test_mixed_precision_where_it_is_faster_and_as_a_run_was_begun(self):
        def is_mixed(*arguments):
            self.run_program("--factor=image", *arguments)
            return self.last()[1].mixed_precision

        for faster in (False, True):
            self.mixed_is_faster = faster
            self.assertEqual(is_mixed(), faster)
            self.assertEqual(is_mixed(f"--mixed_precision={not faster}"), not faster)
            folder = self.runs / f"{faster}"
            settings = dataclasses.replace(ONE, mixed_precision=not faster)
            self.run_program(f"--workdir={folder}")
            RunFolder(folder)["image"].record_training(dataclasses.asdict(settings))
            self.assertEqual(is_mixed(f"--workdir={folder}"), not faster)

    def test_wrong_values_are_refused_with_those_that_are_known(self):
        for model, argument, message in (
            ("color", "--seed=0", "one of grayscale, pyramid, pixelcnn. Rec.*'color'"),
            ("grayscale", "--workdir=cifar10-pyramid", "folder.*cifar10-pyramid.*--init cifar10-p"),
            ("grayscale", "--preset=large", "--preset demo, small, parts. Received: large. Choose"),
            ("grayscale", "--factor=8x8", "--factor all, grays.* demo. Received: 8x8."),
            ("grayscale", "--factor=grayscal", "grayscal. Did you mean 'grayscale'. Choose one"),
            ("grayscale", "--preset=smal", "smal. Did you mean 'small'. Choose one"),
            ("pyramd", "--seed=0", "'pyramd'. Did you mean 'pyramid'. Give one"),
            ("grayscale", "--bits=16", "no --bits for grayscale, .*Received: 16. Omit"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.run_program(argument, model=model)
        self.assertFalse(self.runs.exists())
