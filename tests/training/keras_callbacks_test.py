"""Tests of Keras's callbacks in training: what they are told, that they may stop it, and that it goes on."""

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import Training, checkpoints, metrics
from tests import helpers

TINY = Training(epochs=3, steps_per_epoch=3, batch_size=8, learning_rate=1e-2)


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


class CallbacksTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(helpers.eagerly())

    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        self.run_folder = self.folder / "run"

    def train(self, *callbacks, run="run"):
        model, images, folder = (
            helpers.tiny_model(dropout=0.5),
            helpers.images(10),
            self.folder / run,
        )
        callbacks = list(callbacks)
        return helpers.train(model, "grayscale", images, images, TINY, folder, callbacks=callbacks)

    def steps(self):
        return [
            step
            for step, _ in checkpoints.found(RunFolder(self.run_folder)["grayscale"].checkpoints)
        ]

    def test_what_they_are_told(self):
        events = Events()
        self.train(events)
        rows = metrics.read(RunFolder(self.run_folder)["grayscale"].metrics)
        steps = [logs for kind, _, logs in events.told if kind == "step"]
        expected = [("begin", "grayscale", {"epochs": 3, "steps": 3})]
        for epoch, row in enumerate(rows):
            own = steps[3 * epoch : 3 * epoch + 3]
            for name in ("bits_per_dim", "gradient_norm"):
                self.assertAllClose(np.mean([logs[name] for logs in own]), row[name])
            expected.append(("epoch begins", epoch, None))
            expected += [("step", step, logs) for step, logs in enumerate(own)]
            expected.append(("epoch ends", epoch, {x: row[x] for x in row if x != "epoch"}))
        self.assertEqual(events.told, [*expected, ("end", "grayscale", None)])
        self.train(again := Events())
        self.assertEmpty(again.told)  # nothing is left to do

    def test_a_run_that_one_has_ended_goes_on_exactly(self):
        whole = self.train(run="whole")
        with self.assertRaisesRegex(KeyError, "the server is gone"):
            self.train(Events(fails=1))
        self.assertEqual(self.steps(), [6, 3])  # the checkpoint was written before
        average = self.train(events := Events())
        self.assertEqual([x for kind, x, _ in events.told if kind == "epoch ends"], [2])
        np.testing.assert_equal(average.get_weights(), whole.get_weights())

    def test_stop_training_ends_the_factor(self):
        early = keras.callbacks.EarlyStopping("val_bits_per_dim", mode="max", patience=0)
        average = self.train(early)  # bits get fewer: none is the most
        self.assertEqual(self.steps(), [6, 3])
        loaded = helpers.tiny_model().factors["grayscale"]
        self.assertTrue(RunFolder(self.run_folder)["grayscale"].load_weights(loaded))
        np.testing.assert_equal(loaded.get_weights(), average.get_weights())
        self.train()
        self.assertEqual(self.steps(), [9, 6])

    def test_keras_own(self):
        logger = keras.callbacks.CSVLogger(self.folder / "log.csv")
        best = keras.callbacks.ModelCheckpoint(
            self.folder / "best.keras", "val_bits_per_dim", mode="min"
        )
        board = keras.callbacks.TensorBoard(self.folder / "board")
        rates = []
        see = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: rates.append(float(see.model.optimizer.learning_rate))
        )
        history = keras.callbacks.History()
        self.train(logger, best, board, see, history)
        rows = metrics.read(RunFolder(self.run_folder)["grayscale"].metrics)
        self.assertEqual(history.history["val_bits_per_dim"], [x["val_bits_per_dim"] for x in rows])
        self.assertAllClose(rates, [row["learning_rate"] for row in rows])
        self.assertLen((self.folder / "log.csv").read_text().splitlines(), 4)
        self.assertEqual(keras.saving.load_model(self.folder / "best.keras").name, "grayscale")
