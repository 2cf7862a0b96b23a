"""The process that reads damaged files, within limits on time and memory."""

import os
import pathlib
import resource
import signal
import tempfile

import numpy as np

from benchmarks import tools
from tests.fuzz import files

SECONDS = 20  # for one file
ALLOWANCE = 512 * 2**20  # bytes above the peak of honest files; one image may claim 200 MB
CEILING = 8 * 2**30  # bytes of addresses above it: a process that asks for more is refused
CASES = 500  # of one process: the models that it has loaded add up


def serve(connection, seed):
    """Judges the cases whose numbers come in: sends (outcome, detail, whether the process is to end)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries complain of damaged images
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind(pathlib.Path(folder, kind.__name__)) for kind in files.KINDS]
        most = tools.peak_bytes() + ALLOWANCE
        addresses = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        ceiling = addresses * resource.getpagesize() + CEILING
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
        connection.send("ready")
        for remaining in reversed(range(CASES)):
            index = connection.recv()
            signal.alarm(2 * SECONDS)  # ends it, if nobody is left to do so
            random = np.random.default_rng([seed, index])
            outcome, detail = kinds[index % len(kinds)].judge(random)
            if large := tools.peak_bytes() > most:
                outcome = files.FAILED
                megabytes = tools.peak_bytes() / 2**20, most / 2**20
                detail = "takes {:,.0f} MB, of at most {:,.0f}. {}".format(*megabytes, detail)
            signal.alarm(0)
            connection.send((outcome, detail, large or not remaining))
