"""Tests of groups of pixels: likelihoods, draws, tiles, and images of any size."""

import functools
from unittest import mock

import numpy as np
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import batches, sampling
from pixelcnn_aux.networks import ParallelPixelCNN, topology
from pixelcnn_aux.scanning.requests import DrawRequest
from tests import helpers

HALVES = pa.auxiliary.HalfResolution()
PARTS = {"at_once": (1, 1, 1, 1), "on_a_chessboard": (2, 1, 3, 1)}
# Images cut into three rows and columns of tiles: their size, and the side of the largest tile.
CUT = {PARTS["at_once"]: ((55, 56), 54), PARTS["on_a_chessboard"]: ((85, 86), 84)}
each_parts = parameterized.named_parameters(*PARTS.items())


def build(parts, size, **how):
    """A chain of two resolutions; the larger one is decided in groups."""

    def parallel(num_params):
        return ParallelPixelCNN([1, 1, 2, 1], 4, num_params, parts=parts)

    first = {"topology": topology.flat(1), "filters": 4}
    embedding = {**first, "gated": False}
    model = pa.chain(
        [HALVES], size, [first, parallel], embedding=[None, embedding], num_components=2, **how
    )
    return helpers.randomized(model)


class ParallelTest(helpers.TestCase):
    def cut(self, factor, parts):
        """Cuts images into tiles, one of them with neighbors on all sides."""
        size, side = CUT[parts]
        self.enter_context(mock.patch.object(batches, "MAX_TILE_PIXELS", side**2))
        self.assertEqual([len(row) for row in batches.tiles(factor, size)], [3, 3, 3])

    @parameterized.product(parts=list(PARTS.values()), size=[(2, 4), (1, 7), (3, 3), (1, 1)])
    def test_probabilities_of_all_images_sum_to_one(self, parts, size):
        model = build(parts, size, channels=1, bits=2 if np.prod(size) < 9 else 1, dtype="float64")
        images = helpers.all_images(model.likelihood.num_values, *size, 1)
        self.assertAllClose(np.sum(np.exp(model.log_prob(images))), 1.0, rtol=1e-9)

    @parameterized.parameters((1, 2), (3, 2), (1, 6))
    def test_probabilities_of_a_base_sum_to_one(self, *size):
        how = {"base_parts": 3, "channels": 1, "bits": 1, "dtype": "float64"}
        base = helpers.tiny_parallel(**how).factors["half"]
        nats = base.log_prob(helpers.all_images(2, *size, 1))
        self.assertAllClose(np.sum(np.exp(nats)), 1.0, rtol=1e-9)
        self.assertGreater(np.std(nats), 0.01)

    def test_images_of_any_size(self):
        model = helpers.tiny_parallel(halvings=2, base_parts=3)
        seeds = [[0, 0], [0, 1]]
        drawn = model.sample(seeds, image_size=(5, 3))
        self.assertEqual(drawn["image"].shape, (2, 5, 3, 3))
        for name, image in model.auxiliaries(drawn["image"]).items():
            self.assertAllEqual(image, drawn[name])
        self.assertAllInRange(model.log_prob(drawn["image"]), -1e4, 0.0)
        double = model.enlarge(drawn["image"], seeds=seeds)
        self.assertAllEqual(HALVES(double), drawn["image"])
        mask = np.arange(30).reshape(2, 5, 3, 1) % 2
        completed = model.complete(drawn["image"], mask.astype(np.uint8))
        self.assertAllEqual(mask * completed, mask * drawn["image"])
        given = {"half": drawn["half"]}
        self.assertEqual(model.sample(seeds, given=given)["image"].shape, (2, 6, 4, 3))
        self.assertEqual(model.sizes((4000, 6001))["half"], (2000, 3001))
        self.assertIsNone(pa.AuxiliaryModel.from_config(model.get_config()).image_size)
        network = {"blocks": 1, "filters": 4, "num_params": 10}
        for ask, message in (
            (lambda: model.sample(seeds), "Expected image_size"),
            (lambda: model.with_image_size(None), "Expected image_size"),
            (lambda: model.sizes((2**14, 2**12 + 1)), "from 1, of at most 67,108,864 pixels. Rec"),
            (lambda: pa.codec.Codec(model), "floats in quarter, half, image"),
            (lambda: ParallelPixelCNN(**network, parts=(1, 1, 1)), "each place.*Received: 3"),
            (lambda: ParallelPixelCNN(**network, parts=(1, 1, 0, 1)), "1 to 16.*: parts=0"),
            (lambda: ParallelPixelCNN(**{**network, "blocks": [1, 2]}), "4, one for each place"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                ask()

    def test_one_graph_evaluates_images_of_all_sizes(self):
        model = helpers.tiny_parallel(base_parts=None)
        factor, found = model.factors["image"], []
        much = mock.patch.object(batches, "GRAPH_BREAK_EVEN", 0)
        nats = pa.Factor._nats
        with much, mock.patch.object(pa.Factor, "_nats", autospec=True, side_effect=nats) as traces:
            for size in ((6, 4), (8, 10), (2, 2)):
                inputs = model.inputs(helpers.pictures(2, size=size))["image"]
                found.append((inputs, factor.log_prob(inputs)))
            self.assertEqual(traces.call_count, 1)
            factor.log_prob(model.inputs(helpers.pictures(2, size=(5, 4)))["image"])
            self.assertEqual(traces.call_count, 2)  # incomplete blocks
        for inputs, nats in found:
            self.assertAllClose(nats, factor.log_prob(inputs), rtol=1e-5)  # in NumPy

    @each_parts
    def test_tiles_of_an_image_are_as_in_the_whole_image(self, parts):
        size, _ = CUT[parts]
        model = build(parts, size)
        factor = model.factors["image"]
        inputs = model.inputs(helpers.pictures(1, size=size))["image"]
        evaluated = (batches.NUMPY, pa.Factor.batch_bound_and_exact, factor)
        methods = factor.pixel_log_prob, functools.partial(batches.sum_tiles, *evaluated)
        whole = [method(inputs) for method in methods]
        self.cut(factor, parts)
        in_tiles = [method(inputs) for method in methods]
        self.assertAllEqual(in_tiles[0], whole[0])
        for one, other in zip(in_tiles[1:], whole[1:]):
            self.assertAllClose(one, other, rtol=1e-6)
        if parts == PARTS["at_once"]:  # smaller than the receptive field
            with mock.patch.object(factor.definitions["network"], "radius", 3):
                self.assertNotAllEqual(factor.pixel_log_prob(inputs), whole[0])

    @each_parts
    def test_draws_in_tiles_are_as_in_the_whole_image(self, parts):
        size, _ = CUT[parts]
        factor = build(parts, size, dtype="float64").factors["image"]
        auxiliary = helpers.pictures(2, size=HALVES.size(size))
        seeds, shifts = np.array([[0, 1], [5, 6]], np.int32), np.array([0.0, -0.5], np.float32)
        noise = sampling.Noise(factor, seeds, 1, size)
        self.assertAllEqual(noise[:, 13:27, 3:], noise[:, :, :][:, 13:27, 3:])
        request = DrawRequest(log_scale_shift=shifts, size=size, auxiliary=auxiliary, noise=noise)
        in_one = factor.draw(request)
        by_graphs = factor.draw(request._replace(by="graph"))
        self.cut(factor, parts)
        in_tiles = factor.draw(request)
        self.assertAllEqual(in_one, by_graphs)
        self.assertAllEqual(in_tiles, by_graphs)
