"""Tests of what arguments may be: everything else is refused by name, before anything is allocated."""

import functools
import json
import math
from unittest import mock

import keras
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import layers
from pixelcnn_aux.networks import topology
from pixelcnn_aux.sums import FixedSum
from tests import helpers

FLAT = {"topology": topology.flat(1), "filters": 2}
# What JSON can hold, and Python can pass, in the place of a whole number from 1 on.
NO_COUNTS = (0, -1, True, None, "4", [4], {}, 4.0, math.nan, math.inf, 1e30, 10**30, 10**5000)
NO_NUMBERS = (True, None, "0.5", [0.5], math.nan, math.inf, -math.inf, -1, 10**400)
NO_FLAGS = (0, 1, None, "True", [True])


def nothing_is_allocated():
    return mock.patch.object(keras.layers.Layer, "add_weight", side_effect=AssertionError)


class ConstructorsTest(helpers.TestCase):
    """No constructor makes a weight of arguments that are out of range; each names the one that is."""

    def setUp(self):
        super().setUp()
        self.enter_context(nothing_is_allocated())

    def assertRefuses(self, construct, name, values):
        for value in values:
            with self.assertRaisesRegex(ValueError, rf"Expected .*{name}.*Received: .*"):
                construct(**{name.rpartition(" ")[2]: value})

    def test_counts(self):
        shape, partial = topology.flat(1), functools.partial
        block = partial(layers.GatedResidualBlock, kernel_size=(3, 3), stream="vertical")
        for construct, names in (
            (pa.auxiliary.Grayscale, "bits"),
            (pa.likelihoods.LogisticMixture, "num_components"),
            (partial(pa.likelihoods.LogisticMixture, 1), "num_channels num_values"),
            (pa.likelihoods.Categorical, "num_values num_channels"),
            (partial(FixedSum, [[1]], step=4), "step num_values"),
            (topology.flat, "blocks"),
            (partial(topology.pixelcnn_pp, blocks=1, resolutions=1), "blocks resolutions"),
            (partial(topology.super_resolution, blocks=1, depth=1), "blocks depth"),
            (layers.WeightNormDense, "filters"),
            (partial(layers.WeightNormConv2D, 2, (3, 3)), "strides"),
            (block, "filters"),
            (partial(pa.networks.PixelCNN, shape, filters=2, num_params=2), "filters num_params"),
            (partial(pa.networks.Embedding, shape), "filters"),
            (pa.pixelcnn_pp, "filters blocks resolutions num_components"),
            (pa.grayscale, "gray_blocks image_blocks embedding_blocks bits"),
            (pa.pyramid, "blocks embedding_blocks depth filters"),
            (pa.grayscale_pyramid, "image_filters image_blocks image_embedding_blocks resolutions"),
        ):
            for name in names.split():
                self.assertRefuses(construct, name, NO_COUNTS)

    def test_rates_flags_and_sizes(self):
        network = functools.partial(pa.networks.PixelCNN, topology.flat(1), 2, 2)
        for name in ("vertical_kernel", "horizontal_kernel"):
            self.assertRefuses(network, name, ([0, 3], [3], 3, [3, "3"], [3, 10**6]))
        for construct in (network, functools.partial(pa.networks.Embedding, topology.flat(1), 2)):
            self.assertRefuses(construct, "dropout", (*NO_NUMBERS, 1))
        block = functools.partial(layers.ResidualBlock, 3, (3, 3), "vertical")
        self.assertRefuses(block, "dropout", (*NO_NUMBERS, 1))
        dense = functools.partial(layers.WeightNormDense, 3)
        self.assertRefuses(dense, "init_scale", (*NO_NUMBERS, 0))
        mixture = pa.likelihoods.LogisticMixture
        self.assertRefuses(mixture, "unit", (*NO_NUMBERS, 0, 257))
        self.assertRefuses(mixture, "centered", NO_FLAGS)
        fixed_sum = functools.partial(FixedSum, [[1]], 4)
        self.assertRefuses(fixed_sum, "spread", (*NO_NUMBERS, 0, 257))
        self.assertRefuses(fixed_sum, "exact", NO_FLAGS)
        self.assertRefuses(fixed_sum, "first", (True, None, "0", 0.0, math.nan, 10**10))
        for weights in ([["a"]], [[True]], [[math.nan]], [[math.inf]], [[1], [1, 2]], [[10**30]]):
            self.assertRefuses(functools.partial(FixedSum, step=4), "weights", [weights])
        chain = functools.partial(pa.chain, [], network=FLAT, embedding=None)
        self.assertRefuses(chain, "image_size", ([0, 4], [4, 10**6], 4, [4.0, 4.0], "44"))
        chain = functools.partial(chain, image_size=(4, 4))
        self.assertRefuses(chain, "exact", NO_FLAGS)
        self.assertRefuses(chain, "centered", NO_FLAGS)
        self.assertRefuses(chain, "dtype", ("float", 32, "int8", "float16"))
        self.assertRefuses(chain, "network", (3, "flat", [3], [FLAT, FLAT]))
        self.assertRefuses(pa.pyramid, "base_size", ([0, 8], 8, [8.0, 8.0], None))

    def test_topologies(self):
        for wrong, message in (
            (3, "a topology"),
            ([[["block", None]], [1], []], "a topology"),
            ([[], [0]], "steps, at most 2,048"),
            ([[["block", None]] * 2049, [1]], "steps, at most 2,048"),
            ([[["block", None, 0]], [1]], r"step 1, \[kind, skip\]"),
            ([[["conv2d", None]], [1]], "kind of step 1 of 'block', 'down', 'up', 'conv'"),
            ([[["block", None], ["block", 2]], [1]], "skip of step 2 from 0 to 1"),
            ([[["block", False]], [1]], "skip of step 1 from 0 to 0"),
            ([[["conv", 0]], [1]], "step 1, 'conv', without a skip"),
            ([[["down"], ["block", 0], ["up"]], [3]], "skip of step 2 from an activation of its"),
            ([[["block"]], []], "outputs, one for each"),
            ([[["block"]], [2]], "an output from 0 to 1"),
            ([[["down"]] * 9 + [["up"]] * 9, [18]], "resolution at most 8 times.*does 9"),
            ([[["up"], ["down"]], [2]], "from the image's resolution.*1.0, 0.5, 1.0"),
        ):
            with self.assertRaisesRegex(ValueError, f"Expected .*{message}"):
                pa.networks.PixelCNN(wrong, 2, 2)
        lists = json.loads(json.dumps(topology.pixelcnn_pp(1, 2)))
        self.assertEqual(topology.Topology.make(lists), topology.pixelcnn_pp(1, 2))

    def test_parts_of_a_factor(self):
        network = pa.networks.PixelCNN(**FLAT, num_params=16)
        grays = pa.likelihoods.Categorical(16)
        for parts, name in (
            ({"likelihood": 3}, "likelihood"),
            ({"network": grays}, "network"),
            ({"embedding": network, "auxiliary_likelihood": grays}, "embedding"),
            ({"auxiliary_likelihood": network}, "auxiliary_likelihood"),
            ({"fixed_sum": 3}, "fixed_sum"),
        ):
            with self.assertRaisesRegex(ValueError, f"Expected {name} of class"):
                pa.Factor(**{"likelihood": grays, "network": network, **parts})
        for attribute in ("num_channels", "num_values", "num_params", "noise_size"):
            own = type("Own", (pa.likelihoods.Categorical,), {})(16)
            setattr(own, attribute, 0)
            with self.assertRaisesRegex(ValueError, f"Expected Own.{attribute} from"):
                pa.Factor(own, network)


class CeilingTest(helpers.TestCase):
    """How many parameters a factor has is known before there is any, and has a ceiling."""

    def test_parameters_are_counted_without_weights(self):
        hourglass = {**FLAT, "topology": topology.pixelcnn_pp(1, 2)}
        doubling = {**FLAT, "topology": topology.super_resolution(1, 1), "kernel_size": (3, 5)}
        transforms = [pa.auxiliary.Grayscale(), pa.auxiliary.HalfResolution()]
        networks, embeddings = [FLAT, FLAT, hourglass], [None, doubling, hourglass]
        how = {"embedding": embeddings, "names": ["a", "b", "c"], "num_components": 2}
        model = pa.chain(transforms, (4, 4), networks, **how)
        with nothing_is_allocated():
            for factor in model.factors.values():
                planned = pa.Factor.described(factor.description())
                count = sum(x.size for x in factor.weights.values())
                self.assertEqual(planned.num_parameters, count)

    def test_ten_times_the_paper_and_what_no_machine_has_memory_for(self):
        pa.pixelcnn_pp(filters=1600, blocks=5)
        most = "'image' with at most 10,000,000,000 parameters"
        with nothing_is_allocated(), self.assertRaisesRegex(ValueError, most):
            pa.pixelcnn_pp(filters=2048, blocks=7)


class DescriptionsTest(helpers.TestCase):
    """The same of a run's description, which anybody may have written."""

    def setUp(self):
        super().setUp()
        helpers.make_run(self.folder, helpers.shared_model(), ["grayscale"])
        self.text = (self.folder / "config.json").read_text()

    @parameterized.parameters(
        (
            0,
            "network",
            "filters",
            (2049, 10**30, 0, True, "4", 4.5, None, [4]),
            "filters from 1 to",
        ),
        (0, "network", "num_params", (2 * 10**6, 0), "num_params from 1 to"),
        (0, "likelihood", "num_values", (257, 10**9, 1), "num_values from 2 to"),
        (1, "embedding", "filters", (10**6,), "filters from 1 to"),
        (1, "likelihood", "num_components", (10**7, 0), "num_components from 1 to"),
        # More parameters than there are weights.
        (0, "network", "filters", (2000,), "grayscale/average.safetensors.*another factor"),
    )
    def test_sizes(self, factor, part, name, values, message):
        for value in values:
            config = json.loads(self.text)
            config["model"]["config"]["factors"][factor]["config"][part]["config"][name] = value
            (self.folder / "config.json").write_text(json.dumps(config))
            with nothing_is_allocated(), self.assertRaisesRegex(ValueError, message) as caught:
                pa.load(self.folder)
            self.assertIn(str(self.folder), str(caught.exception))
