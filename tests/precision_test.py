"""Tests of mixed precision: what stays in float32, and that nothing else changes much."""

import dataclasses
import functools
import sys
import types
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.base import backend, machine
from pixelcnn_aux.base.backend import POLICIES
from pixelcnn_aux.networks.array_layers import Layers
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import Training, devices
from pixelcnn_aux.training.state import TrainingState
from tests import helpers


@functools.cache
def in_float32(centered):
    """A model with random weights."""
    model = helpers.tiny_model(
        topology=pa.networks.topology.pixelcnn_pp(1, 2), exact=centered, centered=centered
    )
    return model.with_factor(helpers.randomize(model.factors["image"]))


@functools.cache
def factors(policy, centered=True):
    """A model, its factor, and a Keras model of that in mixed precision: none may be changed."""
    model = in_float32(centered)
    factor = model.factors["image"]
    return model, factor, factor.keras_model(policy)


class MixedPrecisionTest(helpers.TestCase):
    def test_what_stays_in_float32(self):
        self.enter_context(helpers.eagerly())
        for policy in POLICIES:
            model, factor, mixed = factors(policy)
            for weight in mixed.by_path.values():
                self.assertEqual(weight.dtype, "float32")
            inputs = model.inputs(helpers.pictures(3))["image"]
            params = mixed(inputs)
            self.assertEqual(params.dtype, tf.float32)
            self.assertEqual(mixed.compute_loss(inputs, inputs.images, params).dtype, tf.float32)
            # Kernels are normalized in float32.
            dtype = mixed.compute_dtype
            both = []
            for own in (None, dtype):
                layers = Layers(mixed.by_path, dtype=own)
                _ = factor.with_layers(layers).modules
                both.append(layers.made_layers)
            for path, layer in both[1].items():
                exact = tf.cast(both[0][path].kernel, layer.kernel.dtype)
                self.assertAllEqual(layer.kernel, exact)
            kept = {path for path, layer in both[1].items() if layer.kernel.dtype == "float32"}
            ends = ("network/above", "network/row_above", "network/left", "network/last")
            self.assertEqual(kept, {*ends, "embedding/first"})

    def test_likelihoods_are_near(self):
        self.enter_context(helpers.eagerly())
        for policy, tolerance in zip(POLICIES, (2e-2, 3e-3)):
            for centered in (False, True):
                model, factor, mixed = factors(policy, centered)
                pair = model.inputs(helpers.pictures(3))["image"]
                bits = -np.mean(factor.log_prob(pair)) / np.log(2) / pair.images[0].size
                loss = mixed.compute_loss(pair, pair.images, mixed(pair))
                self.assertAllClose(loss, bits, rtol=tolerance)

    def test_policies_that_a_factor_cannot_have(self):
        """A factor, which draws, is in float32 or float64; one of whole numbers is in float32."""
        with self.assertRaisesRegex(ValueError, "dtype of 'float32', 'float64'.*mixed_bfloat16"):
            helpers.tiny_model(dtype="mixed_bfloat16")
        rounded = pa.rounded(helpers.tiny_parallel())
        with self.assertRaisesRegex(ValueError, "dtype of the factor.*Received.*mixed_float16"):
            [*rounded.factors.values()][0].keras_model("mixed_float16")

    def test_training(self):
        """Both policies come close to float32 from the same first weights; averages are float32."""
        self.enter_context(helpers.eagerly())
        settings = Training(
            epochs=1, steps_per_epoch=3, batch_size=8, learning_rate=2e-3, decay=0.99
        )
        images, validation_images = helpers.images(10), helpers.images(5)
        bits = {}
        for policy in (None, *POLICIES):
            mixed = dataclasses.replace(settings, mixed_precision=policy is not None)
            with mock.patch.object(devices, "mixed_policy", lambda policy=policy: policy):
                folder = helpers.temporary_folder(self)
                model = helpers.tiny_model()
                average = helpers.train(model, "image", images, validation_images, mixed, folder)
                self.assertEqual({x.dtype for x in average.weights.values()}, {np.dtype("float32")})
                pair = helpers.shared_model().inputs(helpers.pictures(5))["image"]
                bits[policy] = -np.mean(average.log_prob(pair)) / np.log(2) / np.size(pair[0][0])
        for policy in POLICIES:
            self.assertAllClose(bits[policy], bits[None], atol=0.02)

    def state(self, model, folder, policy=None):
        settings = Training(epochs=1, steps_per_epoch=1, batch_size=8, learning_rate=1e-3)
        config = helpers.run_config(model, folder)
        return TrainingState(config, "grayscale", settings, policy)

    def test_losses_are_scaled_in_float16_alone(self):
        self.enter_context(helpers.eagerly())
        for policy, scaled in (("mixed_float16", True), ("mixed_bfloat16", False)):
            folder = helpers.temporary_folder(self)
            state = self.state(helpers.shared_model(), folder, policy)
            self.assertEqual(state.keras_model.dtype_policy.name, policy)
            self.assertEqual(state.average.dtype, "float32")
            is_scaled = isinstance(state.optimizer, keras.optimizers.LossScaleOptimizer)
            self.assertEqual(is_scaled, scaled)

    def test_the_scale_of_the_loss_is_gone_on_with(self):
        self.enter_context(helpers.eagerly())
        folder = helpers.temporary_folder(self)
        RunFolder(folder)["grayscale"].checkpoints.mkdir(parents=True)
        begun = self.state(helpers.shared_model(), folder, "mixed_float16")
        begun.optimizer.dynamic_scale.assign(1024.0)
        begun.save()
        state = self.state(helpers.shared_model(), folder, "mixed_float16")
        self.assertEqual(state.optimizer.dynamic_scale.numpy(), 1024.0)

    def test_which_processors_are_fast_in_bfloat16(self):
        self.enter_context(mock.patch.object(devices, "_capabilities_of_gpus", list))
        cpuinfo = helpers.temporary_folder(self) / "cpuinfo"
        intel = "vendor_id\t: GenuineIntel\nflags\t\t: "
        amd = "vendor_id\t: AuthenticAMD\nflags\t\t: "
        for text, fast in (
            (f"{intel}fpu avx512f avx512_bf16\n", False),
            (f"{intel}fpu avx512f avx512_bf16 amx_bf16 amx_tile\n", True),
            (f"{amd}fpu avx512f avx512_bf16\n", True),
            (f"{amd}fpu avx2\n", False),
        ):
            cpuinfo.write_text(text)
            with mock.patch.object(machine, "CPUINFO", cpuinfo):
                self.assertEqual(devices.is_mixed_faster(), fast, text)
        with mock.patch.object(machine, "CPUINFO", cpuinfo.with_name("none")):
            self.assertFalse(devices.is_mixed_faster())

    def test_a_run_goes_on_in_the_policy_that_it_was_begun_with(self):
        config = helpers.run_config(in_float32(True), self.folder / "image")
        self.assertIsNone(devices.policy_of(config, "image", False))
        self.assertEqual(devices.policy_of(config, "image", True), devices.mixed_policy())
        for policy in POLICIES:
            run = helpers.run_config(in_float32(True), self.folder / policy)
            run.folder["image"].record_training({"policy": policy})
            self.assertEqual(devices.policy_of(run, "image", True), policy)
        config.folder["image"].record_training({"policy": "float8"})
        with self.assertRaisesRegex(ValueError, "Expected policy .*image/training.json.*float8"):
            devices.policy_of(config, "image", True)

    def test_on_gpus_it_has_to_be_asked_for(self):
        """Slow processors give a warning, GPUs none."""
        fast = self.enter_context(mock.patch.object(machine, "is_fast_in_bfloat16"))
        for is_fast, capabilities, expected in (
            (False, [(7, 5)], "mixed_float16"),
            (False, [(8, 0)], "mixed_bfloat16"),
            (True, [(9, 0), (7, 0)], "mixed_float16"),
            (True, [], "mixed_bfloat16"),
        ):
            fast.return_value = is_fast
            with mock.patch.object(devices, "_capabilities_of_gpus", capabilities.copy):
                self.assertEqual(devices.is_mixed_faster(), is_fast and not capabilities)
                with self.assertNoLogs("absl", "WARNING"):
                    self.assertEqual(devices.mixed_policy(), expected)
        fast.return_value = False
        with (
            mock.patch.object(devices, "_capabilities_of_gpus", list),
            self.assertLogs("absl", "WARNING") as logged,
        ):
            self.assertEqual(devices.mixed_policy(), "mixed_bfloat16")
        self.assertRegex(logged.output[0], "Expected a processor that is fast in bfloat16")

    def test_what_jax_says_of_gpus(self):
        """AMD GPUs report a name instead of a number, other accelerators nothing."""
        for attributes, expected in (
            ({"compute_capability": "7.5"}, "mixed_float16"),
            ({"compute_capability": "gfx90a"}, "mixed_bfloat16"),
            ({}, "mixed_bfloat16"),
        ):
            jax = mock.Mock()
            jax.devices.return_value = [types.SimpleNamespace(platform="gpu", **attributes)]
            with mock.patch.object(backend, "NAME", "jax"), mock.patch.dict(sys.modules, jax=jax):
                self.assertEqual(devices.mixed_policy(), expected)
