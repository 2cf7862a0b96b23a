"""Tests of several devices and hosts, micro-batches and blocks evaluated twice: the same weights.

TensorFlow configures its devices and hosts once a process, so that each case has processes of its own.
"""

import contextlib
import dataclasses
import io
import json
import multiprocessing
import os
import socket
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from pixelcnn_aux import data, training
from pixelcnn_aux.base import backend
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import Training, metrics, steps
from pixelcnn_aux.training.state import find_checkpoints
from tests import helpers

# 50 steps, which would amplify differences.
SETTINGS = Training(
    epochs=2, steps_per_epoch=25, batch_size=8, learning_rate=1e-2, muon_ratio=1.0, decay=0.99
)


class Stopping(keras.callbacks.Callback):
    """Stops a run of three epochs after the second."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


def labeled_images(count, seed=0):
    return data.Images(helpers.pictures(count, seed), labels=np.arange(count) % 4 - 1)


def train(folder, strategy=None, dropout=0.0, remat=False, callbacks=None, **changes):
    """A class-conditional model, whose steps take labels too."""
    model, images = helpers.tiny_model(dropout=dropout, condition=Classes(3)), labeled_images(10)
    settings, validation = dataclasses.replace(SETTINGS, **changes), labeled_images(5, seed=1)
    # Some seeds amplify rounding tenfold.
    how = {"strategy": strategy, "remat": remat, "callbacks": callbacks, "seed": 2}
    with contextlib.redirect_stdout(io.StringIO()):
        return helpers.train(model, "image", images, validation, settings, folder, **how)


def two_devices():
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def train_on_two_devices(folder):
    """A whole run, and steps with dropout."""
    helpers.trace_quickly()
    strategy = two_devices()
    train(folder, strategy, accumulate=2, remat=True)
    losses, found = overflows(strategy)
    np.save(folder / "losses.npy", losses)
    np.save(folder / "overflows.npy", found)


def overflows(strategy):
    """Of steps in float16, of which the second and third overflow on the first and second replica.

    The replicas see the same images, with dropout: their losses in the last step, [2]. How many steps were
    taken so far, the norm, and whether the weights are finite: [3, 3].
    """
    keras.utils.set_random_seed(0)
    model, images = helpers.shared_model(dropout=0.5), helpers.pictures(1).repeat(8, axis=0)
    factor = helpers.randomize(model.factors["grayscale"])
    step = steps.make(model, factor, SETTINGS, strategy=strategy, policy="mixed_float16")
    exact, large = step._loss_and_gradients, tf.Variable([1.0, 1.0])
    losses = tf.Variable([0.0, 0.0])

    def overflowing(full):
        loss, gradients = exact(full)
        here = tf.distribute.get_replica_context().replica_id_in_sync_group
        losses[here].assign(loss)
        return loss, [gradient * large[here] for gradient in gradients]

    step._loss_and_gradients = overflowing
    found = []
    for factors in ([1.0, 1.0], [np.inf, 1.0], [1.0, np.inf]):
        large.assign(factors)
        _, norm = step(images)
        finite = all(np.isfinite(weight).all() for weight in step.keras_model.get_weights())
        found.append((step.optimizer.iterations.numpy(), norm.numpy(), finite))
    return losses.numpy(), found


def train_on_a_host(folder, index, addresses):
    helpers.trace_quickly()
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    )
    strategy = training.default_strategy()
    assert strategy.num_replicas_in_sync == len(addresses)
    average = train(folder, strategy, epochs=3, callbacks=[Stopping()])
    np.savez(folder / f"host-{index}.npz", *average.weights.values())
    settings = dataclasses.replace(SETTINGS, decay=0.5 + index / 4)
    how = {"seed": index, "strategy": strategy}
    where = helpers.images(10), helpers.images(5), folder / "differing"
    try:
        training.train(helpers.tiny_model(), settings, *where, **how)
    except ValueError as error:
        (folder / f"host-{index}.txt").write_text(str(error))


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("localhost", 0))) for _ in range(count)
        ]
        return [f"localhost:{opened.getsockname()[1]}" for opened in sockets]


class DevicesTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.processes, addresses = {}, free_addresses(2)
        hosts, spawn = cls.folder / "hosts", multiprocessing.get_context("spawn")
        for name, context, target, arguments in (
            ("devices", helpers.PROCESSES, train_on_two_devices, (cls.folder / "devices",)),
            ("host 0", helpers.PROCESSES, train_on_a_host, (hosts, 0, addresses)),
            # Computes convolutions differently, like another processor; TensorFlow reads this on import.
            ("host 1", spawn, train_on_a_host, (hosts, 1, addresses)),
        ):
            cls.processes[name] = context.Process(target=target, args=arguments, daemon=True)
            with mock.patch.dict(os.environ, TF_ENABLE_ONEDNN_OPTS=str(int(context is not spawn))):
                cls.processes[name].start()
            cls.addClassCleanup(cls.processes[name].kill)
        train(cls.folder / "one")

    def check(self, folder, *names):
        for name in names:
            self.processes[name].join(300)
            self.assertEqual(self.processes[name].exitcode, 0, name)
        found, expected = (self.state(self.folder / run) for run in (folder, "one"))
        self.assertEqual(set(found), set(expected))
        for key, value in expected.items():
            # The optimizer's moments accumulate the rounding of 50 gradients.
            tolerance = 1e-5 if key.startswith(("network", "embedding")) else 1e-4
            self.assertAllClose(found[key], value, rtol=tolerance, atol=tolerance, msg=key)
        found, expected = (self.rows(self.folder / run) for run in (folder, "one"))
        self.assertLen(found, SETTINGS.epochs)
        for row, other in zip(found, expected, strict=True):
            for name in ("bits_per_dim", "val_bits_per_dim", "gradient_norm"):
                self.assertAllClose(row[name], other[name], rtol=1e-5, msg=name)

    def state(self, folder):
        [(_, file), *_] = find_checkpoints(RunFolder(folder)["image"].checkpoints)
        arrays, _ = tensors.read(file)
        return {key: array for key, array in arrays.items() if not key.startswith("seconds")}

    def rows(self, folder):
        return metrics.read(RunFolder(folder)["image"].metrics)

    def test_two_devices_in_parts_with_blocks_evaluated_twice(self):
        self.check("devices", "devices")

    def test_two_hosts(self):
        """Only the chief writes, and all hosts have equal averages, even if one rounds differently.

        A callback of the chief stopped all of them, after as many epochs as the other runs have.
        """
        self.check("hosts", "host 0", "host 1")
        weights = [np.load(self.folder / "hosts" / f"host-{index}.npz") for index in range(2)]
        for key in weights[0]:
            self.assertAllEqual(weights[1][key], weights[0][key])

    def test_hosts_that_were_given_different_arguments(self):
        """All hosts report the difference before the chief has written anything."""
        for index in range(2):
            self.processes[f"host {index}"].join(300)
            here = f"here with seed={index}, decay=[{0.5 + index / 4}, {0.5 + index / 4}]. Start"
            self.assertIn(here, (self.folder / "hosts" / f"host-{index}.txt").read_text())
        self.assertFalse((self.folder / "hosts" / "differing").exists())

    def test_no_step_is_taken_that_overflows_on_any_replica(self):
        self.processes["devices"].join(300)
        (taken, norm, _), *others = np.load(self.folder / "devices" / "overflows.npy")
        self.assertEqual((taken, np.isfinite(norm)), (1, True))
        for taken, norm, finite in others:
            self.assertEqual((taken, np.isnan(norm), finite), (1, True, True))

    def test_replicas_drop_other_elements(self):
        self.processes["devices"].join(300)
        one, other = np.load(self.folder / "devices" / "losses.npy")
        self.assertGreater(abs(one - other), 1e-4)

    def test_what_is_evaluated_twice_drops_the_same_elements(self):
        self.enter_context(helpers.eagerly())
        model = helpers.shared_model(dropout=0.5)
        weights = []
        for remat in (False, True):
            keras.utils.set_random_seed(0)
            factor, here = model.factors["image"], tf.distribute.get_strategy()
            step = steps.make(model, factor, SETTINGS, strategy=here, remat=remat)
            for _ in range(2):
                step(helpers.pictures(8))
            weights.append(step.keras_model.get_weights())
        for weight, other in zip(*weights, strict=True):
            self.assertAllClose(weight, other, rtol=1e-5, atol=1e-5)


class DefaultTest(helpers.TestCase):
    def test_more_than_one_gpu_are_mirrors(self):
        for count, used in ((0, 0), (1, 0), (2, 1), (8, 1)):
            with (
                mock.patch.dict(os.environ),
                mock.patch.object(tf.config, "list_logical_devices", return_value=count * ["GPU"]),
                mock.patch.object(tf.distribute, "MirroredStrategy") as mirrored,
            ):
                os.environ.pop("TF_CONFIG", None)
                training.default_strategy()
            self.assertEqual(mirrored.call_count, used)

    def test_a_config_that_describes_no_hosts(self):
        cluster = '"cluster": {"worker": ["localhost:1"]}'
        others = f'{{{cluster}, "task": {{"type": "worker", "index": 5}}}}'
        for config in ("nonsense", "3", f"{{{cluster}}}", '{"cluster": 3}', others):
            with mock.patch.dict(os.environ, TF_CONFIG=config):
                with self.assertRaisesRegex(ValueError, "^Expected a TF_CONFIG of hosts.*unset it"):
                    training.default_strategy()

    def test_jax_takes_no_tf_config(self):
        """Each host would train the whole run."""
        with (
            mock.patch.object(backend, "NAME", "jax"),
            mock.patch.dict(os.environ, TF_CONFIG="{}"),
            self.assertRaisesRegex(ValueError, "^Expected no TF_CONFIG under JAX.*initialize"),
        ):
            training.default_strategy()
