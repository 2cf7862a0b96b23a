"""Processes that read damaged files, and the watch over them."""

import multiprocessing
import os
import pathlib
import resource
import signal
import tempfile

import numpy as np

from benchmarks import common
from tests.fuzz import files

SECONDS = 20  # for one file
STARTING = 300  # seconds, in which a process imports TensorFlow and makes the honest files
ALLOWANCE = 512 * 2**20  # bytes above the peak of honest files; one image may claim 200 MB
CEILING = 8 * 2**30  # bytes of addresses above it: a process that asks for more is refused
CASES = 500  # of one process: the models that it has loaded add up


class Worker:
    """A process that reads files, and the next one where it ends.

    Args:
      seed: int, of all cases.
    """

    def __init__(self, seed):
        self._seed, self._process = seed, None

    def judge(self, index):
        """(name of the kind of file, outcome, what there is to say about it) of a case."""
        if self._process is None:
            self._start()
        self._connection.send(index)
        try:
            if self._connection.poll(SECONDS):
                outcome, detail, done = self._connection.recv()
                if done:
                    self.end()
            else:
                outcome, detail = files.FAILED, f"takes longer than {SECONDS} s"
                self.end()
        except EOFError:
            self._process.join()
            outcome, detail = files.FAILED, f"its process ends, status {self._process.exitcode}"
            self.end()
        return _kind(index).__name__, outcome, detail

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, self._seed), daemon=True)
        self._process.start()
        other.close()
        if not self._connection.poll(STARTING):
            raise RuntimeError(
                f"Expected a process that is ready in {STARTING} s. Received: none. Give it a processor."
            )
        self._connection.recv()

    def end(self):
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(connection, seed):
    # What libraries say of damaged images.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind(pathlib.Path(folder, kind.__name__)) for kind in files.KINDS]
        most = common.peak_bytes() + ALLOWANCE
        addresses = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        addresses *= resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (addresses + CEILING, addresses + CEILING))
        connection.send("ready")
        for remaining in reversed(range(CASES)):
            index = connection.recv()
            signal.alarm(2 * SECONDS)  # ends it, if nobody is left to do so
            random = np.random.default_rng([seed, index])
            outcome, detail = kinds[index % len(kinds)].judge(random)
            if large := common.peak_bytes() > most:
                outcome = files.FAILED
                megabytes = common.peak_bytes() / 2**20, most / 2**20
                detail = "takes {:,.0f} MB, of at most {:,.0f}. {}".format(*megabytes, detail)
            signal.alarm(0)
            connection.send((outcome, detail, large or not remaining))


def _kind(index):
    return files.KINDS[index % len(files.KINDS)]
