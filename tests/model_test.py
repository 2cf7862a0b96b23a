"""Tests of the chain: its text, new factors and subclasses; see also agreement_test."""

import pixelcnn_aux as pa
from pixelcnn_aux import serialization
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
