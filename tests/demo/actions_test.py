"""Tests of what the page's buttons start, without a page."""

import functools
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import image_grid
from pixelcnn_aux.codec import container
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.demo import compress, draw, heat, models, redraw, score, uploads, work
from pixelcnn_aux.demo.models import Models
from pixelcnn_aux.demo.shown import Figure, Shown, Table, contents, painting, status
from tests import helpers

PICTURE = helpers.pictures(1, size=(9, 7))[0]
SMALL = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}


class ActionsTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        cls.made = {
            "pyramid": pa.pyramid((4, 4), (2, 2), **SMALL),
            "gray": helpers.tiny_model(exact=True, centered=True),
            "classes": helpers.tiny_model(condition=Classes(3)),
        }
        for name, model in cls.made.items():
            helpers.make_run(cls.folder / name, model, model.factors)
        cls.models = Models([str(cls.folder / name) for name in cls.made])
        cls.name = {name: str(cls.folder / name) for name in cls.made}

    def shown(self, steps):
        """The last of what an action shows, which goes on and is told in words."""
        steps = list(steps)
        shares = [step.share for step in steps[:-1]]
        self.assertEqual(shares, sorted(shares))
        self.assertBetween(shares[-1], 0, 1)
        self.assertIsNone(steps[-1].share)
        self.assertTrue(all(step.text for step in steps))
        return steps[-1]

    def captions(self, found):
        return [figure.caption for figure in found.figures]

    def test_models(self):
        self.assertContainsSubset(["cifar10-pyramid", *self.name.values()], self.models.names)
        self.assertIs(self.models.load(self.name["gray"]), self.models.load(self.name["gray"]))
        with self.assertRaisesRegex(ValueError, "Expected the model of 'cifar10-gray.*Received"):
            self.models.load("/etc")
        with self.assertRaises(FileNotFoundError):
            Models([str(self.folder)])
        of_classes = {name: self.models.has_classes(name) for name in self.models.names}
        expected = {"cifar10-pyramid": True, "photographs": False}
        expected |= {self.name["pyramid"]: False, self.name["classes"]: True}
        self.assertContainsSubset(expected.items(), of_classes.items())

    def test_images_are_drawn_scale_by_scale(self):
        """As all at once: the same ones."""
        for key, label in (("pyramid", None), ("gray", None), ("classes", 2), ("classes", -1)):
            model = self.models.load(self.name[key])
            told = None if label is None else np.full(draw.IMAGES, label)
            seeds = [[5, number] for number in range(draw.IMAGES)]
            expected = model.sample(seeds, -0.5, condition=told)
            found = self.shown(draw.draw(self.models, self.name[key], 5, -0.5, False, label))
            self.assertLen(found.figures, len(model.factors))
            for figure, images in zip(found.figures, expected.values()):
                num_values = 16 if images.shape[-1] == 1 else 256
                self.assertAllEqual(figure.images, image_grid.shown(images, num_values))
        self.assertEqual(self.captions(found)[-1], "image")

    def test_map_sampling(self):
        model = self.models.load(self.name["pyramid"])
        seeds = [[1, number] for number in range(draw.IMAGES)]
        [*_, expected] = model.sample(seeds, mode="map").values()
        found = self.shown(draw.draw(self.models, self.name["pyramid"], 1, 0, True))
        self.assertAllEqual(found.figures[-1].images, expected)

    def test_wrong_numbers(self):
        for seed, shift in (
            (-1, 0),
            (2**31, 0),
            (1.5, 0),
            (None, 0),
            (0, 9),
            (0, float("nan")),
            (0, "0"),
        ):
            with self.assertRaisesRegex(ValueError, "Expected .* Received: "):
                next(draw.draw(self.models, self.name["gray"], seed, shift, False))
        with self.assertRaisesRegex(ValueError, "classes from 0 to 2.*Received: 3"):
            list(draw.draw(self.models, self.name["classes"], 0, 0, False, 3))

    def test_enlargements(self):
        model, how = self.models.load(self.name["pyramid"]), (7, -0.3)
        found = self.shown(
            redraw.redraw(self.models, self.name["pyramid"], "twice as large", PICTURE, *how)
        )
        small, bicubic, drawn = found.figures
        self.assertAllEqual(small.images, [PICTURE])
        resized = Image.fromarray(PICTURE).resize((14, 18), Image.Resampling.BICUBIC)
        self.assertAllEqual(bicubic.images, [np.asarray(resized)])
        for number, image in enumerate(drawn.images):
            self.assertAllEqual(
                image, model.enlarge(PICTURE[np.newaxis], 2, [[7, number]], -0.3)[0]
            )
        self.assertLen(drawn.images, redraw.DRAWS)
        with mock.patch.object(models, "IN_WINDOWS", 100):
            found = self.shown(
                redraw.redraw(self.models, self.name["pyramid"], "twice as large", PICTURE, *how)
            )
        self.assertEqual(found.figures[0].images[0].shape, (5, 4, 3))

    def test_models_of_any_size_draw_larger_pictures(self):
        whole, others = (mock.Mock(image_size=size) for size in (None, (32, 32)))
        self.assertEqual(models.most_pixels(whole), uploads.KEPT_PIXELS)
        self.assertLess(models.most_pixels(others), models.most_pixels(whole))

    def test_what_a_model_cannot_do(self):
        with self.assertRaisesRegex(ValueError, "Expected times .*Received: 4"):
            list(
                redraw.redraw(
                    self.models, self.name["pyramid"], "four times as large", PICTURE, 0, 0
                )
            )

    def test_colors(self):
        found = self.shown(redraw.redraw(self.models, self.name["gray"], "colored", PICTURE, 1, 0))
        expected = self.models.load(self.name["gray"]).colorize(PICTURE[np.newaxis], [[1, 2]])
        self.assertAllEqual(found.figures[-1].images[2], expected[0])

    def test_completions(self):
        painted = np.zeros((9, 7), int)
        painted[3:5, 2:4] = 1
        text = "".join(map(str, painted.ravel()))
        found = self.shown(redraw.complete(self.models, self.name["pyramid"], PICTURE, text, 0, 0))
        known, itself, drawn = found.figures
        self.assertAllEqual(itself.images, [PICTURE])
        for image in drawn.images:
            self.assertAllEqual(image[painted == 0], PICTURE[painted == 0])
            self.assertNotAllEqual(image[painted == 1], PICTURE[painted == 1])

    def test_there_has_to_be_a_picture(self):
        name = self.name["gray"]
        for action in (
            *(
                lambda what=what: redraw.redraw(self.models, name, what, None, 0, 0)
                for what in redraw.DEFAULTS
            ),
            lambda: redraw.complete(self.models, name, None, "", 0, 0),
            lambda: compress.compress(self.models, name, None),
            lambda: score.score(self.models, name, None),
        ):
            with self.assertRaisesRegex(ValueError, "Expected a picture. Received: none"):
                next(action())

    def test_compressed_pictures_come_back(self):
        name = self.name["gray"]
        found = self.shown(compress.compress(self.models, name, PICTURE))
        files, bits = found.tables
        self.assertEqual([row[0] for row in files.rows][:3], [name, "PNG", "WebP"])
        self.assertEqual(files.rows[0][1], f"{len(found.file):,}")
        self.assertEqual([row[0] for row in bits.rows], ["grayscale", "image"])
        self.assertEqual(self.captions(found)[0], "The picture")
        self.assertRegex(self.captions(found)[1], "Bits of each pixel: .* on average")
        opened = container.read(found.file)
        again = self.shown(compress.decompress(self.models, found.file, opened))
        self.assertAllEqual(again.figures[0].images, [PICTURE])
        self.assertAllEqual(again.figures[1].images, found.figures[1].images)
        self.assertEqual(again.tables, (bits,))
        with self.assertRaisesRegex(
            ValueError, "one of the page's models.*Received: one of 'gray'"
        ):
            list(compress.decompress(Models(), found.file, opened))

    def test_scores(self):
        for key in ("gray", "pyramid"):
            found = self.shown(score.score(self.models, self.name[key], PICTURE))
            model = self.models.load(self.name[key]).with_exact(True)
            count = len(model.factors)
            [image] = found.figures[count - 1].images
            expected = model.bits_per_dim(image[np.newaxis])
            for figure, (name, (bits, entropy)) in zip(
                found.figures[count:], pa.scores.pixel_bits(model, image).items(), strict=True
            ):
                self.assertRegex(
                    figure.caption, f"^{name}: .* {(bits - entropy).mean():z.2f} on average"
                )
                [colors] = figure.images
                self.assertEqual(colors.shape, (*bits.shape, 3))
            [table] = found.tables
            rows = {text: dict(zip(table.head[1:], row)) for text, *row in table.rows}
            bits = rows["bits"]
            self.assertEqual(bits, {name: f"{x[0]:.4f}" for name, x in expected.items()})
            self.assertIn("bits less those of PNG", rows)
            self.assertGreaterEqual(float(rows["the bound less the exact figure"]["total"]), 0)


class HeatTest(tf.test.TestCase):
    def test_signs_are_told_apart(self):
        figure = heat.of_excess("image", np.array([[-2.0, 0.0, 4.0]]))
        self.assertIn("from -2.0 to 4.0, 0.67 on average", figure.caption)
        [[[blue, white, red]]] = figure.images
        self.assertGreater(blue[2], blue[0])
        self.assertGreater(white.min(), 240)
        self.assertGreater(red[0], red[2])

    def test_few_bits_are_dark(self):
        [[[none, most]]] = heat.of_bits(np.array([[0.0, 9.0]])).images
        self.assertLess(none.max(), 5)
        self.assertGreater(most.min(), 150)


class WorkTest(tf.test.TestCase):
    def test_work_is_followed(self):
        def work_to_do(report):
            report(1)
            report(4)
            return "done"

        steps, shares = work.followed(work_to_do, 4), []
        with self.assertRaises(StopIteration) as end:
            while True:
                shares.append(next(steps))
        self.assertEqual((shares, end.exception.value), ([0.25, 1.0], "done"))

    def test_errors_of_work_are_raised(self):
        def fails(report):
            raise ValueError("no")

        with self.assertRaisesRegex(ValueError, "no"):
            list(work.followed(fails, 1))

    def test_work_stops_that_nobody_waits_for(self):
        ended = []

        def endless(report):
            try:
                while True:
                    report(1)
            finally:
                ended.append(True)

        steps = work.followed(endless, 2)
        next(steps)
        steps.close()
        self.assertEqual(ended, [True])

    def test_time_is_limited(self):
        now = iter(range(0, 10_000, work.MAX_SECONDS // 2))
        with mock.patch.object(work.time, "monotonic", functools.partial(next, now)):
            steps = work.within_time(x for x in range(9))
            with self.assertRaisesRegex(
                TimeoutError, "Expected .*600 seconds. Received: more work"
            ):
                self.assertEqual([next(steps) for _ in range(3)], [0, 1, 2])
                next(steps)


class HtmlTest(tf.test.TestCase):
    def test_all_of_it_is_in_words_and_escaped(self):
        figures = (Figure("a <b>", [PICTURE, PICTURE]),)
        tables = (Table("c & d", ["<e>"], [["<f>", '"g"']]),)
        found = contents(Shown("", figures=figures, tables=tables))
        self.assertIn('alt="a &lt;b&gt;, 2 of 2: 7 x 9 pixels"', found)
        for text in ("c &amp; d", "&lt;e&gt;", "&lt;f&gt;", "&quot;g&quot;"):
            self.assertIn(text, found)
        self.assertNotIn("<b>", found)
        self.assertEqual(found.count("<img "), found.count(" alt="))
        self.assertIn('width="7" height="9" tabindex="0"', painting(PICTURE))
        self.assertIn('role="status"', status("x", 0.5))
