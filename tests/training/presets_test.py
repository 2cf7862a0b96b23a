"""Tests of the presets: the paper's hyper-parameters and network sizes."""

import dataclasses
import pathlib

import tensorflow as tf

from pixelcnn_aux import data
from pixelcnn_aux.training import Training, presets

PROGRAMS = (presets.GRAYSCALE, presets.PIXELCNN, presets.PYRAMID)
# Minimal widths and depths, so that networks are built in seconds.
LEAST = {"filters": 2, "image_filters": 2} | dict.fromkeys(
    ("blocks", "gray_blocks", "image_blocks", "embedding_blocks", "image_embedding_blocks"), 1
)


class PresetsTest(tf.test.TestCase):
    def test_every_preset_is_one_that_its_program_can_run(self):
        # The constructors' tests build them.
        built = {}  # presets that differ in widths and depths alone are built once
        for by_name in PROGRAMS:
            self.assertEqual(by_name["demo"].dataset, "photos")  # the default needs no download
            for name, preset in by_name.items():
                self.assertIn(preset.dataset, data.DATASETS, name)
                least = {
                    key: [value] * len(given)
                    if isinstance(given := preset.model[key], list)
                    else value
                    for key, value in LEAST.items()
                    if key in preset.model
                }
                how = {**preset.model, **least}
                key = f"{preset.constructor} {sorted(how.items())}"
                model = built[key] = built.get(key) or preset.constructor(**how)
                self.assertEqual(list(preset.training), list(model.factors), name)
                # Among models with auxiliary images, only the paper's own are bounds.
                is_bound = name in ("cifar10", "celeba") and len(model.factors) > 1
                self.assertEqual(model.exact, not is_bound, name)
                self.assertEqual(model.centered, len(model.factors) > 1 and not is_bound, name)

    def test_every_preset_is_documented(self):
        page = (pathlib.Path(__file__).parents[2] / "docs" / "programs.md").read_text()
        for by_name in presets.BY_MODEL.values():
            for name in by_name:
                self.assertIn(f"`{name}`", page)


class PaperTest(tf.test.TestCase):
    """Section 4.1 of the paper."""

    def test_optimization(self):
        """An epoch's steps are the whole batches in the paper's training images."""
        color = Training(
            epochs=200, steps_per_epoch=781, batch_size=64, learning_rate=1e-3, decay=0.99999
        )
        gray = dataclasses.replace(color, epochs=30)  # of 50,000 images, as those of CIFAR-10 below
        scale = Training(  # section 4.2, which mentions no flips
            epochs=60,
            steps_per_epoch=3125,
            batch_size=16,
            learning_rate=1e-3,
            decay=0.999995,
            flip=False,
        )
        face = dataclasses.replace(scale, steps_per_epoch=12_029)  # of 192,469 images
        for by_name, name, expected in (
            (presets.GRAYSCALE, "cifar10", [gray, color]),
            (presets.PIXELCNN, "cifar10", [color]),
            (presets.PYRAMID, "cifar10", [scale] * 3),
            (presets.PYRAMID, "celeba", [face] * 5),
            (presets.PYRAMID, "grayscale_pyramid", [scale] * 3 + [color]),
        ):
            self.assertEqual(list(by_name[name].training.values()), expected, name)

    def test_parameters_and_blocks_of_grayscale_pixelcnn(self):
        preset = presets.GRAYSCALE["cifar10"]
        names = ("filters", "dropout", "num_components", "resolutions")
        self.assertEqual([preset.model[name] for name in names], [160, 0.5, 10, 3])
        model = preset.constructor(**preset.model)
        self.assertEqual(model.image_size, (32, 32))
        grayscale, image = model.factors.values()
        self.assertEqual(grayscale.num_parameters, 53_641_952)
        self.assertEqual(image.num_parameters, 65_178_920)
        # The paper counts the resampling layers among its 36 and 24 blocks.
        networks = (grayscale.network, image.network, image.embedding)
        self.assertEqual([len(network.topology.steps) for network in networks], [36, 24, 24])

    def test_parameters_of_pixelcnn_pp(self):
        """As many as in OpenAI's implementation with its defaults."""
        preset = presets.PIXELCNN["cifar10"]
        model = preset.constructor(**preset.model)
        self.assertEqual(model.factors["image"].num_parameters, 53_659_080)

    def test_pyramid(self):
        """Section 4.2."""
        for name in ("cifar10", "celeba"):
            preset = presets.PYRAMID[name]
            self.assertEqual((preset.model["filters"], preset.model["dropout"]), (100, 0.5))
        model = preset.constructor(**preset.model)  # the last one, of CelebA
        self.assertEqual(model.sizes()["8x8"], (8, 8))
        self.assertEqual(model.sizes()["128x128"], (128, 128))
        self.assertLen(model.factors, 5)
        steps = [step.kind for step in model.factors["16x16"].embedding.topology.steps]
        self.assertEqual(steps.count("block"), 15)
