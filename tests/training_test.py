"""Tests of training: that it can be stopped anywhere, on one device or two, and what it leaves."""

import contextlib
import io
import math
import multiprocessing
import signal
import time
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import callbacks, presets, training, workdir
from pixelcnn_aux.training import Training
from tests import helpers

# Three epochs of three steps, 8 of 10 images a step: batches span the passes over the images.
TINY = Training(epochs=3, steps_per_epoch=3, batch_size=8, learning_rate=1e-2, decay=0.99)
# TensorFlow configures its devices once a process, and nothing but a process can be killed.
PROCESSES = multiprocessing.get_context("spawn")


def train(folder, name="grayscale", dropout=0.5, strategy=None):
    """One factor of a tiny model, with averaged weights."""
    return training.train_factor(
        helpers.shared_model(dropout=dropout),
        name,
        helpers.images(10),
        helpers.images(5, seed=1),
        TINY,
        folder,
        strategy=strategy,
    )


def train_and_wait_in_second_epoch(folder):
    validate = callbacks.Validation.on_epoch_end

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            time.sleep(600)
        validate(self, epoch, logs)

    with mock.patch.object(callbacks.Validation, "on_epoch_end", on_epoch_end):
        train(folder)


def train_on_two_devices(folder):
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2
    train(folder, "image", dropout=0.0, strategy=strategy)


def state(folder, name="grayscale"):
    """dict of all arrays in the last checkpoint: weights, averages, optimizer, dropout's seeds."""
    reader = tf.train.load_checkpoint(str(workdir.checkpoints(folder, name)))
    keys = reader.get_variable_to_dtype_map()
    return {
        key: reader.get_tensor(key)
        for key in keys
        if key.startswith(("factor", "average", "optimizer"))
    }


def scalars(folder, name):
    """dict, "train/epoch_loss" and so on -> a value an epoch, of TensorBoard's files."""
    logs = workdir.logs(folder, name)
    found = {}
    for file in sorted(logs.glob("*/events.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                key = f"{file.parent.name}/{value.tag}"
                if value.tag.startswith("epoch_"):
                    found.setdefault(key, []).append(float(tf.make_ndarray(value.tensor)))
    return found


class StoppedRunTest(tf.test.TestCase):
    """Whatever stops a run, it ends where the one that nothing stopped ends, bit for bit."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.uninterrupted = helpers.temporary_folder(cls)
        cls.output = io.StringIO()
        cls.rates = []
        update = callbacks.WeightAverage.on_train_batch_end

        def on_train_batch_end(self, batch, logs=None):
            update(self, batch, logs)
            cls.rates.append(float(self.model.optimizer.learning_rate))

        recorded = mock.patch.object(
            callbacks.WeightAverage, "on_train_batch_end", on_train_batch_end
        )
        with contextlib.redirect_stdout(cls.output), recorded:
            cls.average = train(cls.uninterrupted)

    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)

    def copy_run(self):
        for file, contents in helpers.contents(self.uninterrupted).items():
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).write_bytes(contents)

    def assertSameWeights(self, factor):
        expected = self.average.get_weights()
        for weight, value in zip(factor.get_weights(), expected, strict=True):
            self.assertAllEqual(weight, value)

    def assertEndsAsUninterrupted(self, average):
        self.assertSameWeights(average)
        found, expected = state(self.folder), state(self.uninterrupted)
        self.assertEqual(set(found), set(expected))
        for key, value in expected.items():
            self.assertAllEqual(found[key], value, key)

    def assertAveragedWeightsIn(self, folder):
        """They are the one thing that evaluation reads."""
        factor = helpers.shared_model().new_factor("grayscale")
        self.assertTrue(workdir.load_weights(folder, "grayscale", factor))
        self.assertSameWeights(factor)

    def test_killed(self):
        process = PROCESSES.Process(
            target=train_and_wait_in_second_epoch, args=(self.folder,), daemon=True
        )
        process.start()
        self.addCleanup(process.kill)
        weights = workdir.weights_file(self.folder, "grayscale")
        end = time.time() + 300
        while not weights.exists() and process.is_alive() and time.time() < end:
            time.sleep(0.1)
        process.kill()
        process.join()
        self.assertEqual(process.exitcode, -signal.SIGKILL)
        self.assertEqual(state(self.folder)["optimizer/0/.ATTRIBUTES/VARIABLE_VALUE"], 3)
        self.assertEndsAsUninterrupted(train(self.folder))

    def test_interrupted_in_the_middle_of_an_epoch(self):
        update = callbacks.WeightAverage.on_train_batch_end

        def interrupted(self, batch, logs=None):
            update(self, batch, logs)
            if int(self.model.optimizer.iterations) == 5:
                raise KeyboardInterrupt

        with mock.patch.object(callbacks.WeightAverage, "on_train_batch_end", interrupted):
            with self.assertRaises(KeyboardInterrupt):
                train(self.folder)
        self.assertEndsAsUninterrupted(train(self.folder))

    def test_finished(self):
        """Perhaps killed after its last checkpoint and before it wrote what evaluation reads."""
        self.copy_run()
        before = helpers.contents(self.folder / "grayscale" / "checkpoints")
        workdir.weights_file(self.folder, "grayscale").unlink()
        self.assertEndsAsUninterrupted(train(self.folder))
        self.assertEqual(helpers.contents(self.folder / "grayscale" / "checkpoints"), before)
        self.assertAveragedWeightsIn(self.folder)

    def test_a_damaged_checkpoint_is_named(self):
        self.copy_run()
        checkpoints = workdir.checkpoints(self.folder, "grayscale")
        for file in (checkpoints / "ckpt-9.data-00000-of-00001", checkpoints / "ckpt-9.index"):
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2])
            before = helpers.contents(self.folder)
            with self.assertRaisesRegex(ValueError, f"{checkpoints}/ckpt-9.*damaged"):
                train(self.folder)
            self.assertEqual(helpers.contents(self.folder), before)
            file.write_bytes(whole)

    def test_checkpoints_without_their_index_are_not_written_over(self):
        self.copy_run()
        checkpoints = workdir.checkpoints(self.folder, "grayscale")
        index = (checkpoints / "checkpoint").read_bytes()
        for damaged in (b"", index[: len(index) // 2]):
            (checkpoints / "checkpoint").write_bytes(damaged)
            before = helpers.contents(self.folder)
            with self.assertRaisesRegex(ValueError, str(checkpoints)):
                train(self.folder)
            self.assertEqual(helpers.contents(self.folder), before)

    def test_the_checkpoint_of_another_network_is_named(self):
        self.copy_run()
        with self.assertRaisesRegex(ValueError, "ckpt-9.*another network"):
            training.train_factor(
                helpers.tiny_model(blocks=2, dropout=0.5),
                "grayscale",
                helpers.images(10),
                helpers.images(5),
                TINY,
                self.folder,
            )

    def test_one_process_at_a_time(self):
        with workdir.lock(self.folder, "grayscale"):
            with self.assertRaisesRegex(RuntimeError, "'grayscale'.*Received: another process"):
                train(self.folder)
        self.assertFalse(workdir.checkpoints(self.folder, "grayscale").exists())

    def test_what_is_left_in_the_folder(self):
        files = helpers.contents(self.uninterrupted)
        self.assertIn("grayscale/average.weights.h5", files)
        self.assertIn("grayscale/checkpoints/ckpt-9.index", files)
        self.assertNotIn("grayscale/checkpoints/ckpt-3.index", files)  # two are kept
        self.assertAveragedWeightsIn(self.uninterrupted)

    def test_the_learning_rate_decays_after_every_step(self):
        """Section 4.1: the decay is applied after each iteration."""
        steps = np.arange(1, 10)
        self.assertAllClose(self.rates, TINY.learning_rate * TINY.decay**steps, rtol=1e-5)

    def test_scalars_and_output(self):
        found = scalars(self.uninterrupted, "grayscale")
        for key in ("train/epoch_bits_per_dim", "train/epoch_images_per_s"):
            self.assertLen(found[key], TINY.epochs)
        output = self.output.getvalue()
        count = self.average.count_params()
        self.assertIn(f"grayscale: {count:,} parameters, step 0 of 9", output)
        for key in (" bits_per_dim: ", " images_per_s: ", " val_bits_per_dim: "):
            self.assertEqual(output.count(key), TINY.epochs)
        self.assertIn("grayscale: 9 steps in ", output)

    def test_validation_is_of_the_averaged_weights(self):
        bits = scalars(self.uninterrupted, "grayscale")["validation/epoch_bits_per_dim"]
        grays = helpers.shared_model().auxiliaries(helpers.pictures(5, seed=1))["grayscale"]
        nats = self.average.log_prob(grays).numpy()
        dimensions = math.prod(helpers.SIZE)
        self.assertAllClose(bits[-1], -nats.mean() / (dimensions * math.log(2)), rtol=1e-6)


class TwoDevicesTest(tf.test.TestCase):
    def test_give_the_losses_and_weights_of_one(self):
        one, two = helpers.temporary_folder(self), helpers.temporary_folder(self)
        process = PROCESSES.Process(target=train_on_two_devices, args=(two,), daemon=True)
        process.start()
        self.addCleanup(process.kill)
        train(one, "image", dropout=0.0)
        process.join(300)
        self.assertEqual(process.exitcode, 0)
        found, expected = state(two, "image"), state(one, "image")
        self.assertEqual(set(found), set(expected))
        for key, value in expected.items():
            self.assertAllClose(found[key], value, rtol=1e-5, atol=1e-5, msg=key)
        found, expected = scalars(two, "image"), scalars(one, "image")
        for key in ("train/epoch_loss", "validation/epoch_bits_per_dim"):
            self.assertAllClose(found[key], expected[key], rtol=1e-5)


class TrainTest(tf.test.TestCase):
    """One folder, three calls: one factor, then the others, then nothing is left to do."""

    setting = Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-2, decay=0.9)
    images, validation = helpers.pictures(6), helpers.pictures(3, seed=1)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls) / "run"
        settings = dict.fromkeys(("grayscale", "image"), cls.setting)
        preset = presets.Preset("photos", helpers.tiny_model, {}, settings)
        cls.first, cls.third = helpers.tiny_model(), helpers.tiny_model()
        cls.before = cls.first.factors["image"].get_weights()
        with contextlib.redirect_stdout(io.StringIO()):
            cls.train(cls.first, settings, ["grayscale"])
            cls.after_first = helpers.contents(cls.folder)
            cls.second = pa.load(cls.folder)  # without the image's weights
            cls.train(cls.second, preset)
            cls.after_second = helpers.contents(cls.folder)
            cls.train(cls.third, cls.setting)

    @classmethod
    def train(cls, model, setting, factors=None, **changes):
        arguments = {
            "images": cls.images,
            "validation_images": cls.validation,
            "workdir": cls.folder,
            **changes,
        }
        pa.train(model, setting, factors=factors, **arguments)

    def assertSameWeights(self, one, other):
        for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_the_factors_asked_for_alone(self):
        self.assertIn("grayscale/average.weights.h5", self.after_first)
        self.assertFalse([file for file in self.after_first if file.startswith("image/")])
        for weight, before in zip(self.first.factors["image"].get_weights(), self.before):
            self.assertAllEqual(weight, before)

    def test_the_model_gets_the_averaged_weights_that_load_reads(self):
        loaded = pa.load(self.folder)
        for model in (self.second, self.third):
            for name, factor in model.factors.items():
                self.assertSameWeights(factor, loaded.factors[name])
        self.assertSameWeights(self.first.factors["grayscale"], loaded.factors["grayscale"])
        average = state(self.folder, "image")["average/0/.ATTRIBUTES/VARIABLE_VALUE"]
        self.assertAllEqual(self.second.factors["image"].get_weights()[0], average)
        trained = state(self.folder, "image")["factor/0/.ATTRIBUTES/VARIABLE_VALUE"]
        self.assertNotAllEqual(average, trained)

    def test_a_loaded_model_is_trained_then(self):
        self.assertEqual(self.second.untrained, ())
        self.assertAllEqual(
            self.second.log_prob(self.images), pa.load(self.folder).log_prob(self.images)
        )

    def test_what_is_done_is_not_done_again(self):
        files = helpers.contents(self.folder)
        checkpoints = [file for file in files if "/checkpoints/" in file]
        self.assertEqual(set(files), set(self.after_second))
        for file in (*checkpoints, "config.json"):
            self.assertEqual(files[file], self.after_second[file], file)
        grays = [file for file in self.after_first if file.startswith("grayscale/checkpoints/")]
        for file in grays:
            self.assertEqual(files[file], self.after_first[file], file)

    def test_what_the_folder_says(self):
        config = workdir.read(self.folder)
        self.assertEqual(config["seed"], 0)
        self.assertEqual(config["training"]["image"], self.setting._asdict())

    def test_another_run_is_refused(self):
        before = helpers.contents(self.folder)
        for setting, changes, message in (
            (self.setting, {"seed": 1}, "seed: 1 instead of 0"),
            (self.setting._replace(decay=0.5), {}, "training.grayscale.decay: 0.5 instead of 0.9"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.train(self.first, setting, **changes)
        with self.assertRaisesRegex(ValueError, "topology"):
            self.train(helpers.tiny_model(blocks=2), self.setting)
        self.assertEqual(helpers.contents(self.folder), before)

    def test_wrong_arguments_are_refused_before_anything_is_written(self):
        folder = self.folder.with_name("new")
        small = helpers.pictures(4, size=(2, 6))
        for setting, changes, message in (
            (self.setting, {"images": small}, r"model's size, \(4, 6\). Received: \(2, 6\)"),
            (self.setting, {"validation_images": small}, r"model's size, .* \(2, 6\)"),
            ({"grayscale": self.setting}, {}, r"a Training for each of \['grayscale', 'image'\]"),
            (self.setting, {"factors": ["8x8"]}, "Expected a factor of .*Received: '8x8'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.train(self.first, setting, workdir=folder, **changes)
        self.assertFalse(folder.exists())


if __name__ == "__main__":
    tf.test.main()
