"""Tests of many items in shards: what is kept, resumed, refused and tried again, wherever it is computed."""

import functools
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent import futures
from unittest import mock

import numpy as np
import pytest
from absl.testing import parameterized

import pixelcnn_aux as pa
from pixelcnn_aux import jobs
from pixelcnn_aux.base import disk, threads
from tests import helpers
from tests.jobs import pairs, work

ITEMS = range(7)
PROGRAMS = {  # without and with what ends the page
    "as it is": "from tests.jobs import work; work.begin()",
    "as the page": """
from pixelcnn_aux.demo import server
from tests.jobs import work
with server.temporary_folder():
    work.begin()
""",
}


class ShardsTest(helpers.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.run_folder = helpers.temporary_folder(cls) / "run"
        helpers.make_run(cls.run_folder, helpers.tiny_model(exact=True))
        cls.expected = jobs.run(work.draws, ITEMS, cls.run_folder, size=3).joined()["image"]

    def run_job(self, function=work.draws, items=ITEMS, **kwargs):
        return jobs.run(function, items, self.run_folder, **{"size": 3, **kwargs})

    def files(self):
        return {x.name: x.read_bytes() for x in (self.folder / "job").iterdir()}

    def kept(self):
        return self.run_job(folder=self.folder / "job")

    def test_results_are_those_of_the_function_in_order(self):
        model = pa.load(self.run_folder)
        images = model.sample([[0, x] for x in ITEMS], image_size=(4, 6))["image"]
        self.assertAllEqual(self.expected, images)
        results = self.kept()
        self.assertEqual([len(x["item"]) for x in results], [3, 3, 1])
        self.assertAllEqual(results.joined()["image"], images)
        self.assertAllEqual(results[-1]["item"], [6])
        text = self.run_job(work.text, folder=self.folder / "text", suffix=".txt")
        self.assertEqual([*text], [b"0,1,2", b"3,4,5", b"6"])
        self.assertEqual(text.file(1).name, "000001.txt")

    def test_a_second_run_computes_what_is_missing(self):
        self.kept()
        whole = self.files()
        self.assertCountEqual(whole, ["lock", "job.json", *(f"00000{k}.npz" for k in range(3))])
        kept = self.folder / "job" / "000000.npz"
        (self.folder / "job" / "000001.npz").unlink()
        (self.folder / "job" / f"{disk.ASIDE}1-00000001").write_bytes(
            b"of a worker that was killed"
        )
        (self.folder / "job" / f"{disk.ASIDE}1-00000002").mkdir()
        before = kept.stat().st_mtime_ns
        self.kept()
        (self.folder / "job" / f"{disk.ASIDE}1-00000002").rmdir()
        self.assertEqual(self.files(), whole)
        self.assertEqual(kept.stat().st_mtime_ns, before)

    def test_folders_of_other_jobs_are_refused(self):
        self.kept()
        other = self.folder / "other"
        helpers.make_run(other, helpers.randomized(helpers.tiny_model(exact=True)))
        whole, folder = self.files(), self.folder / "job"
        for message, function, items, model in (
            ("function.*failing", functools.partial(work.failing, on=9), ITEMS, self.run_folder),
            ("seed", functools.partial(work.draws, seed=1), ITEMS, self.run_folder),
            ("other items in 000002.npz", work.draws, range(6), self.run_folder),
            ("other items in 000002.npz", work.draws, [*range(6), 9], self.run_folder),
            ("model", work.draws, ITEMS, other),
        ):
            with self.assertRaisesRegex(
                ValueError, f"a folder of this job; {folder} has.*{message}"
            ):
                jobs.run(function, items, model, folder=folder, size=3)
        self.assertEqual(self.files(), whole)
        record = json.loads((folder / "job.json").read_text())
        for found, message in (
            ({"function": "f", "shards": record["shards"]}, "results of an earlier version. Give"),
            ({"shards": 3}, "shards of .*job.json. Received: 3. Restore"),
        ):
            (folder / "job.json").write_text(json.dumps(found))
            with self.assertRaisesRegex(ValueError, message):
                self.kept()
        (folder / "job.json").unlink()
        with self.assertRaisesRegex(ValueError, "a folder of this job;.*instead of null"):
            self.kept()
        with disk.locked(folder / "lock", None):
            with self.assertRaisesRegex(ValueError, "for this job alone.*another process"):
                self.kept()

    def test_damaged_results_are_named(self):
        results = self.kept()
        results.file(1).write_bytes(b"PK")
        with self.assertRaisesRegex(ValueError, "000001.npz. Received: a damaged.*Remove it"):
            results.joined()
        with mock.patch.object(np, "load", side_effect=MemoryError("8 TiB")):
            with self.assertRaisesRegex(ValueError, "000000.npz. Received: .*8 TiB"):
                results[0]
        self.assertAllEqual(self.kept().joined()["image"], self.expected)

    def test_differing_jobs_never_have_the_same_results(self):
        ends = pairs.count(len(pairs.KINDS), self.folder)
        self.assertEqual(ends.total(), len(pairs.KINDS))

    def test_what_cannot_be_told_apart_is_named_before_anything_is_computed(self):
        log = str(self.folder / "log")
        for setting in (lambda: 0, threading.Lock(), {1}, self.folder):
            function = functools.partial(work.full, log=log, setting=setting)
            name = re.escape(f"{setting!r}"[:40])
            with self.assertRaisesRegex(ValueError, f"which have a checksum. Received: {name}"):
                self.run_job(function, folder=self.folder / "job")
        self.assertFalse(os.path.exists(log))
        self.run_job(lambda model, items: work.draws(model, items))  # without a folder

    def test_wrong_arguments_and_rows(self):
        for name, value in (
            *(("jobs", x) for x in (0, -3, True, math.nan)),
            ("size", True),
            ("suffix", "npz"),
            ("suffix", "./a"),
        ):
            with self.assertRaisesRegex(ValueError, f"Expected {name} .*{value}"):
                self.run_job(**{name: value})
        for array, message in (
            (np.zeros(1), "float64 of shape .1."),
            (np.array([None] * 3), "object of"),
        ):
            function = functools.partial(work.constant, array=array)
            expected = "an array 'a' of .*constant.* with a row each for the 3 items from 3 on.*"
            with self.assertRaisesRegex(jobs.ShardError, f"shard 1, .*{expected}{message}"):
                self.run_job(function)

    def test_a_full_disk_ends_the_job_at_once(self):
        log = self.folder / "log"
        function = functools.partial(work.full, log=str(log))
        for count in (1, 2):
            with self.assertRaisesRegex(OSError, "No space left"):
                self.run_job(function, size=1, jobs=count)
        self.assertLess(log.read_text().count("\n"), 1 + len(ITEMS))

    def test_weights_are_those_of_now(self):
        run = self.folder / "run"
        for seed in range(2):
            model = helpers.tiny_model(exact=True)
            model.factors["image"] = helpers.randomize(model.factors["image"], seed)
            model.save(run)
            found = jobs.run(work.draws, ITEMS, run).joined()["image"]
            expected = jobs.run(work.draws, ITEMS, pa.load(run)).joined()["image"]
            self.assertAllEqual(found, expected)
        pinned = jobs.Source(str(run)).pinned()
        self.assertIs(pinned.load(), pinned.load())
        with self.assertRaisesRegex(ValueError, f"fingerprint 12.*{pinned.fingerprint} on"):
            pinned._replace(fingerprint="12").load()

    def test_a_shard_that_fails_is_tried_once_more_while_others_go_on(self):
        once = functools.partial(work.failing, on=1, once=str(self.folder / "once"))
        self.assertAllEqual(self.run_job(once).joined()["image"], self.expected)
        always = functools.partial(work.failing, on=4)
        for executor in (None, jobs.Processes(2)):
            folder = self.folder / f"{executor is None}"
            with self.assertRaises(jobs.ShardError) as error:
                self.run_job(always, folder=folder, executor=executor)
            self.assertStartsWith(
                str(error.exception), "Expected the results of 3 shards. Received: 1"
            )
            self.assertIn("\n  shard 1, from 3 on: ValueError: no 4", str(error.exception))
            self.assertCountEqual(
                [x.name for x in folder.glob("*.npz")], ["000000.npz", "000002.npz"]
            )
        executor.shutdown()
        with self.assertRaisesRegex(ValueError, "^no 4$"):  # of the only shard
            self.run_job(always, items=[4])

    def test_items_of_a_shard_that_failed_may_change(self):
        folder = self.folder / "job"
        with self.assertRaises(jobs.ShardError):
            self.run_job(functools.partial(work.failing, on=4), folder=folder)
        items = [0, 1, 2, 3, 5, 5, 6]
        results = self.run_job(functools.partial(work.failing, on=4), items=items, folder=folder)
        self.assertAllEqual(results.joined()["item"], items)
        digests = json.loads((folder / "job.json").read_text())["shards"]
        self.assertLen({*digests.values()}, 3)
        for file in folder.glob("*.npz"):
            file.unlink()
        self.assertLen(self.run_job(items=[1], folder=folder), 1)

    @parameterized.parameters("fork", "spawn", "forkserver")
    def test_processes_of_any_kind_and_threads_have_the_same_results(self, method):
        context = multiprocessing.get_context(method)
        with futures.ProcessPoolExecutor(2, context) as executor:
            found = self.run_job(folder=self.folder / method, executor=executor)
        self.assertAllEqual(found.joined()["image"], self.expected)
        with futures.ThreadPoolExecutor(3) as executor:
            found = self.run_job(size=1, executor=executor)
        self.assertAllEqual(found.joined()["image"], self.expected)

    def test_local_processes_share_the_cores_and_load_no_framework(self):
        with jobs.Processes(2) as executor:
            found = jobs.run(
                work.process, ITEMS, self.run_folder, size=1, executor=executor, suffix=".npz"
            )
            ids, has_keras, cores = found.joined()["process"].T
        self.assertNotIn(os.getpid(), ids)
        self.assertFalse(has_keras.any())
        self.assertEqual({*cores}, {max(1, threads.cores // 2)})
        for number in {*ids.tolist()}:
            with self.assertRaises(ProcessLookupError):
                os.kill(number, 0)

    def test_processes_that_die_fail_no_other_shard(self):
        once = functools.partial(work.failing, on=1, by="death", once=str(self.folder / "once"))
        found = self.run_job(once, size=1, jobs=2, folder=self.folder / "job")
        self.assertAllEqual(found.joined()["image"], self.expected)
        always = functools.partial(work.failing, on=1, by="death")
        with self.assertRaisesRegex(
            jobs.ShardError, "Received: 1 that.*\n  shard 1,.*BrokenProcess"
        ):
            self.run_job(always, size=1, jobs=2)

    @parameterized.parameters(
        *(("as it is", x) for x in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)),
        ("as the page", signal.SIGTERM),
    )
    def test_none_is_left_however_a_program_ends(self, program, number):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAMS[program]],
            cwd=helpers.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as started:
            try:
                while (line := started.stdout.readline()) != "begun\n":
                    self.assertStartsWith(line, "2/2")  # the bar
                # A terminal interrupts all processes.
                send = os.killpg if number == signal.SIGINT else os.kill
                send(started.pid, number)
                _, errors = started.communicate(timeout=60)  # until no process has these streams
            finally:
                started.kill()
        self.assertNotEqual(started.returncode, 0)
        self.assertLessEqual(errors.count("Traceback"), 1, errors)  # of Ctrl-C, here


class DaskTest(helpers.TestCase):
    def test_a_run_that_is_trained_on_between_two_jobs(self):
        distributed = pytest.importorskip("dask.distributed")
        run = self.folder / "run"
        with (
            distributed.LocalCluster(n_workers=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            for seed in range(2):
                model = helpers.tiny_model(exact=True)
                model.factors["image"] = helpers.randomize(model.factors["image"], seed)
                model.save(run)
                executor = client.get_executor()
                found = jobs.run(work.draws, ITEMS, run, executor=executor).joined()["image"]
                expected = jobs.run(work.draws, ITEMS, pa.load(run)).joined()["image"]
                self.assertAllEqual(found, expected)

    def test_a_cluster_that_loses_a_worker(self):
        distributed = pytest.importorskip("dask.distributed")
        run = self.folder / "run"
        helpers.make_run(run, helpers.tiny_model(exact=True))
        expected = jobs.run(work.draws, ITEMS, run, size=1).joined()["image"]
        once = functools.partial(work.failing, on=1, by="death", once=str(self.folder / "once"))
        with (
            distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            executor = client.get_executor()
            found = jobs.run(
                once, ITEMS, run, size=1, folder=self.folder / "job", executor=executor
            )
            self.assertTrue((self.folder / "once").exists())
            self.assertAllEqual(found.joined()["image"], expected)
