"""Checks that JAX trains the same weights on one device, on four, and on two hosts of two devices.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 KERAS_BACKEND=jax \\
        python -m tests.backends.devices FOLDER

Devices are virtual: threads of one processor.
"""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import keras
import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import data, training
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import devices, metrics
from tests.backends.agree import CHECK, IMAGES, NAME, Interrupted, noisy

SMALL = np.tile(IMAGES[:, :4, :4], (3, 1, 1, 1))
FEW = {"epochs": 2, "accumulate": 1}
COUNT = "--xla_force_host_platform_device_count"


def train(folder, images=None, strategy=None, **changes):
    """20 steps with dropout: the weights, and the loss of each epoch of four steps."""
    settings = {"epochs": 5, "steps_per_epoch": 4, "batch_size": 8, "learning_rate": 1e-2}
    settings = training.Training(**settings | {"muon_ratio": 1.0, "accumulate": 2} | changes)
    model, start = noisy(), time.perf_counter()
    images, validation = images or data.Images(SMALL), data.Images(SMALL)
    pa.train(model, settings, images, validation, folder, strategy=strategy)
    print(f"{folder.name}: {time.perf_counter() - start:.1f} s", flush=True)
    return np.concatenate([np.ravel(x) for x in model.factors[NAME].weights.values()]), losses(
        folder
    )


def losses(folder):
    return [row["bits_per_dim"] for row in metrics.read(RunFolder(folder)[NAME].metrics)]


def compare(what, received, expected):
    for name, x, y in zip(("weights", "losses"), received, expected):
        print(f"{what}: {name} differ by {np.abs(np.subtract(x, y)).max():.1e}", flush=True)
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


def check_devices(folder):
    assert jax.device_count() == 4
    assert isinstance(training.default_strategy(), keras.distribution.DataParallel)
    one = train(folder / "one", strategy=keras.distribution.DataParallel(devices=["cpu:0"]))
    four = train(folder / "four")
    compare("four devices and one", four, one)
    with contextlib.suppress(KeyboardInterrupt):
        train(folder / "stopped", Interrupted(SMALL))
    stopped = train(folder / "stopped")
    np.testing.assert_array_equal(stopped[0], four[0])
    print("a run that is stopped on four devices: the same weights", flush=True)
    with CHECK.assertRaisesRegex(ValueError, "a multiple of 8: 4 devices times 2"):
        train(folder / "uneven", batch_size=12)
    with CHECK.assertRaisesRegex(ValueError, "DataParallel.*strategy='mirrored'"):
        train(folder / "mirrored", strategy="mirrored")
    os.environ["TF_CONFIG"] = "{}"
    with CHECK.assertRaisesRegex(ValueError, "^Expected no TF_CONFIG under JAX"):
        training.default_strategy()
    del os.environ["TF_CONFIG"]


def check_hosts(folder):
    """Two processes. Micro-batches would be of other images, and so would the masks of dropout."""
    alone = train(folder / "alone", **FEW)
    with socket.create_server(("localhost", 0)) as opened:
        address = f"localhost:{opened.getsockname()[1]}"
    flags = os.environ["XLA_FLAGS"].replace(f"{COUNT}=4", f"{COUNT}=2")
    command = [sys.executable, "-m", "tests.backends.devices", str(folder)]
    hosts = [
        subprocess.Popen([*command, address, str(index)], env={**os.environ, "XLA_FLAGS": flags})
        for index in range(2)
    ]
    assert not any([host.wait(300) for host in hosts])
    for index in range(2):
        weights = np.load(folder / f"host-{index}.npy")
        compare(f"host {index} of two and one host", (weights, losses(folder / "hosts")), alone)


def run_host(folder, address, index):
    keras.distribution.initialize(address, num_processes=2, process_id=int(index))
    hosts = devices.Hosts()
    assert (hosts.num, hosts.num_replicas, hosts.chief) == (2, 4, index == "0")
    with CHECK.assertRaisesRegex(ValueError, "^Expected as many devices of each of 2 hosts"):
        devices.Hosts(keras.distribution.DataParallel(devices=jax.local_devices()))
    with CHECK.assertRaisesRegex(ValueError, "^Expected hosts with the same settings"):
        hosts.check_agree(seed=index)
    weights, _ = train(folder / "hosts", **FEW)
    np.save(folder / f"host-{index}.npy", weights)


if __name__ == "__main__":
    where, *host = sys.argv[1:]
    if host:
        run_host(pathlib.Path(where), *host)
    else:
        check_devices(pathlib.Path(where))
        check_hosts(pathlib.Path(where))
