"""Tests of the chain: subclasses, one image, and saving; see also agreement_test."""

import functools

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.base import arrays, serialization
from pixelcnn_aux.run_files.folder import RunFolder
from tests import helpers


class AuxiliaryModelTest(helpers.TestCase):
    def test_classes_are_named_in_summaries_and_conditions(self):
        model = helpers.randomized(helpers.tiny_model(condition=pa.conditions.Classes(2)))
        self.assertIn("conditional on 2 classes", repr(model.factors["grayscale"]))
        self.assertIn("a bound, conditional on 2 classes", repr(model))
        run = helpers.temporary_folder(self) / "run"
        RunFolder(run).create({"model": {}, "dataset": "cifar10"})
        model.loaded_from = str(run)
        images = helpers.pictures(2)
        found = model.log_prob(images, ["automobile", 0])
        self.assertAllEqual(found, model.log_prob(images, [1, 0]))
        self.assertAllEqual(model.log_prob(images[0], "automobile"), found[0])
        with self.assertRaisesRegex(KeyError, "factor of .'grayscale', 'image'.. Received: 'x'"):
            model.factors["x"]

    def test_a_summary_of_factors_whose_parameters_add_up(self):
        """With the bits of a trained model."""
        printed = []
        for name, bits in (("cifar10-pyramid", "10,000 test"), ("photographs", "24 test")):
            model = pa.load(name)
            model.summary(printed.append)
            _, _, *rows, total, last = printed[-1].splitlines()
            self.assertEqual([row.split()[0] for row in rows], list(model.factors))
            counts = [int(row.rsplit(maxsplit=1)[1].replace(",", "")) for row in (*rows, total)]
            self.assertEqual(sum(counts[:-1]), counts[-1])
            self.assertRegex(last, rf"^{name}: \d\.\d{{3}} bits per dimension of {bits} images$")
        self.assertRegex(rows[-2], r"^half +H/2 x W/2 x 3 +quarter +LogisticMixture ")
        run = self.folder / "run"
        helpers.make_run(run, helpers.shared_model())
        pa.load(run).summary(printed.append)
        self.assertRegex(
            printed[-1], r"\ngrayscale +4 x 6 x 1  .*\nimage +4 x 6 x 3 +grayscale .*\nall"
        )
        self.assertNotIn("bits", printed[-1])

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
        copy = Own.from_config(model.description()["config"])
        for other in (copy, model.with_exact(True)):
            self.assertEqual((type(other), other.note), (Own, "mine"))


IMAGES, CLASSES = helpers.pictures(3), pa.conditions.Classes(4)


@functools.cache
def conditional(kind=CLASSES):
    return helpers.randomized(helpers.tiny_model(exact=True, condition=kind))


class OneImageTest(helpers.ImagesTestCase):
    """One image [H, W, C] gives the results of a batch, without B."""

    def assertOne(self, found, expected):
        arrays.mapped(lambda one, batch: self.assertAllEqual(one, batch[0]), found, expected)

    def test_likelihoods(self):
        model = conditional()
        for name in ("log_prob", "bits_per_dim", "params", "pixel_nats", "bound_and_exact"):
            ask = getattr(model, name)
            self.assertOne(ask(IMAGES[0], 3), ask(IMAGES[:1], [3]))
            self.assertOne(ask(IMAGES[0]), ask(IMAGES[:1]))
        for name in ("class_log_probs", "auxiliaries", "log_probs_by_class"):
            ask = getattr(model, name)
            self.assertOne(ask(images=IMAGES[0]), ask(IMAGES[:1]))
        with self.assertRaisesRegex(ValueError, r"condition as int \[3\].*Received: int32 \[\]"):
            model.log_prob(IMAGES, 3)
        model = conditional(pa.conditions.Vector(2))
        self.assertOne(
            model.log_prob(IMAGES[0], [1.0, 2.0]), model.log_prob(IMAGES[:1], [[1.0, 2.0]])
        )
        density = model.with_exact(False).log_density
        floats = IMAGES.astype(np.float32)
        self.assertOne(density(floats[0]), density(floats[:1]))

    def test_draws(self):
        image, mask = IMAGES[0], np.zeros((*helpers.SIZE, 1), np.uint8)
        mask[:2] = 1
        model, shift = conditional(), {"log_scale_shift": -0.5}
        gray = model.auxiliaries(image)["grayscale"]
        known, batch = {"known": image, "mask": mask}, {"known": image[None], "mask": mask[None]}
        for one, others in (
            ({}, {}),
            ({"condition": 2, **shift}, {"condition": [2], **shift}),
            ({"given": {"grayscale": gray}}, {"given": {"grayscale": gray[None]}}),
            (known, batch),
        ):
            self.assertOne(model.sample([3, 4], **one), model.sample([[3, 4]], **others))
        self.assertOne(model.sample(1, **known), model.sample(1, **batch))
        with self.assertRaisesRegex(ValueError, "for each of 4 seeds. Received: 1"):
            model.sample(4, **known)
        self.assertOne(model.colorize(image), model.colorize(image[None]))
        self.assertOne(model.colorize(image, [3, 4]), model.colorize(image[None], [[3, 4]]))
        self.assertOne(model.colorize(image, num=2), model.colorize(image[None], num=2))
        self.assertOne(model.complete(image, mask), model.complete(image[None], mask[None]))
        model = helpers.random_chain([pa.auxiliary.HalfResolution()], helpers.SIZE)
        self.assertOne(model.enlarge(image[:2, :3]), model.enlarge(image[None, :2, :3]))


class SaveTest(helpers.TestCase):
    def test_a_model_comes_back_as_its_factors_were_fitted(self):
        model, folder = helpers.tiny_model(), self.folder / "saved"
        factor, before = model.factors["grayscale"], model.log_prob(IMAGES)
        gray = model.auxiliaries(IMAGES)["grayscale"]
        keras_model = factor.keras_model()
        keras_model.compile("adam", run_eagerly=True)
        for _ in range(2):  # a new folder, and its own
            keras_model.fit(gray, gray, verbose=0)
            model = model.with_factor(keras_model.factor())
            model.save(folder)
            expected = model.log_prob(IMAGES)
            self.assertNotAllClose(expected, before)
            self.assertAllEqual(pa.load(folder).log_prob(IMAGES), expected)
        self.assertEqual(pa.load(folder).description(), model.description())

    def test_other_places_are_refused(self):
        model, folder = helpers.shared_model(), self.folder / "other"
        helpers.make_run(folder / "run", model)
        (folder / "notes.txt").write_text("mine")
        before = helpers.contents(folder)
        for place, message in (
            (folder, "an empty or new folder.*which holds other things"),
            (folder / "notes.txt", "an empty or new folder.*which holds other things"),
            (folder / "run", "run/config.json has others"),
            ("model.keras", "name of a folder.*Received: model.keras, a file of Keras. Leave out"),
            (folder / "model.h5", "name of a folder"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                model.save(place)
        self.assertEqual(helpers.contents(folder), before)
        copy = model.with_exact(False)
        copy.untrained = ("image",)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet"):
            copy.save(folder / "new")
        self.assertFalse((folder / "new").exists())
