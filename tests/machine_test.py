"""Tests of what is known of the machine."""

import importlib.metadata
import os
import sys
from unittest import mock

import keras
import tensorflow as tf

from pixelcnn_aux import machine
from tests import helpers


class DescribeTest(tf.test.TestCase):
    def test_the_processor(self):
        cpuinfo = helpers.temporary_folder(self) / "cpuinfo"
        cpuinfo.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 amx_tile avx_vnni\n")
        with mock.patch.object(machine, "CPUINFO", cpuinfo):
            found = machine.describe()
        self.assertEqual(found["processor"], "Some CPU")
        self.assertEqual(found["instructions"], "avx2 avx_vnni amx_tile")

    def test_gpus_once_tensorflow_is_imported(self):
        details = {"first": {"device_name": "Some GPU"}}
        with (
            mock.patch.object(tf.config, "list_physical_devices", {"GPU": ["first"]}.get),
            mock.patch.object(tf.config.experimental, "get_device_details", details.get),
        ):
            self.assertEqual(machine.describe()["gpus"], ["Some GPU"])
            with mock.patch.dict(sys.modules):
                del sys.modules["tensorflow"]
                self.assertEqual(machine.describe()["gpus"], [])

    def test_settings_by_which_a_processor_rounds_otherwise(self):
        for given, expected in (({"XLA_FLAGS": "a"}, "XLA_FLAGS=a"), ({"PATH": "/bin"}, "")):
            with mock.patch.dict(os.environ, given, clear=True):
                self.assertEqual(machine.describe()["settings"], expected)

    def test_versions(self):
        """Also of distributions of another name, such as tensorflow-cpu; None of what is not installed."""
        missing = importlib.metadata.PackageNotFoundError
        with (
            mock.patch.object(importlib.metadata, "version", side_effect=missing),
            mock.patch.object(machine, "_PACKAGES", ("tensorflow", "keras", "no_such_package")),
        ):
            found = machine.describe()
        versions = [found[name] for name in machine._PACKAGES[1:3]]
        self.assertEqual(versions, [tf.__version__, keras.__version__])
        self.assertIsNone(found["no_such_package"])
