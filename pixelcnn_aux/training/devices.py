"""Devices, hosts and numeric precision of training.

TensorFlow's strategies do the work, or `keras.distribution.DataParallel` under JAX. Each host reads its own
rows of a batch, and only the chief writes files.
"""

import collections
import json
import os
import zlib
from typing import Any

import keras
import numpy as np
from absl import logging

from pixelcnn_aux.base import arguments, backend, machine
from pixelcnn_aux.base.errors import expect, restated

if backend.NAME == "tensorflow":
    import tensorflow as tf
else:
    import jax
    from jax.experimental import multihost_utils


def default_strategy() -> Any:
    """Returns a `tf.distribute.Strategy` over all devices, and all hosts of the environment's `TF_CONFIG`.

    With several hosts, call it before any other TensorFlow operation. Under JAX, returns a
    `keras.distribution.DataParallel` over all devices of the hosts that `keras.distribution.initialize` or
    `jax.distributed.initialize` connected; None for a single device. Raises ValueError for an invalid
    `TF_CONFIG`, and under JAX for any: each of its hosts would train the whole run.
    """
    several_hosts = os.environ.get("TF_CONFIG")
    if backend.NAME != "tensorflow":
        remedy = "Unset it, and call keras.distribution.initialize() on each host, as in a --plugin"
        expect(not several_hosts, "no TF_CONFIG under JAX", "one", remedy)
        return keras.distribution.DataParallel() if jax.device_count() > 1 else None
    if several_hosts:
        expected = "a TF_CONFIG of hosts that include this one"
        received = arguments.short_repr(several_hosts)
        remedy = "Correct it, or unset it to train on this host alone"
        with restated(expected, received, remedy, ValueError, TypeError, AttributeError):
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class Hosts:
    """The `num` hosts of a strategy and their replicas; `chief` is True on the chief."""

    def __init__(self, strategy=None):
        if strategy is None:
            strategy = default_strategy()
        elif backend.NAME == "tensorflow":
            arguments.instance("strategy", strategy, tf.distribute.Strategy)
        else:
            arguments.instance("strategy", strategy, keras.distribution.DataParallel)
        self.strategy = strategy
        (self._init_tensorflow if backend.NAME == "tensorflow" else self._init_jax)()
        self.chief = self._position == 0

    def _init_tensorflow(self):
        self.num_replicas = self.strategy.num_replicas_in_sync
        resolver = getattr(self.strategy, "cluster_resolver", None)
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        workers = [(x, k) for x in ("chief", "worker") for k in range(len(spec.get(x, ())))]
        self.num = max(1, len(workers))
        self._position = 0
        if self.num > 1:
            self._position = workers.index((resolver.task_type, resolver.task_id))

    def _init_jax(self):
        self.num, self._position = jax.process_count(), jax.process_index()
        mesh = self.strategy and self.strategy.device_mesh.backend_mesh
        devices = mesh.devices.ravel() if mesh else [None]
        self.num_replicas = len(devices)
        if self.num > 1:
            counts = collections.Counter(device.process_index for device in devices)
            fits = len(counts) == self.num and len({*counts.values()}) == 1
            expected = f"as many devices of each of {self.num} hosts in a strategy"
            remedy = "Leave the strategy out, and give each host as many devices"
            expect(fits, expected, f"{dict(counts)} by host", remedy)

    def rows(self, batch_size):
        """slice of the global batch that this host reads."""
        size = batch_size // self.num
        return slice(self._position * size, (self._position + 1) * size)

    def check_batch(self, training):
        """Raises ValueError unless the batch splits evenly over devices and micro-batches."""
        parts = self.num_replicas * training.accumulate
        expect(
            training.batch_size % parts == 0,
            f"a batch_size that is a multiple of {parts}: {self.num_replicas} devices times "
            f"{training.accumulate} micro-batches",
            f"batch_size={training.batch_size}",
            "Choose another --batch_size, a smaller --accumulate, or fewer devices (CUDA_VISIBLE_DEVICES)",
        )

    def check_agree(self, **values):
        """Raises ValueError on all hosts if any of their named values, as JSON, differ."""
        if self.num == 1:
            return
        checksums = [zlib.crc32(json.dumps(x, sort_keys=True).encode()) for x in values.values()]

        def gather():
            own = tf.constant([checksums], tf.int64)  # has a device, unlike an argument
            return [tf.distribute.get_replica_context().all_gather(own, axis=0)]

        if backend.NAME == "tensorflow":
            [gathered] = self._on_replicas(gather)  # [num_replicas, N]
        else:
            gathered = multihost_utils.process_allgather(np.array(checksums, np.uint32))  # [num, N]
        differing = [
            f"{name}={arguments.short_repr(x)}"
            for (name, x), column in zip(values.items(), gathered.T)
            if (column != column[0]).any()
        ]
        expect(
            not differing,
            "hosts with the same settings and workdir",
            f"hosts that differ, here with {', '.join(differing)}",
            "Start all of them by the same command, with --mixed_precision or --nomixed_precision where "
            "their processors differ, and a --workdir on a shared disk",
        )

    def from_chief(self, arrays):
        """Returns the chief's arrays on every host: each host's own may differ by rounding."""
        if self.num == 1:
            return arrays
        if backend.NAME != "tensorflow":
            return multihost_utils.broadcast_one_to_all(arrays)

        def first_only(*arrays):
            context = tf.distribute.get_replica_context()
            is_first = context.replica_id_in_sync_group == 0
            own = [tf.where(is_first, array, tf.zeros_like(array)) for array in arrays]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self._on_replicas(first_only, *arrays)

    def _on_replicas(self, function, *tensors):
        """Runs a function on every replica and returns the first one's results as arrays."""
        results = tf.function(lambda *tensors: self.strategy.run(function, tensors))(*tensors)
        return [self.strategy.experimental_local_results(x)[0].numpy() for x in results]


def mixed_policy():
    """This machine's policy: float16 on GPUs without bfloat16, else bfloat16, with a warning if slow."""
    capabilities = _capabilities_of_gpus()
    if any(capability and capability < (8, 0) for capability in capabilities):
        return "mixed_float16"
    if not capabilities and not machine.is_fast_in_bfloat16():
        logging.warning(
            "Expected a processor that is fast in bfloat16, for mixed precision. Received: an unknown one. "
            "It may be slower than float32: compare the first epochs of both."
        )
    return "mixed_bfloat16"


def policy_of(config, name, is_mixed):
    """The mixed-precision policy of a factor, recorded or new, if it `is_mixed`; or None."""
    folder = config.folder[name]
    if not is_mixed:
        return None
    policy = (folder.recorded_training() or {}).get("policy")
    if policy is None:
        return mixed_policy()
    return arguments.choice(f"policy in {folder.training}", policy, backend.POLICIES)


def is_mixed(folder, preset_default):
    """Whether to use mixed precision by default: as recorded, else if the preset asks or it is faster."""
    recorded = folder.recorded_training()
    if recorded is None:
        return preset_default or is_mixed_faster()
    return recorded.get("mixed_precision", False)


def is_mixed_faster():
    """Whether mixed precision is known to be faster here; measured only under TensorFlow on CPUs."""
    measured = backend.NAME == "tensorflow" and not _capabilities_of_gpus()
    return measured and machine.is_fast_in_bfloat16()


def _capabilities_of_gpus():
    """Compute capability of each accelerator: (major, minor), or None if unknown."""
    if backend.NAME == "tensorflow":
        details = tf.config.experimental.get_device_details
        gpus = tf.config.list_physical_devices("GPU")
        return [details(gpu).get("compute_capability") for gpu in gpus]
    import jax

    devices = [device for device in jax.devices() if device.platform != "cpu"]
    capabilities = [getattr(device, "compute_capability", None) for device in devices]
    # AMD GPUs report a name instead, such as "gfx90a".
    return [tuple(map(int, x.split("."))) if x and x[0].isdigit() else None for x in capabilities]
