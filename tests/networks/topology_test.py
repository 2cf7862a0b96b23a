"""Tests of the topologies against the paper's counting, and of small ones worked out by hand."""

import tensorflow as tf

from pixelcnn_aux.networks.topology import Step, Topology, flat, pixelcnn_pp, super_resolution


def count(topology, *kinds):
    return sum(step.kind in kinds for step in topology.steps)


class TopologyTest(tf.test.TestCase):
    def test_residual_blocks_of_the_paper(self):
        # Section 4.1 counts the four resamplings among them.
        self.assertEqual(count(pixelcnn_pp(5, 3), "block", "down", "up"), 36)
        self.assertEqual(count(pixelcnn_pp(3, 3), "block", "down", "up"), 24)
        # Section 4.2.
        self.assertEqual(count(super_resolution(3, 2), "block"), 15)

    def test_pixelcnn_pp_by_hand(self):
        steps = (
            Step("block"),  # 1, from the first convolution, activation 0
            Step("down"),  # 2
            Step("block"),  # 3
            Step("down"),  # 4
            Step("block"),  # 5, the turning point: nobody's skip
            Step("block", 4),  # 6
            Step("up"),  # 7
            Step("block", 3),  # 8
            Step("block", 2),  # 9
            Step("up"),  # 10
            Step("block", 1),  # 11
            Step("block", 0),  # 12
        )
        topology = pixelcnn_pp(1, 3)
        self.assertEqual(topology, Topology(steps, outputs=(12, 9, 6)))
        self.assertEqual(topology.levels(), [0, 0, 1, 1, 2, 2, 2, 1, 1, 1, 0, 0, 0])

    def test_super_resolution_by_hand(self):
        steps = (
            *[Step("block")] * 2,  # 1, 2
            Step("down"),  # 3: nobody's skip, unlike PixelCNN++'s
            *[Step("block")] * 2,  # 4, 5
            *(Step("block", 5), Step("block", 4)),  # 6, 7
            Step("up"),  # 8
            *(Step("block", 2), Step("block", 1)),  # 9, 10
            Step("up"),  # 11
            *[Step("block")] * 2,  # 12, 13
            Step("conv"),  # 14
        )
        self.assertEqual(super_resolution(2, 2), Topology(steps, outputs=(14,)))
        self.assertEqual(
            super_resolution(2, 2, resolutions=3), Topology(steps, outputs=(14, 10, 7))
        )
        with self.assertRaisesRegex(ValueError, "resolutions from 1 to 3.*Received: resolutions=4"):
            super_resolution(2, 2, resolutions=4)

    def test_levels(self):
        levels = [0] * 4 + [1] * 7 + [0] * 4 + [-1] * 5  # ends at twice the resolution
        self.assertEqual(super_resolution(3, 2).levels(), levels)
        self.assertEqual(super_resolution(3, 2).outputs, (19,))
        self.assertEqual(flat(3), Topology((Step("block"),) * 3, outputs=(3,)))
        self.assertEqual(flat(3).levels(), [0, 0, 0, 0])
