"""Tests of model repositories on the Hub, with a stand-in for it on this machine."""

import functools
import json
import os
import pathlib
import re
import shutil
import sys
from unittest import mock

import huggingface_hub
from huggingface_hub import HfApi, constants

import pixelcnn_aux as pa
from pixelcnn_aux.commands import bpd
from pixelcnn_aux.run_files import hub
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import metrics
from tests import helpers
from tests.runs import stand_in

IMAGES = helpers.pictures(2)
SEEDS = [[0, 1], [0, 2]]
NAME = "hf://me/tiny"
ROW = dict.fromkeys(metrics.FIELDS, 1)
WEIGHTS = "image/average.safetensors"
KEPT = ("average.safetensors", "metrics.csv", "training.json")
OF_FACTORS = [f"{name}/{file}" for name in ("grayscale", "image") for file in KEPT]


def make_run(folder):
    """Files of a trained and evaluated run on photographs."""
    model, run = helpers.tiny_model(exact=True), RunFolder(folder)
    run.create({"dataset": "photos", "image_dir": "/home/me", "model": model.description()})
    for seed, (name, factor) in enumerate(model.factors.items()):
        factor = model.factors[name] = helpers.randomize(factor, seed)
        run[name].save_weights(factor)
        run[name].record_training({"epochs": seed, "init": "/home/me/runs/other"})
        metrics.MetricsTable(run[name], 0).add({**ROW, "epoch": seed})
    found = {"dataset": "photos", "split": "test", "num_images": 1234, "model": bpd.identity(model)}
    kinds = {"exact": {"total": 3.25, "std_error": 0.125}, "bound": {"total": 3.5, "std_error": 1}}
    (folder / "bpd.json").write_text(json.dumps({**found, **kinds}))


class HubTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = helpers.temporary_folder(cls)
        make_run(cls.folder / "mine")

    def setUp(self):
        super().setUp()
        self.hub, self.endpoint = self.enterContext(stand_in.serving())
        settings = {
            "ENDPOINT": self.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{self.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HUB_DISABLE_PROGRESS_BARS": True,
            # By Xet, large files are uploaded to another server, of another protocol.
            "HF_HUB_DISABLE_XET": True,
        }
        for key, value in settings.items():  # of the environment, as it is when they are imported
            self.enterContext(mock.patch.object(constants, key, value))
        self.fresh_cache()
        self.log_in()

    def fresh_cache(self):
        cache = str(helpers.temporary_folder(self))
        self.enterContext(mock.patch.object(constants, "HF_HUB_CACHE", cache))

    def log_in(self, token=stand_in.TOKEN, endpoint=None):
        """Authenticates later calls with this token; False for none."""
        api = functools.partial(HfApi, endpoint=endpoint or self.endpoint, token=token)
        self.enterContext(mock.patch.object(huggingface_hub, "HfApi", api))

    def push(self, **options):
        """Pushes the run, and returns the result of `pa.push`."""
        return pa.push(pa.load(self.folder / "mine"), NAME, **options)

    def hold(self):
        """Puts the run into the repository, as if uploaded by others. Returns its files."""
        run = helpers.contents(self.folder / "mine")
        self.hub.commits["me/tiny"] = [
            {**run, "card.json": b"{}", "README.md": b"", ".gitattributes": b""}
        ]
        return self.hub.files("me/tiny")

    def test_a_pushed_model_comes_back(self):
        pushed = self.push()
        mine = pa.load(self.folder / "mine")
        loaded = pa.load(NAME)
        self.assertAllEqual(loaded.log_prob(IMAGES), mine.log_prob(IMAGES))
        self.assertAllEqual(loaded.sample(SEEDS)["image"], mine.sample(SEEDS)["image"])
        self.assertEqual(loaded.loaded_from, NAME)
        self.assertEqual(loaded.description(), mine.description())
        self.assertRegex(pushed, f"^{NAME}@[0-9a-f]{{40}}$")
        # Another one by the same name, of other factors.
        pa.push(other := helpers.tiny_model(), NAME)
        self.assertAllEqual(pa.load(NAME).log_prob(IMAGES), other.log_prob(IMAGES))
        self.assertAllEqual(pa.load(pushed).log_prob(IMAGES), mine.log_prob(IMAGES))

    def test_the_files_of_a_push_and_of_a_later_one(self):
        self.push(license="cc-by-4.0")
        files = self.hub.files("me/tiny")
        own = [".gitattributes", "README.md", "card.json", "config.json"]
        self.assertEqual(sorted(files), sorted([*own, *OF_FACTORS]))
        card = {"data": "photos", "split": "test", "num_images": 1234}
        card |= {"bits_per_dim": 3.25, "std_error": 0.125}
        self.assertEqual(json.loads(files["card.json"]), card)
        self.assertEqual(json.loads(files["image/training.json"]), {"epochs": 1, "init": "other"})
        for name, data in files.items():
            self.assertNotIn(b"/home/me", data, name)
        page = files["README.md"].decode()
        for part in (
            '---\nlibrary_name: "pixelcnn_aux"\n',
            '\nlicense: "cc-by-4.0"\n',
            "\n- Bits per dimension: **3.250** (exact, standard error 0.125), the mean of 1,234 test images",
            '\nmodel = pa.load("hf://me/tiny")\n',
        ):
            self.assertIn(part, page)
        files["notes.txt"] = b"mine"
        pa.push(pa.pixelcnn_pp(helpers.SIZE, filters=4, blocks=1, resolutions=1), NAME)
        kept = [".gitattributes", "README.md", "config.json", WEIGHTS, "notes.txt"]
        self.assertEqual(sorted(self.hub.files("me/tiny")), sorted(kept))

    def test_figures_are_those_of_the_model(self):
        """Pushed with the last or best weights as loaded; a changed model has no run."""
        model = pa.load(self.folder / "mine")
        pa.push(model.with_exact(False), NAME)
        self.assertNotIn("card.json", self.hub.files("me/tiny"))
        changed = self.folder / "changed"
        shutil.copytree(self.folder / "mine", changed)
        for name in model.factors:
            model.factors[name] = helpers.randomize(model.factors[name], 7)
            RunFolder(changed)[name].save_if_best(model.factors[name], 1, 1.0)
        pa.push(model, NAME)
        self.assertNotIn("image/metrics.csv", self.hub.files("me/tiny"))
        pa.push(pa.load(changed, best=True), NAME)
        self.assertIn("image/metrics.csv", self.hub.files("me/tiny"))
        self.assertEqual(json.loads(self.hub.files("me/tiny")["card.json"]), {"data": "photos"})
        self.assertAllEqual(pa.load(NAME).log_prob(IMAGES), model.log_prob(IMAGES))

    def test_only_what_a_run_has_is_public(self):
        """No targets of links, and only numbers in tables."""
        secret = self.folder / "secret"
        secret.write_text("a private key\nof two lines\n")
        (elsewhere := self.folder / "elsewhere").mkdir()
        (elsewhere / "metrics.csv").write_text("a,b\n1,2\n")
        log_in = json.dumps({"auths": {"registry": "token"}})

        def link_to(place):
            return lambda file: file.symlink_to(place)

        link = ValueError, "to lie there.*a link to"
        irregular = OSError, "regular file as .*metrics.csv. Received: a folder, a pipe"
        for file, make, (kind, message) in (
            ("image/metrics.csv", link_to(secret), link),
            ("image/training.json", link_to(secret), link),
            ("config.json", link_to(self.folder / "mine" / "config.json"), link),
            ("linked", link_to(elsewhere), link),
            ("image/metrics.csv", pathlib.Path.mkdir, irregular),
            ("image/metrics.csv", os.mkfifo, irregular),
        ):
            folder = helpers.temporary_folder(self) / "mine"
            shutil.copytree(self.folder / "mine", folder)
            model = pa.load(folder)
            (folder / file).unlink(missing_ok=True)
            make(folder / file)
            with self.subTest(file), self.assertRaisesRegex(kind, message):
                pa.push(model, NAME)
        self.assertEmpty(self.hub.commits)
        folder = helpers.temporary_folder(self) / "mine"
        shutil.copytree(self.folder / "mine", folder)
        for file in ("image/training.json", "card.json"):
            (folder / file).write_text(log_in)
        (folder / "image/metrics.csv").write_text(secret.read_text())
        with self.assertLogs("absl", "WARNING") as logged:
            pa.push(pa.load(folder), NAME)
        self.assertRegex(logged.output[0], "Expected a table of metrics in .*a damaged one")
        files = self.hub.files("me/tiny")
        self.assertEqual(json.loads(files["image/training.json"]), {})
        self.assertEmpty({"image/metrics.csv", "card.json"} & files.keys())

    def linked(self, file):
        """Replaces the run's description by a link."""
        file.symlink_to(self.folder / "mine" / file.name)

    def test_the_later_of_two_pushes_at_once_is_refused(self):
        """A mixture of both pushes would not be a run."""
        listed, other = hub._run_files, helpers.tiny_model()

        def meanwhile(info):
            with mock.patch.object(hub, "_run_files", listed):
                pa.push(other, NAME)
            return listed(info)

        with mock.patch.object(hub, "_run_files", meanwhile):
            with self.assertRaisesRegex(ConnectionError, "as it was when this push.*Push again"):
                self.push()
        self.assertAllEqual(pa.load(NAME).log_prob(IMAGES), other.log_prob(IMAGES))

    def test_a_model_of_the_hub_is_pushed_with_its_facts(self):
        """The Hub's cache consists of links."""
        pushed = self.push()
        model = pa.load(NAME)
        model.loaded_from = pushed  # of a commit, which stays
        pa.push(model, "hf://me/other")
        self.assertEqual(
            {**self.hub.files("me/other"), "README.md": b""},
            {**self.hub.files("me/tiny"), "README.md": b""},
        )

    def test_names(self):
        self.assertEqual(hub.parse("hf://a/b-c.d"), ("a/b-c.d", None))
        self.assertEqual(hub.parse("hf://a/b@refs/pr/1"), ("a/b", "refs/pr/1"))
        push = functools.partial(pa.push, helpers.shared_model())
        malformed = ("a", "a/b/c", "/b", "a/b@", "a b/c", "a--b/..", "")
        for use, name in (
            (push, "runs/mine"),
            *((use, f"hf://{name}") for name in malformed for use in (pa.load, push)),
        ):
            with self.assertRaisesRegex(ValueError, f"as hf://owner/name or .*Received: '{name}"):
                use(name)

    def test_a_factor_that_is_not_trained_and_a_missing_package(self):
        model = pa.load(self.folder / "mine")
        model.untrained = ("image",)
        with self.assertRaisesRegex(ValueError, "'image' not trained yet"):
            pa.push(model, NAME)
        self.assertEmpty(self.hub.commits)
        with mock.patch.dict(sys.modules, huggingface_hub=None):
            with self.assertRaisesRegex(ImportError, "pip install huggingface_hub"):
                pa.load(NAME)

    def test_repositories_that_do_not_exist_or_are_private(self):
        commit = stand_in.commit_of("me/tiny", self.hold())
        self.hub.private.add("me/tiny")
        for name in ("hf://me/none", "hf://me/tiny@other", f"{NAME}@{commit[:-4]}0000"):
            with self.assertRaisesRegex(FileNotFoundError, f"Received: {name}, .*hf auth login"):
                pa.load(name)
        pa.load(NAME)
        self.fresh_cache()
        self.log_in(token=False)
        with self.assertRaisesRegex(FileNotFoundError, f"Received: {NAME}, .*hf auth login"):
            pa.load(NAME)

    def test_who_may_not_write(self):
        for token in (False, "hf_reader"):
            self.log_in(token)
            with self.assertRaisesRegex(PermissionError, f"may use {NAME}.*hf auth login"):
                pa.push(helpers.shared_model(), NAME)
        self.assertEmpty(self.hub.commits)

    def test_without_a_connection_the_last_download_is_read(self):
        self.hold()
        expected = pa.load(NAME).log_prob(IMAGES)
        self.log_in(endpoint="http://127.0.0.1:9")  # no server
        self.assertAllEqual(pa.load(NAME).log_prob(IMAGES), expected)
        self.fresh_cache()
        with self.assertRaisesRegex(ConnectionError, f"about {NAME}.*Check the connection"):
            pa.load(NAME)

    def test_only_files_of_a_run_are_downloaded(self):
        files = self.hold()
        others = ("model.pkl", "pixelcnn.py", "image/best.safetensors", "a/b/average.safetensors")
        files.update(dict.fromkeys(others, b"hostile"))
        pa.load(NAME)
        self.assertEqual(sorted(self.hub.served), sorted(["card.json", "config.json", *OF_FACTORS]))

    def assertRefused(self, message):
        """Loading raises the error before reading any file."""
        with self.assertRaisesRegex(ValueError, message):
            pa.load(NAME)
        self.assertEmpty(self.hub.served)

    def test_repositories_of_something_else_or_too_large(self):
        self.hub.commits["me/tiny"] = [{}]
        self.assertRefused("FACTOR/average.safetensors.*Received: hf://me/tiny, with no files")
        self.hub.commits["me/tiny"].append({"config.json": b"{}", "model.safetensors": b"x"})
        self.assertRefused("with config.json, model.safetensors. Give one of a model of pixelcnn")
        self.hold()
        for file, size in (
            (WEIGHTS, hub.MOST_WEIGHTS),
            ("card.json", 2**24),
            ("config.json", None),
        ):
            with mock.patch.dict(self.hub.listed, {file: size}):
                self.assertRefused("at most 4,294,967,296 bytes of weights and 16,777,216 of other")

    def test_a_file_of_another_size_than_was_listed(self):
        files = self.hold()
        whole = files[WEIGHTS]
        self.hub.listed[WEIGHTS] = len(whole)
        files[WEIGHTS] = whole[:-100]
        message = f"{WEIGHTS} of {NAME} with {len(whole):,} bytes.*Received: {len(whole) - 100:,}. Remove "
        with self.assertRaisesRegex(ValueError, message) as caught:
            pa.load(NAME)
        self.hub.files("me/tiny")[WEIGHTS] = whole
        [removed] = re.findall(r"Remove (.+), and load it again", str(caught.exception))
        shutil.rmtree(removed)
        pa.load(NAME)
