"""Tests of what several hosts compare before they train."""

import os
from unittest import mock

import numpy as np
import tensorflow as tf

from pixelcnn_aux import backend, training
from pixelcnn_aux.training.devices import Hosts


def errors(of_hosts):
    """What each host raises, a str, or None: dicts that they compare, one of each host."""
    hosts, rows = Hosts(), []
    hosts.num = len(of_hosts)

    def compare(gathered, here):
        with mock.patch.object(hosts, "_gather", gathered):
            try:
                hosts.check_agree(**here)
            except ValueError as error:
                return str(error)

    for here in of_hosts:
        compare(lambda row: rows.append(row) or np.array([row]), here)
    return [compare(lambda _: np.array(rows), here) for here in of_hosts]


class AgreeTest(tf.test.TestCase):
    def test_hosts_that_agree(self):
        here = {"step": 100, "model": {"filters": [4, 4], "exact": True}}
        self.assertEqual(errors([here] * 3), [None] * 3)

    def test_every_host_says_what_differs(self):
        """The middle one too, whose step is the mean of all."""
        found = errors([{"step": step, "policy": None} for step in (100, 200, 300)])
        for step, error in zip((100, 200, 300), found):
            self.assertRegex(error, f"hosts that differ, here with step={step}. Start all")

    def test_one_host_alone_compares_nothing(self):
        with mock.patch.object(Hosts, "_gather", side_effect=AssertionError):
            Hosts().check_agree(step=0)


class DefaultTest(tf.test.TestCase):
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

    def test_jax_refuses_several_hosts(self):
        """Each of them would train the whole run."""
        with mock.patch.object(backend, "NAME", "jax"), mock.patch.dict(os.environ):
            os.environ.pop("TF_CONFIG", None)
            self.assertIsNone(training.default_strategy())
            os.environ["TF_CONFIG"] = "{}"
            with self.assertRaisesRegex(ValueError, "Expected one host.*Received: a TF_CONFIG"):
                training.default_strategy()
