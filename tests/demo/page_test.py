"""Tests of the page in a real browser; skipped without Chromium, Gradio or Playwright."""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import numpy as np
from absl.testing import parameterized
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux.base.resizing import fit
from pixelcnn_aux.data import photos
from tests import helpers
from tests.codec import helpers as codec_helpers

BROWSER = shutil.which("chromium")
HAS_PACKAGES = all(map(importlib.util.find_spec, ("gradio", "playwright")))
PATIENCE = 600_000  # milliseconds, on a busy machine
WIDTHS = (1280, 390)


@contextlib.contextmanager
def page_program(folder, *arguments):
    """Starts the program: its process, and the address of its page. Temporary files are in a folder."""
    command = [sys.executable, "-m", "pixelcnn_aux", "demo", "--port=0", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(helpers.ROOT), "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
        finally:
            process.kill()


@unittest.skipUnless(BROWSER and HAS_PACKAGES, "there is no chromium, Gradio or Playwright")
class PageTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from playwright import sync_api

        cls.expect = staticmethod(sync_api.expect)
        sync_api.expect.set_options(timeout=PATIENCE)
        cls.folder = helpers.temporary_folder(cls)
        temporary = cls.folder / "temporary"
        temporary.mkdir()
        small = {"filters": 4, "blocks": 1, "embedding_blocks": 1, "depth": 1, "num_components": 2}
        model = pa.pyramid((8, 8), (4, 4), **small, condition=pa.conditions.Classes(3))
        flags = []
        for name, made in (("tiny", model), ("rounded", codec_helpers.model())):
            helpers.make_run(cls.folder / name, made)
            flags += ["--workdir", cls.folder / name]
        _, cls.address = cls.enterClassContext(page_program(temporary, *flags))
        playwright = cls.enterClassContext(sync_api.sync_playwright())
        arguments = ["--no-sandbox"]  # as root there is none
        cls.browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        cls.addClassCleanup(cls.browser.close)
        cls.picture = cls.folder / "picture.png"
        Image.fromarray(fit(photos.read("chelsea.png"), (24, 32))).save(cls.picture)

    def opened(self, width):
        """A page of a width, and a check for errors and for requests to other servers."""
        page = self.browser.new_page(viewport={"width": width, "height": 900})
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
            # All at once, since the page may be scrolling.
            tops = "tabs => tabs.map(tab => tab.getBoundingClientRect().top)"
            self.assertLen(set(page.get_by_role("tab").evaluate_all(tops)), 1)  # one row
            # Those of the slider are in the gallery too.
            silent = "img:not([alt]), img[alt='']:not([data-testid='imageslider-image'])"
            self.assertEqual(page.locator(silent).count(), 0)

        self.addCleanup(page.close)
        return page, check

    def choose(self, page, file, said="32 x 24 pixels"):
        page.locator("#picture-file input[type=file]").set_input_files(file)
        page.locator("#picture-message").get_by_text(said).wait_for()

    def panel(self, page, tab):
        page.get_by_role("tab", name=tab, exact=True).click()
        return page.get_by_role("tabpanel").filter(visible=True)

    def start(self, page, tab, button, done, model="tiny", label=None):
        """Starts the action of a tab by a tiny model, and waits for its last text."""
        panel = self.panel(page, tab)
        panel.get_by_label("Model").click()
        page.get_by_role("option", name=str(self.folder / model), exact=True).click()
        if label:
            panel.get_by_label("What it shows").click()
            page.get_by_role("option", name=label, exact=True).click()
        panel.get_by_role("button", name=button, exact=True).click()
        panel.get_by_text(re.compile(done)).wait_for()
        return panel

    def expect_text(self, panel, text):
        panel.get_by_text(text).filter(visible=True).first.wait_for()

    @parameterized.parameters(*WIDTHS)
    def test_every_tab(self, width):
        page, check = self.opened(width)
        for tab in ("Enlarge, color", "Complete", "Compress", "Scores", "Draw"):
            self.expect_text(self.panel(page, tab), re.compile(r"(\d s|minute)\)"))
        panel = self.start(page, "Draw", "Draw", "Drew 4 images by", label="class 2")
        self.expect(panel.get_by_alt_text("of 4")).to_have_count(8)
        panel = self.start(page, "Scores", "Score", "Scored 8 x 8 pixels, reduced from 451 x 300")
        page.locator("#examples").get_by_alt_text("coffee").click()
        page.locator("#picture-message").get_by_text("600 x 400 pixels").wait_for()
        self.choose(page, self.picture)
        panel = self.start(page, "Enlarge, color", "Draw three times", "Drew 3 by")
        self.expect(panel.get_by_alt_text("By bicubic interpolation")).to_have_count(1)
        panel.get_by_label("colored", exact=True).check()
        self.expect(panel.get_by_label("Model")).to_have_value("cifar10-grayscale")
        self.complete(page)
        self.compress(page)
        panel = self.start(page, "Scores", "Score", "Scored 8 x 8 pixels")
        self.expect_text(panel, "the bound less the exact figure")
        self.expect(panel.get_by_alt_text("less their entropy")).to_have_count(2)
        check()

    def complete(self, page):
        """By a painted region, and by a rectangle."""
        message = "None. Paint over .* Expected a region to draw."
        panel = self.start(page, "Complete", "Draw the region", message)
        canvas = panel.locator("#region canvas").first
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 40, middle[1] + 20, steps=5)
        page.mouse.up()
        self.start(page, "Complete", "Draw the region", "Drew 3 by")
        self.expect(panel.get_by_alt_text("Drawn, ")).to_have_count(3)
        panel.get_by_label("Or a rectangle").fill("10 10 200 20")
        self.start(page, "Complete", "Draw the region", "'10 10 200 20'. Correct it")

    def compress(self, page):
        """The downloaded file can be opened again."""
        done = "the file restores the same pixels"
        panel = self.start(page, "Compress", "Compress", done, "rounded")
        for text in ("PNG", "WebP", "Bits by scale"):
            self.expect_text(panel, text)
        with page.expect_download() as download:
            panel.locator("#written a[download]").first.click()
        path = self.folder / f"{page.viewport_size['width']}.pxa"
        download.value.save_as(path)
        panel.locator("#compressed-file input[type=file]").set_input_files(path)
        panel.get_by_text(f"Decompressed {path.stat().st_size:,} bytes by rounded").wait_for()

    def test_wrong_files(self):
        """A sentence for each; the next file is accepted."""
        page, check = self.opened(WIDTHS[0])
        path = self.folder / "text.png"
        path.write_bytes(b"no picture")
        self.choose(page, path, "'text.png' (damaged")
        self.expect(page.locator("#picture-file").get_by_text("text.png")).to_have_count(0)
        self.choose(page, self.picture)
        self.panel(page, "Compress")
        page.locator("#compressed-file input[type=file]").set_input_files(path)
        page.get_by_text("Expected a compressed file of this codec").wait_for()
        self.expect(page.locator("#compressed-file").get_by_text("text.png")).to_have_count(0)
        check()


@unittest.skipUnless(HAS_PACKAGES, "there is no Gradio or Playwright")
class ProgramTest(helpers.TestCase):
    def test_nothing_is_left(self):
        """However the program ends; requests of other pages are refused."""
        import httpx

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
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


@unittest.skipUnless(importlib.util.find_spec("gradio"), "there is no Gradio")
class RequestsTest(helpers.TestCase):
    """Requests by a program, not by the page's buttons."""

    sessions = itertools.count()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import httpx

        from pixelcnn_aux.demo import actions, page, server

        cls.folder = pathlib.Path(os.path.realpath(helpers.temporary_folder(cls)))
        cls.uploads = cls.folder / "uploads"
        cls.uploads.mkdir()
        cls.enterClassContext(mock.patch.dict(os.environ, GRADIO_TEMP_DIR=str(cls.uploads)))
        cls.page = page.build(actions.Models(), cls.endless)
        application = server.application(cls.page, css="", max_bytes=2**20)
        cls.begun = []
        opened = cls.enterClassContext(server.bound(0))
        how = {"target": server.serve, "args": (application, opened), "daemon": True}
        threading.Thread(**how).start()
        address = f"http://{server.HOST}:{opened.getsockname()[1]}"
        cls.client = cls.enterClassContext(httpx.Client(base_url=address, timeout=60))
        cls.ended = threading.Event()

    @classmethod
    def endless(cls, *given):
        from pixelcnn_aux.demo.actions import Step

        cls.begun.append(given)
        try:
            while True:
                yield Step("goes on")
                time.sleep(0.05)
        finally:
            cls.ended.set()

    def join(self, number, data, **others):
        """Calls one of the page's functions: the request that cancels it."""
        body = {"fn_index": number, "data": data, "session_hash": f"{next(self.sessions)}"} | others
        joined = self.client.post("/gradio_api/queue/join", json=body)
        return {**body, **joined.raise_for_status().json()}

    @contextlib.contextmanager
    def call(self, number, data, **others):
        """Calls one of the page's functions: the request that cancels it, and its messages."""
        call = self.join(number, data, **others)
        url = f"/gradio_api/queue/data?session_hash={call['session_hash']}"
        with self.client.stream("GET", url) as stream:
            yield call, (json.loads(x[6:]) for x in stream.iter_lines() if x)

    def answer(self, number, data, **others):
        """The last message about a call, except that there will be no others."""
        with self.call(number, data, **others) as (_, messages):
            [last] = [x for x in messages if x["msg"] == "process_completed"]
        return json.dumps(last["output"], ensure_ascii=False)

    def test_work_ends_that_nobody_waits_for(self):
        """Its browser has left, or canceled it."""
        number = self.function("dropdown", "state")
        for cancels in (False, True):
            self.ended.clear()
            with self.call(number, [None, None]) as (call, messages):
                next(x for x in messages if "goes on" in json.dumps(x))
                if cancels:
                    self.client.post("/gradio_api/cancel", json=call).raise_for_status()
                    self.assertTrue(self.ended.wait(60))
            self.assertTrue(self.ended.wait(60))

    def function(self, *kinds):
        """The number of the first function of inputs of these kinds."""
        functions = self.page.fns.values()
        return next(x._id for x in functions if [y.get_block_name() for y in x.inputs] == [*kinds])

    def test_work_does_not_begin_that_nobody_listens_to(self):
        from pixelcnn_aux.demo import page

        number = self.function("dropdown", "state")
        del self.begun[:]
        with mock.patch.object(page, "PATIENCE", 0.2):
            for _ in range(20):
                self.join(number, [None, None])
            while self.page._queue.event_ids_to_events:
                self.assertEmpty(self.begun)
                time.sleep(0.05)
        with mock.patch.object(page, "STAY", 2), self.call(number, [None, None]) as (_, messages):
            next(x for x in messages if x["msg"] == "process_starts")  # and leaves
        while self.page._queue.event_ids_to_events:
            self.assertEmpty(self.begun)
            time.sleep(0.05)
        self.assertEmpty(self.begun)

    def test_wrong_requests_are_refused_in_silence(self):
        """Without an error of the server or a traceback."""
        join, upload = "/gradio_api/queue/join", "/gradio_api/upload"
        number = self.function("dropdown")
        large, many = b"[" * 2**17, [("files", (f"{x}.png", bytes(2**18))) for x in range(5)]
        kind = {"headers": {"content-type": "application/json"}}
        with contextlib.redirect_stderr(io.StringIO()) as printed:
            for index, status in ((999, 400), (-1, 400), (10**30, 400), ("x", 422), (None, 400)):
                body = {"fn_index": index, "data": [], "session_hash": "wrong"}
                self.assertEqual(self.client.post(join, json=body).status_code, status)
            for content, status in ((b"{", 422), (large[: 2**15], 400), (large, 413)):
                found = self.client.post(join, content=content, **kind)
                self.assertEqual(found.status_code, status)
            self.assertEqual(self.client.post(upload, files=many).status_code, 413)
            self.assertEqual(self.client.get("/assets/" + "a" * 5000).status_code, 400)
            for data in ([], [None], [{}], [[]], [7]):
                self.assertIn('"error"', self.answer(number, data))
        self.assertEqual(printed.getvalue(), "")

    def test_examples(self):
        [number] = [x._id for x in self.page.fns.values() if x.targets[0][1] == "select"]
        for index, said in ((1, "600 x 400 pixels"), (3, "IndexError"), ({}, "TypeError")):
            event = {"index": index, "value": None}
            self.assertIn(said, self.answer(number, [], event_data=event))

    def test_what_is_kept(self):
        """Uploads until they are ten minutes old, and few sessions."""
        self.assertLessEqual(sum(self.page.delete_cache), 600)
        self.assertLessEqual(self.page.state_holder.capacity, 256)

    def test_files_of_others_are_refused(self):
        """In one sentence, by every function that takes a file."""
        other, own = self.folder / "uploads-of-another.png", self.uploads / "own.png"
        for path in (other, own):
            Image.new("RGB", (5, 3)).save(path)
        (self.uploads / "link.png").symlink_to(other)
        (self.uploads / "linked").symlink_to(self.folder)
        os.mkfifo(self.uploads / "pipe.png")
        paths = [other, self.folder / "none.png", "/dev/zero", "http://127.0.0.1/x.png", 7, "a\0"]
        paths += [self.uploads, self.uploads / "none.png", self.uploads / ".." / other.name, ""]
        paths += [self.uploads / x for x in ("link.png", "pipe.png", "\0", f"linked/{other.name}")]
        before = sorted(self.uploads.rglob("*"))
        functions = {x._id: [y.get_block_name() for y in x.inputs] for x in self.page.fns.values()}
        takes_files = [(x, kinds) for x, kinds in functions.items() if "file" in kinds]
        self.assertLen(takes_files, 2)
        [[paints, kinds]] = [x for x in functions.items() if "imageeditor" in x[1]]
        sentence = "Another one, or one that is gone. Choose or drop it again. Expected a file that"
        for path in paths:
            file = {"path": path if path == 7 else str(path), "url": "http://127.0.0.1/x.png"}
            file |= {"meta": {"_type": "gradio.FileData"}}
            for number, _ in takes_files:
                self.assertIn(sentence, self.answer(number, [file]))
            many = 9 * [{**file, "path": str(own)}]
            for painted in (
                {"background": None, "layers": [file], "composite": None, "id": None},
                {"background": file, "layers": [], "composite": None, "id": None},
                {"background": None, "layers": many, "composite": None, "id": None},
            ):
                data = [painted if kind == "imageeditor" else None for kind in kinds]
                self.assertIn(sentence, self.answer(paints, data))
        for number, _ in takes_files:
            self.assertIn(sentence, self.answer(number, [None]))
        self.assertEqual(sorted(self.uploads.rglob("*")), before)
        file = {"path": str(own), "meta": {"_type": "gradio.FileData"}}
        self.assertIn("5 x 3 pixels", self.answer(takes_files[0][0], [file]))

    def test_layers_are_not_decoded_by_gradio(self):
        """Not even by the new editor of a session after an error."""
        layer = self.uploads / "layer.png"
        layer.write_bytes(b"no picture")
        file = {"path": str(layer), "meta": {"_type": "gradio.FileData"}}
        painted = {"background": None, "layers": [file], "composite": None, "id": "x"}
        kinds = ("dropdown", "state", "imageeditor", "textbox", "number", "slider")
        data, session = [None, None, painted, "", 0, 0], {"session_hash": "painter"}
        for _ in range(2):
            self.ended.clear()
            with self.call(self.function(*kinds), data, **session) as (_, messages):
                next(x for x in messages if "goes on" in json.dumps(x))
            self.assertTrue(self.ended.wait(60))
            self.assertEqual(self.begun[-1][3], [str(layer)])
            with self.call(self.function("file"), [None], **session) as (_, messages):
                done = next(x for x in messages if x["msg"] == "process_completed")
            self.assertIn("gone", json.dumps(done))

    def test_what_the_page_does_not_need_is_off(self):
        paths = ["/openapi.json", "/docs", "/redoc"]
        for path in ("info", "info/", "openapi.json", "runs", "proxy=http://127.0.0.1/", "call/x"):
            paths.append(f"/gradio_api/{path}")
        for path in (*paths, "/gradio_api/file=http://127.0.0.1/x.png", "/gradio_api/file=x"):
            self.assertEqual(self.client.get(path).status_code, 404, path)
        [editor] = [x for x in self.page.blocks.values() if x.get_block_name() == "imageeditor"]
        data = {"component_id": editor._id, "fn_name": "accept_blobs", "session_hash": "s"}
        data |= {"id": "x", "type": "layer", "index": 10**4}
        for path in ("component_server", "component_server/", "run/predict", "api/predict"):
            found = self.client.post(f"/gradio_api/{path}", data=data, files={"file": b"x"})
            self.assertEqual(found.status_code, 404, path)
        self.assertEmpty(editor.blob_storage)


@unittest.skipUnless(importlib.util.find_spec("gradio"), "there is no Gradio")
class AnswerTest(helpers.TestCase):
    def test_what_changes_is_sent_and_errors_are_answers(self):
        from pixelcnn_aux.demo import page
        from pixelcnn_aux.demo.actions import Step, Table

        def action(error):
            images = ((np.zeros((2, 2, 3), np.uint8), "two"),)
            yield Step("Loading <b>", 0.5, images)
            yield Step("Drawing", 0.7, images)
            yield Step("Done", None, images, None, (Table("bits", ["a"], [["1"]]),), b"file")
            raise error

        outputs = dict.fromkeys(("text", "cancel", "file", "table 0", "images"))
        error = ValueError("Expected <i>. Received: one of 3. Take 2.")
        answers = [*page._answer(action, outputs)(error)]
        self.assertEqual([x[1]["visible"] for x in answers], [True, True, "hidden", "hidden"])
        first, again, second, last = ([x[0], *x[2:]] for x in answers)
        self.assertNotIn("value", again[3])  # the same images
        self.assertIn("value", second[3])  # all once more, since browsers skip fast updates
        self.assertIn("Loading &lt;b&gt;", first[0])
        self.assertIn('role="status"', first[0])
        self.assertEqual([x["visible"] for x in first[1:]], [False, False, True])
        self.assertEqual(pathlib.Path(second[1]["value"]).read_bytes(), b"file")
        self.assertEqual(second[2]["value"], {"headers": ["a"], "data": [["1"]]})
        self.assertRegex(last[0], 'role="alert".*>One of 3. Take 2. Expected &lt;i&gt;.<')
        self.assertRegex(page.error_html(OSError("no")), "OSError: no")
