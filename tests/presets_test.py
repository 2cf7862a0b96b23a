"""Tests of the presets: the paper's hyper-parameters, and how large its networks are."""

import inspect

import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux import data, presets

PROGRAMS = {
    "grayscale": (pa.grayscale, presets.GRAYSCALE, {"grayscale", "image"}),
    "pixelcnn": (pa.pixelcnn_pp, presets.PIXELCNN, {"image"}),
}


class PresetsTest(tf.test.TestCase):
    def test_every_preset_is_one_that_its_program_can_run(self):
        for constructor, by_name, factors in PROGRAMS.values():
            self.assertIn("demo", by_name)  # the default
            for name, preset in by_name.items():
                self.assertIn(preset.dataset, data.DATASETS, name)
                self.assertEqual(set(preset.training), factors, name)
                inspect.signature(constructor).bind(**preset.model)

    def test_the_default_needs_no_download(self):
        for _, by_name, _ in PROGRAMS.values():
            self.assertEqual(by_name["demo"].dataset, "photos")


class PaperTest(tf.test.TestCase):
    """Section 4.1 of the paper."""

    def test_optimization(self):
        for by_name in (presets.GRAYSCALE, presets.PIXELCNN):
            self.assertEqual(by_name["cifar10"].dataset, "cifar10")
            for training in by_name["cifar10"].training.values():
                self.assertEqual(training.batch_size, 64)
                self.assertEqual(training.learning_rate, 1e-3)
                self.assertEqual(training.decay, 0.99999)
        training = presets.GRAYSCALE["cifar10"].training
        self.assertEqual(training["grayscale"].epochs, 30)
        self.assertEqual(training["image"].epochs, 200)

    def test_networks(self):
        model = presets.GRAYSCALE["cifar10"].model
        self.assertEqual(model["filters"], 160)
        self.assertEqual(model["dropout"], 0.5)
        self.assertEqual(model["num_components"], 10)
        self.assertEqual(model["resolutions"], 3)

    def test_parameters_and_blocks_of_grayscale_pixelcnn(self):
        model = pa.grayscale(**presets.GRAYSCALE["cifar10"].model)
        self.assertEqual(model.image_size, (32, 32))
        grayscale, image = model.factors.values()
        self.assertEqual(grayscale.count_params(), 53_641_952)
        self.assertEqual(image.count_params(), 65_178_920)
        # The paper counts the resampling layers among its 36 and 24 blocks.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [36, 24, 24])

    def test_parameters_of_pixelcnn_pp(self):
        """As many as OpenAI's implementation has with its defaults."""
        model = pa.pixelcnn_pp(**presets.PIXELCNN["cifar10"].model)
        self.assertEqual(model.factors["image"].count_params(), 53_659_080)


if __name__ == "__main__":
    tf.test.main()
