"""Tests of what is known of the machine."""

import os
import sys
from unittest import mock

import tensorflow as tf

from pixelcnn_aux.base import machine
from tests import helpers


class DescribeTest(helpers.TestCase):
    def test_the_processor_and_versions(self):
        cpuinfo = helpers.temporary_folder(self) / "cpuinfo"
        cpuinfo.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 amx_tile avx_vnni\n")
        with (
            mock.patch.object(machine, "CPUINFO", cpuinfo),
            mock.patch.object(machine, "_PACKAGES", ("tensorflow", "no_such_package")),
            mock.patch.dict(os.environ, {"XLA_FLAGS": "a", "PATH": "/bin"}, clear=True),
        ):
            found = machine.describe()
        expected = {"processor": "Some CPU", "instructions": "avx2 avx_vnni amx_tile"}
        expected |= {"threads": os.cpu_count(), "gpus": mock.ANY, "settings": "XLA_FLAGS=a"}
        self.assertEqual(found, {**expected, "tensorflow": tf.__version__, "no_such_package": None})

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
