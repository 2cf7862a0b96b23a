"""Tests of what the benchmarks of training share, and of the precisions of one of them."""

import dataclasses

import tensorflow as tf
from absl import flags

import pixelcnn_aux as pa
from benchmarks import common, step_memory
from tests import helpers


class StepTest(tf.test.TestCase):
    def test_a_step_is_that_of_training(self):
        """In the parts that its settings say, in a precision; and the model stays as it is."""
        self.enterContext(helpers.eagerly())
        model = helpers.tiny_model()
        settings = pa.Training(epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-3)
        images = common.random_images(4, model.image_size)
        before = model.factors["image"].get_weights()
        first = [
            [float(x) for x in common.training_step(model, "image", *arguments)(images)]
            for arguments in (
                (settings,),
                (dataclasses.replace(settings, accumulate=2),),
                (settings, "mixed_float16"),
                (settings, None, True),
            )
        ]
        for received in first:
            self.assertAllClose(received, first[0], rtol=1e-2)
        self.assertAllClose(first[0], first[1], rtol=1e-5)
        self.assertNotEqual(first[0], first[2])
        for weight, value in zip(model.factors["image"].get_weights(), before, strict=True):
            self.assertAllEqual(weight, value)

    def test_precisions_that_memory_is_not_measured_in(self):
        for precisions in ("float16", ""):
            with self.assertRaisesRegex(flags.IllegalFlagValueError, "names of float32, bfloat16"):
                helpers.run_program(step_memory, f"--precisions={precisions}")
