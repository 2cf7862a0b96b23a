"""Tests of the chain: its text, new factors, subclasses and known blocks; see also agreement_test."""

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux import serialization
from pixelcnn_aux.auxiliary import HalfResolution
from tests import helpers


class AuxiliaryModelTest(helpers.TestCase):
    def test_a_new_factor_has_the_same_class_and_layers_and_weights_of_its_own(self):
        class Own(pa.Factor):
            pass

        shared = helpers.shared_model()
        first, second = shared.factors.values()
        own = Own.from_config(second.get_config())
        model = pa.AuxiliaryModel([first, own], shared.transforms, helpers.SIZE)
        # Two new ones: each test starts from the same random seed as that which drew `own`.
        new, other = model.new_factor("image"), model.new_factor("image", "float64")
        self.assertEqual((type(new), new.name), (Own, "image"))
        for weights in zip(new.weights, other.weights, own.weights, strict=True):
            self.assertEqual([weight.shape for weight in weights], [weights[0].shape] * 3)
        self.assertNotAllClose(new.get_weights()[0], other.get_weights()[0])
        self.assertEqual({weight.dtype for weight in other.weights}, {"float64"})
        with self.assertRaisesRegex(ValueError, r"\['grayscale', 'image'\]. Received: '8x8'"):
            model.new_factor("8x8")

    def test_a_subclass_keeps_its_own_arguments(self):
        @serialization.register(package="tests")
        class Own(pa.AuxiliaryModel):
            def __init__(self, *args, note="", **kwargs):
                super().__init__(*args, **kwargs)
                self.note = note

            def get_config(self):
                return {**super().get_config(), "note": self.note}

        shared = helpers.shared_model()
        factors = shared.factors.values()
        model = Own(factors, shared.transforms, shared.image_size, note="mine")
        copy = serialization.deserialize(model.description(), pa.AuxiliaryModel)
        for other in (copy, model.with_exact(True)):
            self.assertEqual((type(other), other.note), (Own, "mine"))

    def test_completion_of_a_pyramid_knows_the_blocks_that_are_known_whole(self):
        model = helpers.random_chain([HalfResolution()], (8, 16), exact=False, centered=False)
        images = helpers.pictures(3, size=(8, 16))
        mask = np.zeros([3, 8, 16, 1], np.uint8)
        mask[:, :3] = 1  # of the third row, no half-resolution pixel is known
        drawn = model.sample([[0, 1], [0, 2], [0, 3]], known=images, mask=mask)
        halves = model.auxiliaries(images)["x0"]
        self.assertAllEqual(drawn["x1"][:, :3], images[:, :3])
        self.assertAllEqual(drawn["x0"][:, :1], halves[:, :1])
        self.assertNotAllEqual(drawn["x0"][:, 1], halves[:, 1])
