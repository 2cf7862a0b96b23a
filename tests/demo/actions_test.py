"""Tests of the actions behind the page's buttons, without a page."""

import functools
import subprocess
import sys
from unittest import mock

import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import image_grid, sampling
from pixelcnn_aux.codec import container
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.demo import actions, uploads
from pixelcnn_aux.demo.actions import Models
from tests import helpers
from tests.codec import helpers as codec_helpers

PICTURE = helpers.pictures(1, size=(9, 7))[0]
CHOSEN = uploads.Picture(PICTURE, (9, 7), "JPEG", 945)
# All actions, with a page if there is Gradio, and without Matplotlib.
ALL = """
import importlib.util, sys
sys.modules["matplotlib"] = None
import numpy as np
from pixelcnn_aux.demo import actions, uploads
pyramid, gray, rounded = sys.argv[1:]
models, picture = actions.Models(sys.argv[1:]), uploads.Picture(np.zeros((8, 8, 3), np.uint8), (8, 8))
if importlib.util.find_spec("gradio"):
    from pixelcnn_aux.demo import page
    page.build(models, print)
models.classes(pyramid)
steps = []
actions.compress(steps.append, models, rounded, picture)
data = steps[-1].file
for action, *inputs in (
    (actions.draw, pyramid, 0, 0),
    (actions.redraw, pyramid, "twice as large", picture, 0, 0),
    (actions.redraw, gray, "colored", picture, 0, 0),
    (actions.complete, pyramid, picture, (), "0 0 50 50", 0, 0),
    (actions.decompress, data, actions.container.read(data)),
    (actions.score, gray, picture),
):
    action(steps.append, models, *inputs)
    print(steps[-1].text)
print([x for x in ("jax", "keras", "tensorflow", "tensorflow_probability") if x in sys.modules])
"""
SMALL = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
HOW = {"seed": 7, "shift": -0.3}


def steps_of(action, *inputs, **kwargs):
    """The steps that an action reports: list of `actions.Step`."""
    steps = []
    action(steps.append, *inputs, **kwargs)
    return steps


class ActionsTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        made = {
            "pyramid": pa.pyramid((4, 4), (2, 2), **SMALL),
            "gray": helpers.tiny_model(exact=True, centered=True),
            "classes": helpers.tiny_model(condition=Classes(3)),
            "rounded": codec_helpers.shared_model(),
        }
        for name, model in made.items():
            helpers.make_run(cls.folder / name, model)
        cls.name = {name: str(cls.folder / name) for name in made}
        cls.models = Models(list(cls.name.values()))

    def last(self, action, *inputs, **kwargs):
        """The last step of an action. The share grows while the text stays the same."""
        return self.last_of(steps_of(action, *inputs, **kwargs))

    def last_of(self, steps):
        *before, last = steps
        texts = [step.text for step in before]
        shares = [(texts.index(step.text), step.share) for step in before]
        self.assertEqual(shares, sorted(shares))
        self.assertTrue(all(0 <= step.share <= 1 for step in before))
        self.assertIsNone(last.share)
        self.assertTrue(all(step.text for step in [*before, last]))
        self.assertTrue(all(caption for _, caption in last.images))
        return last

    def redraw(self, key, what):
        return self.last(actions.redraw, self.models, self.name[key], what, CHOSEN, **HOW)

    def test_models(self):
        self.assertContainsSubset(["cifar10-pyramid", *self.name.values()], self.models.names)
        with self.assertRaisesRegex(ValueError, "Expected the model of 'cifar10-gray.*Received"):
            self.models.load("/etc")
        with self.assertRaises(FileNotFoundError):
            Models([str(self.folder)])
        self.assertEqual(self.models.classes("photographs"), [])
        self.assertEqual(self.models.classes(self.name["pyramid"]), [])
        label, *classes = self.models.classes("cifar10-pyramid")
        self.assertEqual(label, ("any class", -1))
        self.assertIn(("cat", 3), classes)
        self.assertLen(classes, 10)
        classes = [("any class", -1), *((f"class {n}", n) for n in range(3))]
        self.assertEqual(self.models.classes(self.name["classes"]), classes)

    def test_nothing_imports_keras(self):
        names = [self.name[x] for x in ("pyramid", "gray", "rounded")]
        command = [sys.executable, "-c", ALL, *names]
        done = subprocess.run(command, cwd=helpers.ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        *texts, imported = done.stdout.splitlines()
        self.assertLen(texts, 6)
        self.assertEqual(imported, "[]")

    def test_images_are_drawn_scale_by_scale(self):
        """They equal images drawn at once."""
        cases = ("pyramid", None, True), ("gray", None, False), ("classes", 2, False)
        for key, label, is_map in cases:
            model, how = self.models.load(self.name[key]), {"shift": -0.5, "is_map": is_map}
            condition = None if label is None else np.full(actions.IMAGES, label)
            seeds = [[5, number] for number in range(actions.IMAGES)]
            mode = "map" if is_map else "sample"
            expected = model.sample(seeds, log_scale_shift=-0.5, mode=mode, condition=condition)
            steps = steps_of(actions.draw, self.models, self.name[key], 5, **how, label=label)
            found = iter(self.last_of(steps).images)
            for images in expected.values():
                for image in image_grid.to_rgb(images, 16 if images.shape[-1] == 1 else 256):
                    self.assertAllEqual(next(found)[0], image)
            self.assertIsNone(next(found, None))
            counts = [len(step.images) for step in steps]
            self.assertEqual(counts, sorted(counts))
            self.assertEqual((counts[0], counts[-1]), (0, 8))

    def test_wrong_numbers(self):
        for seed, shift in ((2**31, 0), (1.5, 0), (0, 9), (0, float("nan")), (0, "0")):
            with self.assertRaisesRegex(ValueError, "Expected .* Received: "):
                actions.draw(self.fail, self.models, self.name["gray"], seed=seed, shift=shift)
        with self.assertRaisesRegex(ValueError, "classes from 0 to 2.*Received: 3"):
            steps_of(actions.draw, self.models, self.name["classes"], 0, 0, label=3)
        with self.assertRaisesRegex(ValueError, "Expected times .*Received: 4"):
            self.redraw("pyramid", "four times as large")

    def test_enlargements_and_colors(self):
        model = self.models.load(self.name["pyramid"])
        found = self.redraw("pyramid", "twice as large")
        small, bicubic, *drawn = (image for image, _ in found.images)
        self.assertAllEqual(small, PICTURE)
        resized = Image.fromarray(PICTURE).resize((14, 18), Image.Resampling.BICUBIC)
        self.assertAllEqual(bicubic, np.asarray(resized))
        self.assertLen(drawn, actions.DRAWS)
        seeds = [[7, number] for number in range(actions.DRAWS)]
        expected = model.enlarge(3 * [PICTURE], 2, seeds, log_scale_shift=-0.3)
        nats = model.log_prob(sampling.as_seen_whole(model, expected))
        self.assertAllEqual(drawn, expected[np.argsort(-nats)])
        self.assertAllEqual(found.pair, (bicubic, drawn[0]))
        with mock.patch.object(actions, "FEW", 100):
            found = self.redraw("pyramid", "twice as large")
        self.assertEqual(found.images[0][0].shape, (5, 4, 3))
        self.assertEndsWith(found.text, "of 4 x 5 pixels, reduced from 7 x 9 pixels")
        # Colors.
        found, model = self.redraw("gray", "colored"), self.models.load(self.name["gray"])
        expected = model.colorize(PICTURE, seeds[0], log_scale_shift=-0.3, num=3)
        _, *drawn = (image for image, _ in found.images)
        self.assertAllEqual(drawn, expected)

    def test_unfinished_images_are_seen(self):
        """By networks that decide pixels in raster order or in groups: growing parts of the image."""
        for key, draw in (
            ("gray", lambda model: model.sample(2)["image"]),
            ("rounded", lambda model: model.enlarge(PICTURE[np.newaxis], 2)),
        ):
            model, seen = self.models.load(self.name[key]), []
            factor = model.factors["image"]
            with mock.patch.object(factor, "watch", lambda x, seen=seen: seen.append(x.copy())):
                drawn = draw(model)
            shares = [(x == drawn).all(axis=-1).mean() for x in seen]
            self.assertEqual(shares, sorted(shares))
            self.assertLess(shares[0], shares[-1])
            self.assertEqual(shares[-1], 1)

    def test_unfinished_images_are_shown(self):
        model = self.models.load(self.name["gray"])
        unfinished = np.full((5, 3, 2, 3), 77, np.uint8)

        def draw_and_score(*_):
            model.factors["image"].watch(unfinished)
            return np.stack([PICTURE] * 3), np.zeros(3)

        with mock.patch.multiple(actions, draw_and_score=draw_and_score, PERIOD=0):
            inputs = self.models, self.name["gray"], "colored", CHOSEN
            _, shown, last = steps_of(actions.redraw, *inputs, **HOW)
        image, caption = shown.images[-1]
        self.assertAllEqual(image, unfinished[0])
        self.assertEqual(caption, "Drawn, 1 of 3")
        self.assertIsNone(shown.pair)
        self.assertEqual(last.images[-1][1], "Drawn, 3 of 3")
        self.assertIsNone(model.factors["image"].watch)

    def test_completions(self):
        how = {"painted": (), "rectangle": "30 30 50 50", **HOW}
        found = self.last(actions.complete, self.models, self.name["pyramid"], CHOSEN, **how)
        region = np.zeros((9, 7), bool)
        region[2:5, 2:4] = True
        (known, _), (itself, _), *drawn = found.images
        self.assertAllEqual(itself, PICTURE)
        for image in (known, *(image for image, _ in drawn)):
            self.assertAllEqual(image[~region], PICTURE[~region])
            self.assertNotAllEqual(image[region], PICTURE[region])

    def test_completions_by_scenes(self):
        """By the default model; the hole in a reduced picture covers the painted region."""
        models, default = mock.Mock(), mock.create_autospec(pa.AuxiliaryModel, instance=True)
        default.image_size, default.likelihood.num_values = None, 256
        default.complete.side_effect = lambda images, *args, **how: images
        scenes, default.factors = mock.Mock(factors={}), {}
        models.load.side_effect = {actions.COMPLETES: default, actions.SCENES: scenes}.get
        how = {"painted": (), "rectangle": "30 30 50 50", **HOW}

        def draw_and_score(model, draw, options, _):
            return draw(**options), [0.0]

        for most, size, hole in ((63, (9, 7), np.s_[2:5, 2:4]), (16, (4, 3), np.s_[:3, :2])):
            with mock.patch.multiple(actions, WHOLE=most, draw_and_score=draw_and_score):
                self.last(actions.complete, models, actions.COMPLETES, CHOSEN, **how)
            (image, mask), kwargs = default.complete.call_args
            self.assertEqual(image.shape, (1, *size, 3))
            expected = np.ones(size)
            expected[hole] = 0
            self.assertAllEqual(mask[0, ..., 0], expected)
            shared = {"seeds": [[7, 2]], "log_scale_shift": -0.3}
            self.assertEqual(kwargs, {**shared, "scenes": scenes, "particles": 64})

    def test_there_has_to_be_a_picture(self):
        models, name = self.models, self.name["gray"]
        for action in (
            functools.partial(actions.redraw, result="colored", **HOW),
            functools.partial(actions.complete, painted=(), rectangle="", **HOW),
            actions.compress,
            actions.score,
        ):
            with self.assertRaisesRegex(ValueError, "Expected a picture. Received: none"):
                action(self.fail, models, name, picture=None)

    def test_compressed_pictures_come_back(self):
        name = self.name["rounded"]
        found = self.last(actions.compress, self.models, name, CHOSEN)
        files, bits = found.tables
        self.assertEqual([row[0] for row in files.rows][:3], [name, "PNG", "WebP"])
        self.assertEqual(files.rows[0][1], f"{len(found.file):,}")
        self.assertEqual(files.rows[-1], ["your JPEG file, 7 x 9 pixels", "945", "40.000"])
        self.assertEqual([row[0] for row in bits.rows], ["half", "image"])
        [_, (heat, caption)] = found.images
        self.assertRegex(caption, "Bits of each pixel: .* on average")
        opened = container.read(found.file)
        again = self.last(actions.decompress, self.models, found.file, opened)
        self.assertAllEqual([image for image, _ in again.images], [PICTURE, heat])
        self.assertEqual(again.tables, (bits,))
        message = "one of the page's models.*Received: one of 'rounded'"
        with self.assertRaisesRegex(ValueError, message):
            steps_of(actions.decompress, Models(), found.file, opened)

    def test_scores(self):
        for key in ("gray", "pyramid"):
            found = self.last(actions.score, self.models, self.name[key], CHOSEN)
            model = self.models.load(self.name[key]).with_exact(True)
            count = len(model.factors)
            image, _ = found.images[count - 1]
            expected = model.bits_per_dim(image[np.newaxis])
            maps = found.images[count:], pa.scores.pixel_bits(model, image).items()
            for (colors, caption), (name, (bits, entropy)) in zip(*maps, strict=True):
                mean = (bits - entropy).mean()
                self.assertRegex(caption, f"^{actions.plain(name)}: .* {mean:z.2f} on average")
                self.assertEqual(colors.shape, (*bits.shape, 3))
            [table] = found.tables
            rows = {text: dict(zip(table.head[1:], row)) for text, *row in table.rows}
            bits = {actions.plain(name): f"{x[0]:.4f}" for name, x in expected.items()}
            self.assertEqual(rows["bits"], bits)
            self.assertIn("bits less those of PNG", rows)
            self.assertGreaterEqual(float(rows["the bound less the exact figure"]["total"]), 0)


class WorkTest(helpers.TestCase):
    def test_colors_of_maps(self):
        [[blue, white, red]], text = actions.map_of_excess("image", np.array([[-2.0, 0.0, 4.0]]))
        self.assertIn("from -2.0 to 4.0, 0.67 on average", text)
        self.assertGreater(blue[2], blue[0])
        self.assertGreater(white.min(), 240)
        self.assertGreater(red[0], red[2])
        [[none, most]], _ = actions.map_of_bits(np.array([[0.0, 9.0]]))
        self.assertLess(none.max(), 5)
        self.assertGreater(most.min(), 150)

    def test_progress_is_reported_once_per_period(self):
        steps = []
        with mock.patch.object(
            actions.time, "monotonic", side_effect=[0, 0.1, 0.6, 0.6, 0.7, 1.2, 1.2]
        ):
            update = actions._periodic(steps.append, lambda done: done / 4)
            for done in range(4):
                update(done)
        self.assertEqual(steps, [0.25, 0.75])
