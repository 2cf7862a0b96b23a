"""Tests of the page in a real browser, with models of the package; skipped without a browser or Gradio.

To keep what it looks like: SCREENSHOTS=FOLDER python -m pytest tests/demo/page_test.py
"""

import contextlib
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest

import numpy as np
import tensorflow as tf
from PIL import Image

from tests import helpers

BROWSER = shutil.which("chromium")
HAS_PACKAGES = all(map(importlib.util.find_spec, ("gradio", "playwright")))
PATIENCE = 600_000  # milliseconds, of a machine that does other things
WIDTHS = (1280, 400)


@contextlib.contextmanager
def page_program(folder, *arguments):
    """Starts the program: its process, and the address of its page. Temporary files are in a folder."""
    command = [sys.executable, "-m", "pixelcnn_aux", "demo", "--port=0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT), "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        finally:
            process.kill()


@unittest.skipUnless(BROWSER and HAS_PACKAGES, "there is no chromium, Gradio or Playwright")
class PageTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from playwright import sync_api

        cls.expect = staticmethod(sync_api.expect)
        cls.folder = helpers.temporary_folder(cls)
        cls.temporary = cls.folder / "temporary"
        cls.temporary.mkdir()
        cls.process, cls.address = cls.enterClassContext(page_program(cls.temporary))
        playwright = cls.enterClassContext(sync_api.sync_playwright())
        # As root there is no sandbox.
        cls.browsers = [
            playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            for _ in WIDTHS
        ]
        for browser in cls.browsers:
            cls.addClassCleanup(browser.close)
        cls.picture = cls.folder / "picture.png"
        from pixelcnn_aux.data import photos
        from pixelcnn_aux.data.image_folder import fit

        Image.fromarray(fit(photos.read("chelsea.png"), (24, 32))).save(cls.picture)

    def opened(self, browser, width):
        """A page of a width, which keeps to this server and has no errors."""
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(PATIENCE)
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(self.address)
        page.get_by_role("tab", name="Draw", exact=True).wait_for()

        def check():
            ours = (self.address, "data:", "blob:")
            self.assertEmpty([url for url in requests if not url.startswith(ours)])
            self.assertEmpty(errors)
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            self.assertLessEqual(page.evaluate(overflow), 0)
            self.assertEqual(page.locator("img:not([alt]), img[alt='']").count(), 0)

        self.addCleanup(page.close)
        return page, check

    def choose(self, page, file, said="32 x 24 pixels"):
        page.locator("#picture-file input[type=file]").set_input_files(file)
        page.locator("#picture-said").get_by_text(said).wait_for()

    def start(self, page, tab, button, done):
        """Opens a tab, starts what its button does, and waits for what is said then."""
        page.get_by_role("tab", name=tab, exact=True).click()
        panel = page.get_by_role("tabpanel").filter(visible=True)
        panel.get_by_role("button", name=button, exact=True).click()
        panel.get_by_text(re.compile(done)).wait_for()
        self.keep(page, tab)
        return panel

    def keep(self, page, name):
        if folder := os.environ.get("SCREENSHOTS"):
            width = page.viewport_size["width"]
            path = pathlib.Path(folder, f"{name.split()[0].lower()}-{width}.png")
            page.screenshot(path=path, full_page=True)

    def test_every_tab(self):
        for browser, width in zip(self.browsers, WIDTHS):
            with self.subTest(width):
                self.use_every_tab(*self.opened(browser, width))

    def use_every_tab(self, page, check):
        page.get_by_label("Class").fill("7")
        panel = self.start(page, "Draw", "Draw", "Drew 4 images by cifar10-pyramid")
        self.assertEqual(panel.locator("figure").count(), 3)
        self.assertEqual(panel.locator("img").count(), 12)
        self.choose(page, self.picture)
        panel = self.start(
            page, "Enlarge and color", "Draw it several times", "Drew 3 by photographs"
        )
        self.assertIn("bicubic", panel.inner_text())
        panel.get_by_label("colored", exact=True).check()
        self.expect(panel.get_by_label("Model")).to_have_value(
            "cifar10-grayscale", timeout=PATIENCE
        )
        self.start(page, "Enlarge and color", "Draw it several times", "Drew 3 by cifar10-grays")
        self.complete(page)
        self.compress(page)
        panel = self.start(page, "Scores", "Score", "Scored 32 x 32 pixels")
        self.assertIn("the bound less the exact figure", panel.inner_text())
        self.assertEqual(panel.get_by_alt_text("less their entropy").count(), 3)
        check()

    def complete(self, page):
        """Paints with the mouse and with the keyboard."""
        page.get_by_role("tab", name="Complete", exact=True).click()
        canvas = page.locator("canvas.paint")
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6, steps=5)
        page.mouse.up()
        region = self.region(page)
        self.assertTrue(region[12, 17] and region[14, 22])
        self.assertBetween(region.sum(), 10, 100)
        canvas.focus()
        for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowUp", "Space"):
            page.keyboard.press(key)
        self.assertGreater(self.region(page).sum(), region.sum())
        self.keep(page, "painted")
        panel = self.start(
            page, "Complete", "Draw what is painted over", "Drew 3 by cifar10-pixelcnn"
        )
        self.assertEqual(panel.locator("figure").count(), 3)
        canvas.focus()
        page.keyboard.press("Delete")
        self.assertEqual(self.region(page).sum(), 0)
        panel.get_by_role("button", name="Draw what is painted over").click()
        panel.get_by_text("Expected a region to draw. Received: none.").wait_for()

    def region(self, page):
        """What is painted: int [24, 32]."""
        return np.array(list(page.evaluate("paintedRegion()")), int).reshape(24, 32)

    def compress(self, page):
        """The file that is downloaded is opened again."""
        panel = self.start(page, "Compress", "Compress", "the file gives back the same pixels")
        for text in ("PNG", "WebP", "Bits by scale", "on average"):
            self.assertIn(text, panel.inner_text())
        with page.expect_download() as download:
            panel.locator("#written a[download]").first.click()
        path = self.folder / f"{page.viewport_size['width']}.pxa"
        download.value.save_as(path)
        panel.locator("#compressed-file input[type=file]").set_input_files(path)
        panel.get_by_text(f"Decompressed {path.stat().st_size:,} bytes by photographs").wait_for()

    def test_wrong_files(self):
        """A sentence for each, and the next one is taken."""
        page, check = self.opened(self.browsers[0], 1280)
        for name, data in (("text.png", b"no picture"), ("empty.png", b""), ("a.html", b"<b>")):
            path = self.folder / name
            path.write_bytes(data)
            page.reload()
            self.choose(page, path, f"Received: '{name}'")
        page.reload()
        self.choose(page, self.picture)
        page.get_by_role("tab", name="Compress", exact=True).click()
        page.locator("#compressed-file input[type=file]").set_input_files(self.folder / "text.png")
        page.get_by_text("Expected a compressed file of this codec").wait_for()
        check()

    def test_two_at_once(self):
        """One waits for the other, and both get what they asked for."""
        pages = [self.opened(browser, 1280)[0] for browser in self.browsers]
        for seed, page in enumerate(pages, start=1):
            page.get_by_label("Seed").first.fill(str(seed))
            page.get_by_role("button", name="Draw", exact=True).click()
        drawn = []
        for page in pages:
            page.get_by_text("Drew 4 images by cifar10-pyramid").wait_for()
            drawn.append(page.locator("figure img").last.get_attribute("src"))
        self.assertNotEqual(*drawn)


@unittest.skipUnless(HAS_PACKAGES, "there is no Gradio or Playwright")
class ProgramTest(tf.test.TestCase):
    def test_nothing_is_left(self):
        """However it is ended; and what is no request of the page is refused."""
        import httpx

        for number in (signal.SIGINT, signal.SIGTERM):
            folder = helpers.temporary_folder(self)
            with page_program(folder) as (process, address):
                self.assertLen(list(folder.iterdir()), 1)
                found = httpx.get(address)
                self.assertEqual(found.status_code, 200)
                self.assertIn("default-src 'self'", found.headers["content-security-policy"])
                for headers in ({"host": "example.com"}, {"origin": "http://example.com"}):
                    self.assertEqual(httpx.get(address, headers=headers).status_code, 403)
                process.send_signal(number)
                self.assertEqual(process.wait(60), 128 + number)
            self.assertEmpty(list(folder.iterdir()))
