"""Tests of training: stopping and resuming anywhere, files, and callbacks."""

import collections
import contextlib
import dataclasses
import functools
import io
import itertools
import json
import math
import os
import shutil
import signal
import time
import zlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import data, training
from pixelcnn_aux.factors.keras_factor import KerasFactor
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import (
    Training,
    config,
    devices,
    loop,
    metrics,
    optimizer,
    state as training_state,
    steps,
)
from pixelcnn_aux.training.state import TrainingState, find_checkpoints
from tests import helpers

# Three epochs of three steps, each of 8 of 10 images: batches span passes over the images.
TINY = Training(
    epochs=3, steps_per_epoch=3, batch_size=8, learning_rate=1e-2, muon_ratio=1.0, decay=0.99
)


def train(folder, name="grayscale", images=None, training=TINY, **options):
    """One factor of a tiny model, with averaged weights."""
    model, validation_images = helpers.tiny_model(dropout=0.5), helpers.images(5, seed=1)
    images = images or helpers.images(10)
    return helpers.train(model, name, images, validation_images, training, folder, **options)


def found_in(folder, name="grayscale"):
    """[(step, path)] of a run's checkpoints, the newest first."""
    return find_checkpoints(RunFolder(folder)[name].checkpoints)


def saved(folder, name="grayscale"):
    """All arrays in the last checkpoint: weights, averages, optimizer and dropout generators: dict."""
    arrays, _ = tensors.read(found_in(folder, name)[0][1])
    return {key: array for key, array in arrays.items() if not key.startswith("seconds")}


def assert_same_weights(factor, expected):
    np.testing.assert_equal(factor.weights, expected.weights)


def rows(folder):
    return metrics.read(RunFolder(folder)["grayscale"].metrics)


def in_each_step(act):
    """Context that calls `act` with each step's number, from 1, as it takes its images."""
    take, steps = data.Prefetched.__next__, itertools.count(1)

    def act_and_take(batches):
        act(next(steps))
        return take(batches)

    return mock.patch.object(data.Prefetched, "__next__", act_and_take)


class Interrupting(data.Images):
    """Images that call a function after seven batches."""

    def __init__(self, act):
        super().__init__(helpers.images(10).pixels)
        self._act = act

    def training_batches(self, *args, **options):
        for count, batch in enumerate(super().training_batches(*args, **options)):
            if count == 7:
                self._act()
            yield batch


class StoppedRunTest(helpers.TestCase):
    """A stopped run that resumes ends like an uninterrupted one, bit for bit.

    In `tests/faults` it is killed too, and compiled.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())
        cls.uninterrupted = helpers.temporary_folder(cls)
        cls.output = io.StringIO()
        with contextlib.redirect_stdout(cls.output):
            cls.average = train(cls.uninterrupted)

    def assertEndsAsUninterrupted(self, average, folder=None):
        assert_same_weights(average, self.average)
        np.testing.assert_equal(saved(folder or self.folder), saved(self.uninterrupted))

    def test_signals_stop_after_a_step_which_is_saved(self):
        for number in config.SIGNALS:
            folder = self.folder / str(number)
            before = signal.getsignal(number)
            with self.assertRaises(training.Stopped), training.Stop() as stop:
                images = Interrupting(functools.partial(os.kill, os.getpid(), number))
                train(folder, images=images, stop=stop)
            self.assertEqual(stop.signal, number)
            self.assertIs(signal.getsignal(number), before)
            # The signal came while the eighth batch was prefetched, up to five steps ahead.
            self.assertIn(saved(folder)["optimizer/iteration"], range(2, 9))
        self.assertEndsAsUninterrupted(train(folder), folder)

    def test_a_signal_at_the_last_step_of_an_epoch_stops_after_its_validation(self):
        stop = training.Stop()

        def stop_at_the_sixth(step):
            if step == 6:
                stop.signal = signal.SIGTERM

        with in_each_step(stop_at_the_sixth), self.assertRaises(training.Stopped):
            train(self.folder, stop=stop)
        self.assertEqual(saved(self.folder)["optimizer/iteration"], 6)
        self.assertEqual([row["step"] for row in rows(self.folder)], [3, 6])

    def test_checkpoints_in_the_middle_of_long_epochs(self):
        """A killed run loses only the steps since its last checkpoint within an epoch."""
        killed = mock.Mock(side_effect=KeyboardInterrupt)
        with mock.patch.object(loop, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0):
            with self.assertRaises(KeyboardInterrupt):
                train(self.folder, images=Interrupting(killed))
        self.assertEqual(saved(self.folder)["optimizer/iteration"], 7)
        seconds = [tensors.read(file)[0]["seconds"] for _, file in found_in(self.folder)]
        self.assertGreater(seconds[0], seconds[1])  # of both epochs, not only the second
        self.assertGreater(seconds[0], rows(self.folder)[-1]["seconds"])
        self.assertEndsAsUninterrupted(train(self.folder))

    def test_checkpoints_are_at_most_ten_minutes_apart(self):
        now = 0.0

        def tick(step):
            nonlocal now
            now = 130.0 * step

        with (
            mock.patch.object(time, "monotonic", lambda: now),
            in_each_step(tick),
            mock.patch.object(training_state, "save_checkpoint") as save,
        ):
            train(self.folder, training=dataclasses.replace(TINY, epochs=1, steps_per_epoch=9))
        self.assertEqual([call.args[1] for call in save.call_args_list], [5, 9])

    def test_finished(self):
        """Like a run killed between its last checkpoint and its weights."""
        shutil.copytree(self.uninterrupted, self.folder, dirs_exist_ok=True)
        RunFolder(self.folder)["grayscale"].weights.unlink()
        self.assertEndsAsUninterrupted(train(self.folder))
        self.assertEqual([step for step, _ in found_in(self.folder)], [9, 6])
        run, factor = (
            RunFolder(self.folder)["grayscale"],
            helpers.shared_model().factors["grayscale"],
        )
        assert_same_weights(helpers.load_weights(run, factor), self.average)

    def test_the_learning_rate(self):
        """Section 4.1: the decay is applied after each iteration. Without one it falls to zero."""
        rates = [row["learning_rate"] for row in rows(self.uninterrupted)]
        steps = np.array([3, 6, 9])
        self.assertAllClose(rates, TINY.learning_rate * TINY.decay**steps, rtol=1e-5)
        settings = dataclasses.replace(TINY, decay=None)
        rates = [float(optimizer.learning_rate(settings)(step)) for step in range(10)]
        self.assertAllClose(rates, TINY.learning_rate * np.linspace(1, 0, 10))
        settings = dataclasses.replace(settings, fall=1 / 3)  # of nine steps the last three
        rates = [float(optimizer.learning_rate(settings)(step)) for step in (0, 6, 7, 8, 9, 10)]
        self.assertAllClose(rates, TINY.learning_rate * np.array([1, 1, 2 / 3, 1 / 3, 0, 0]))

    def test_metrics_and_output(self):
        found = rows(self.uninterrupted)
        self.assertEqual(
            [(row["epoch"], row["images"]) for row in found], [(1, 24), (2, 48), (3, 72)]
        )
        self.assertAllLess(np.diff([row["bits_per_dim"] for row in found]), 0.0)  # it learns
        in_logs = collections.defaultdict(list)
        for file in sorted(RunFolder(self.uninterrupted)["grayscale"].logs.glob("*/events.*")):
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for x in event.summary.value:
                    in_logs[f"{file.parent.name}/{x.tag}"].append(tf.make_ndarray(x.tensor))
        for key, name in (
            ("train/bits_per_dim", "bits_per_dim"),
            ("validation/bits_per_dim", "val_bits_per_dim"),
        ):
            self.assertAllClose(in_logs[key], [row[name] for row in found], rtol=1e-6)
        output, count = self.output.getvalue(), self.average.num_parameters
        self.assertIn(f"grayscale: {count:,} parameters, float32, step 0 of 9", output)
        self.assertEqual(output.count(" val_bits_per_dim: "), TINY.epochs)
        epochs = "Epoch 1/3\n(?s:.*)\nEpoch 2/3, [0-9]+ s left\n(?s:.*)\nEpoch 3/3, [0-9]+ s"
        self.assertRegex(output, epochs)

    def test_validation_is_of_the_averaged_weights(self):
        bits = rows(self.uninterrupted)[-1]["val_bits_per_dim"]
        grays = helpers.shared_model().auxiliaries(helpers.pictures(5, seed=1))["grayscale"]
        nats = self.average.log_prob(grays)
        dimensions = math.prod(helpers.SIZE)
        self.assertAllClose(bits, -nats.mean() / (dimensions * math.log(2)), rtol=1e-6)


class MinutesTest(helpers.TestCase):
    def test_a_run_that_resumes_keeps_its_steps(self):
        self.enter_context(helpers.eagerly())
        whole, resumed, stop = self.folder / "whole", self.folder / "resumed", training.Stop()

        def act(step):
            stop.signal = signal.SIGTERM if step == 2 else None

        with mock.patch.object(loop, "_timed", return_value=100.0):
            expected = train(whole, minutes=1)
            with self.assertRaises(training.Stopped), in_each_step(act):
                train(resumed, minutes=1, stop=stop)
        [(step, _), *_] = found_in(resumed)
        self.assertEqual(step, 2)
        with mock.patch.object(loop, "_timed", side_effect=AssertionError):
            assert_same_weights(train(resumed, minutes=1), expected)
            for minutes, found in ((2, "2.0 instead of 1.0"), (None, "null instead of 1.0")):
                with self.assertRaisesRegex(ValueError, f"grayscale.minutes: {found}"):
                    train(resumed, minutes=minutes)
        # 0.9 of a minute is 0.54 of the 100 s that 9 steps in 3 epochs take.
        self.assertEqual([row["step"] for row in rows(whole)], [4])

    def test_the_seconds_of_all_epochs(self):
        self.enter_context(helpers.eagerly())
        with mock.patch("time.monotonic", side_effect=itertools.count()):
            run = helpers.run_config(helpers.tiny_model(), self.folder)
            self.assertEqual(loop._timed(run, "image", TINY, None), TINY.steps + TINY.epochs)
        self.assertEqual(helpers.contents(self.folder), {})


class NotFiniteTest(helpers.TestCase):
    """A diverging run raises an error and keeps its good files."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    def test_a_loss(self):
        # An epoch at low rates; the ninth step's is 1e36.
        rates = keras.optimizers.schedules.ExponentialDecay(1e-12, decay_steps=1, decay_rate=1e6)
        with (
            mock.patch.object(optimizer, "learning_rate", return_value=rates),
            contextlib.redirect_stdout(io.StringIO()) as output,
            self.assertRaises(RuntimeError) as caught,
        ):
            train(self.folder)
        message = str(caught.exception)
        expected = "Expected (a finite loss|finite weights|finite bits) of .*factor 'grayscale'"
        self.assertRegex(message, expected)
        self.assertRegex(message, "step [0-9]+.*last good checkpoint is .*step-[0-9]+.safetensors")
        self.assertNotIn("nan", output.getvalue())
        factor = helpers.shared_model(dropout=0.5).factors["grayscale"]
        factor = helpers.load_weights(RunFolder(self.folder)["grayscale"], factor)
        for value in (*saved(self.folder).values(), *factor.weights.values()):
            self.assertTrue(np.isfinite(value).all())

    def assertWritesNothing(self, message):
        """A run whose first metrics are not finite leaves neither metrics nor weights."""
        with self.assertRaisesRegex(RuntimeError, message):
            train(self.folder)
        files = {x for x in helpers.contents(self.folder / "grayscale") if "logs/" not in x}
        self.assertEqual(files, {"lock", "training.json"})

    def test_an_average(self):
        copy = TrainingState._copy_averages

        def overflow_after_a_step(state):
            copy(state)
            if state.step == 1:
                state.average = helpers.altered(state.average, lambda x: x + np.inf, "last/b")

        with (
            mock.patch.object(loop, "_SECONDS_BETWEEN_CHECKPOINTS", -1.0),
            mock.patch.object(TrainingState, "_copy_averages", overflow_after_a_step),
        ):
            self.assertWritesNothing("finite weights of factor 'grayscale' after step 1[.]")

    def test_bits_of_the_validation_images(self):
        with mock.patch.object(loop, "mean_bits", return_value=math.nan):
            self.assertWritesNothing("finite bits of the validation images .* step 3[.].*: nan[.]")

    def test_the_images_are_named(self):
        images, losses = helpers.images(10), iter([3.0, math.nan] + 9 * [3.0])
        with (
            mock.patch.object(steps._TensorFlowStep, "__call__", lambda *_: (next(losses), 1.0)),
            self.assertRaises(RuntimeError) as caught,
        ):
            train(self.folder, images=images)
        seed = zlib.crc32(b"0/grayscale") % 2**31
        indices = images.training_indices(8, seed, step=1).tolist()  # of the second step
        named = f"at step 2. Received: nan, of the training images {', '.join(map(str, indices))}. "
        self.assertIn(named, str(caught.exception))
        self.assertIn("There is no checkpoint yet", str(caught.exception))


class TrainTest(helpers.TestCase):
    """One folder, three calls: one factor, the remaining ones, and nothing left."""

    setting = dataclasses.replace(TINY, epochs=1, steps_per_epoch=1, batch_size=4)
    images, validation = helpers.pictures(6), helpers.pictures(3, seed=1)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())
        cls.folder = helpers.temporary_folder(cls) / "run"
        settings = dict.fromkeys(("grayscale", "image"), cls.setting)
        preset = training.Preset(
            dataset="photos", constructor=helpers.tiny_model, model={}, training=settings
        )
        cls.first, cls.third = helpers.tiny_model(), helpers.tiny_model()
        cls.before = cls.first.factors["image"].weights
        cls.train(cls.first, settings, factors=["grayscale"])
        cls.after_first = helpers.contents(cls.folder)
        cls.second = pa.load(cls.folder)  # without the image's weights
        cls.train(cls.second, preset)
        cls.after_second = helpers.contents(cls.folder)
        cls.train(cls.third, cls.setting)

    @classmethod
    def train(cls, model, setting, **changes):
        given = {"images": cls.images, "validation_images": cls.validation, "workdir": cls.folder}
        pa.train(model, setting, **{**given, **changes})

    def test_the_factors_asked_for_alone(self):
        self.assertIn("grayscale/average.safetensors", self.after_first)
        self.assertFalse([file for file in self.after_first if file.startswith("image/")])
        np.testing.assert_equal(self.first.factors["image"].weights, self.before)

    def test_the_model_gets_the_averaged_weights_that_load_reads(self):
        loaded = pa.load(self.folder)
        for model in (self.second, self.third):
            for name, factor in model.factors.items():
                assert_same_weights(factor, loaded.factors[name])
        assert_same_weights(self.first.factors["grayscale"], loaded.factors["grayscale"])
        average = self.second.factors["image"].weights["network/last/v"]
        trained = saved(self.folder, "image")["network/last/v"]
        self.assertEqual(average.shape, trained.shape)
        self.assertNotAllEqual(average, trained)
        self.assertEqual(self.second.untrained, ())

    def test_finished_factors_are_left_as_they_are(self):
        files = helpers.contents(self.folder)
        self.assertEqual(set(files), set(self.after_second))
        for earlier in (self.after_first, self.after_second):
            for file in earlier:
                if "/checkpoints/" in file or file == "config.json":
                    self.assertEqual(files[file], earlier[file], file)

    def test_the_records_in_the_folder(self):
        self.assertEqual(RunFolder(self.folder).config()["seed"], 0)
        settings = json.loads((self.folder / "image" / "training.json").read_text())
        images = {"images": 6, "images_crc32": zlib.crc32(self.images)}
        images |= {"validation_images": 3, "validation_images_crc32": zlib.crc32(self.validation)}
        expected = {**dataclasses.asdict(self.setting), "policy": None, "init": None, **images}
        self.assertEqual(settings, expected)

    def test_arguments_reach_the_steps_and_the_images(self):
        settings = dataclasses.replace(
            TINY, epochs=1, flip=False, accumulate=2, mixed_precision=True
        )
        batches, flips = data.Images.training_batches, []

        def recorded(images, **given):
            flips.append(given["flip"])
            return batches(images, **given)

        with (
            mock.patch.object(devices, "mixed_policy", lambda: "mixed_bfloat16"),
            mock.patch.object(data.Images, "training_batches", recorded),
            mock.patch.object(steps, "make", wraps=steps.make) as make,
            mock.patch.object(
                KerasFactor, "call", autospec=True, side_effect=KerasFactor.call
            ) as call,
        ):
            train(helpers.temporary_folder(self), training=settings, remat=True)
        self.assertEqual(flips, [False, False])  # of initial weights and of steps
        remat = sum(one.kwargs.get("remat", False) for one in call.call_args_list)
        self.assertEqual(remat, 2 * TINY.steps_per_epoch)  # in both micro-batches of each
        self.assertEqual(make.call_args.kwargs["policy"], "mixed_bfloat16")

    def test_another_run_and_a_second_process_are_refused(self):
        before, more, few = helpers.contents(self.folder), helpers.pictures(7), helpers.pictures(2)
        validation = "grayscale.validation_images: 2 instead of 3"
        others = "Expected the {} of the run in .*, in the same order.*different or reordered"
        decay = dataclasses.replace(self.setting, decay=0.5)
        for model, changes, message in (
            (self.first, {"seed": 1}, "seed: 1 instead of 0"),
            (self.first, {"setting": decay}, "grayscale.decay: 0.5 instead of 0.99"),
            (helpers.tiny_model(blocks=2), {}, "topology"),
            (self.first, {"images": more}, "grayscale.images: 7 instead of 6"),
            (self.first, {"validation_images": few}, validation),
            (self.first, {"images": self.images[::-1]}, others.format("images")),
            (self.first, {"validation_images": more[:3]}, others.format("validation_images")),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.train(**{"model": model, "setting": self.setting, **changes})
        with RunFolder(self.folder)["grayscale"].lock():
            with self.assertRaisesRegex(RuntimeError, "'grayscale'.*Received: another process"):
                self.train(self.first, self.setting)
        self.assertEqual(helpers.contents(self.folder), before)

    def test_wrong_arguments_are_refused_before_anything_is_written(self):
        folder = self.folder.with_name("new")
        small, one = helpers.pictures(4, size=(2, 6)), {"image": self.setting}
        three_parts = dataclasses.replace(self.setting, accumulate=3)
        for name, value, message in (
            ("images", small, r"model's size, \(4, 6\). Received: \(2, 6\)"),
            ("validation_images", small, r"model's size, .* \(2, 6\)"),
            ("setting", one, r"a Training for each of \['grayscale', 'image'\]"),
            ("setting", {"image": 5, "grayscale": 5}, "training of class Training"),
            ("setting", three_parts, "batch_size that is a multiple of 3"),
            ("factors", ["8x8"], "Expected a factor of .*Received: '8x8'"),
            ("model", self.first.factors["image"], "model of class AuxiliaryModel"),
            ("strategy", "mirrored", "strategy of class .*strategy='mirrored'"),
            ("stop", True, "stop of class Stop, or None"),
            ("seed", 2**63, "seed from"),
            ("remat", "yes", "remat of True or False"),
            ("images", ["a"], "Expected images as .*np.stack"),
            ("callbacks", [print], "a callback of class Callback"),
            ("workdir", f"{folder}\udcff", "as a path.*UTF-8"),
        ):
            given = {"model": self.first, "setting": self.setting, "workdir": folder}
            with self.assertRaisesRegex(ValueError, message):
                self.train(**{**given, name: value})
        self.assertFalse(folder.exists())


class Events(keras.callbacks.Callback):
    """Records calls as (name, number, logs); raises at the end of the epoch `fails`, if any."""

    def __init__(self, fails=None):
        super().__init__()
        self.calls, self.fails = [], fails

    def on_train_begin(self, logs=None):
        self.calls.append(("begin", self.model.name, self.params))

    def on_train_end(self, logs=None):
        self.calls.append(("end", self.model.name, logs))

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch begins", epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch ends", epoch, logs))
        if epoch == self.fails:
            raise KeyError("the server is gone")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("step", batch, logs))


class CallbacksTest(helpers.TestCase):
    settings = Training(epochs=4, steps_per_epoch=2, batch_size=8, learning_rate=1e-2)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())
        cls.folder = helpers.temporary_folder(cls)
        cls.events, cls.history = Events(), keras.callbacks.History()
        own = keras.callbacks.ModelCheckpoint(cls.folder / "last.keras")
        cls.average = cls.train(cls.folder / "run", cls.events, cls.history, own)
        cls.rows = rows(cls.folder / "run")

    @classmethod
    def train(cls, folder, *callbacks):
        return train(folder, training=cls.settings, callbacks=list(callbacks))

    def test_their_calls(self):
        steps = [logs for kind, _, logs in self.events.calls if kind == "step"]
        expected = [("begin", "grayscale", {"epochs": 4, "steps": 2})]
        for epoch, row in enumerate(self.rows):
            own = steps[2 * epoch : 2 * epoch + 2]
            for name in ("bits_per_dim", "gradient_norm"):
                self.assertAllClose(np.mean([logs[name] for logs in own]), row[name])
            expected.append(("epoch begins", epoch, None))
            expected += [("step", step, logs) for step, logs in enumerate(own)]
            logs = {name: value for name, value in row.items() if name != "epoch"}
            logs |= {"loss": row["bits_per_dim"], "val_loss": row["val_bits_per_dim"]}
            expected.append(("epoch ends", epoch, logs))
        self.assertEqual(self.events.calls, [*expected, ("end", "grayscale", None)])
        self.train(self.folder / "run", again := Events())
        self.assertEmpty(again.calls)  # nothing is left to do
        bits = [row["val_bits_per_dim"] for row in self.rows]
        self.assertEqual(self.history.history["val_bits_per_dim"], bits)
        loaded = keras.saving.load_model(self.folder / "last.keras")
        self.assertEqual(loaded.name, "grayscale")

    def test_a_run_that_one_has_ended_resumes_exactly(self):
        """By `stop_training` after the second epoch, and by an error after the third."""
        folder = helpers.temporary_folder(self) / "run"
        # Bits decrease, so the first are the largest.
        stopping = keras.callbacks.EarlyStopping("val_bits_per_dim", mode="max", patience=0)
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.train(folder, stopping)
        self.assertIn("stopped by a callback after step 4", output.getvalue())
        with self.assertRaisesRegex(KeyError, "the server is gone"):
            self.train(folder, failing := Events(fails=2))
        self.assertEqual([x for x, _ in found_in(folder)], [6, 4])  # written before the call
        average = self.train(folder, events := Events())
        ends = [x for kind, x, _ in failing.calls + events.calls if kind == "epoch ends"]
        self.assertEqual(ends, [2, 3])
        assert_same_weights(average, self.average)
