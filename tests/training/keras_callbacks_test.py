"""Tests of Keras's callbacks in training: what they are told, that they may stop it, and that it goes on."""

import contextlib
import io

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import Training, metrics
from pixelcnn_aux.training.state import find_checkpoints
from tests import helpers

TINY = Training(epochs=3, steps_per_epoch=2, batch_size=8, learning_rate=1e-2)


class Events(keras.callbacks.Callback):
    """What it is told: [(name of the method, number, logs)], and an error at the end of an epoch, if any."""

    def __init__(self, fails=None):
        super().__init__()
        self.told, self.fails = [], fails

    def on_train_begin(self, logs=None):
        self.told.append(("begin", self.model.name, self.params))

    def on_train_end(self, logs=None):
        self.told.append(("end", self.model.name, logs))

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("epoch begins", epoch, logs))

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("epoch ends", epoch, logs))
        if epoch == self.fails:
            raise KeyError("the server is gone")

    def on_train_batch_end(self, batch, logs=None):
        self.told.append(("step", batch, logs))


def train(folder, *callbacks):
    model, images = helpers.tiny_model(dropout=0.5), helpers.images(10)
    callbacks = list(callbacks)
    return helpers.train(model, "grayscale", images, images, TINY, folder, callbacks=callbacks)


class CallbacksTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())
        cls.folder = helpers.temporary_folder(cls)
        cls.events, cls.history, cls.rates = Events(), keras.callbacks.History(), []
        rate = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: cls.rates.append(float(rate.model.optimizer.learning_rate))
        )
        cls.average = train(
            cls.folder / "run",
            *(cls.events, cls.history, rate),
            keras.callbacks.CSVLogger(cls.folder / "log.csv"),
            keras.callbacks.ModelCheckpoint(cls.folder / "last.keras"),
            keras.callbacks.TensorBoard(cls.folder / "board"),
        )
        cls.rows = metrics.read(RunFolder(cls.folder / "run")["grayscale"].metrics)

    def test_what_they_are_told(self):
        steps = [logs for kind, _, logs in self.events.told if kind == "step"]
        expected = [("begin", "grayscale", {"epochs": 3, "steps": 2})]
        for epoch, row in enumerate(self.rows):
            own = steps[2 * epoch : 2 * epoch + 2]
            for name in ("bits_per_dim", "gradient_norm"):
                self.assertAllClose(np.mean([logs[name] for logs in own]), row[name])
            expected.append(("epoch begins", epoch, None))
            expected += [("step", step, logs) for step, logs in enumerate(own)]
            logs = {name: value for name, value in row.items() if name != "epoch"}
            expected.append(("epoch ends", epoch, logs))
        self.assertEqual(self.events.told, [*expected, ("end", "grayscale", None)])
        train(self.folder / "run", again := Events())
        self.assertEmpty(again.told)  # nothing is left to do

    def test_keras_own(self):
        bits = [row["val_bits_per_dim"] for row in self.rows]
        self.assertEqual(self.history.history["val_bits_per_dim"], bits)
        self.assertAllClose(self.rates, [row["learning_rate"] for row in self.rows])
        self.assertLen((self.folder / "log.csv").read_text().splitlines(), 4)
        loaded = keras.saving.load_model(self.folder / "last.keras")
        self.assertEqual(loaded.name, "grayscale")

    @parameterized.named_parameters(
        ("by_an_error", lambda: Events(fails=1), "the server is gone"),
        # Bits get fewer: none after the first are the most.
        (
            "on_purpose",
            lambda: keras.callbacks.EarlyStopping("val_bits_per_dim", mode="max", patience=0),
            None,
        ),
    )
    def test_a_run_that_one_has_ended_goes_on_exactly(self, make, error):
        folder = helpers.temporary_folder(self) / "run"
        raises = self.assertRaisesRegex(KeyError, error) if error else contextlib.nullcontext()
        with raises, contextlib.redirect_stdout(io.StringIO()) as output:
            train(folder, make())
        found = find_checkpoints(RunFolder(folder)["grayscale"].checkpoints)
        self.assertEqual([step for step, _ in found], [4, 2])  # written before it was called
        self.assertEqual("stopped by a callback after step 4" in output.getvalue(), not error)
        average = train(folder, events := Events())
        self.assertEqual([x for kind, x, _ in events.told if kind == "epoch ends"], [2])
        np.testing.assert_equal(average.get_weights(), self.average.get_weights())
