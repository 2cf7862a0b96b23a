"""Reads thousands of damaged files: python -m tests.fuzz --num 2000 --seed 0.

Reading one has to give what the honest file gives, or something else as whole where nothing can tell, or to
raise one error that names the file. It must not end the process, hang or fill the memory: files are read in
another process, which is watched. The program prints how many files had which outcome, by their kinds, and
ends with status 1 if one failed.
"""

import collections
import multiprocessing
import os
import pathlib
import resource
import signal
import sys
import tempfile

import numpy as np
from absl import app, flags

from benchmarks import common
from tests.fuzz import files

FLAGS = flags.FLAGS
SECONDS = 20  # for one file
STARTING = 300  # seconds, in which a process imports TensorFlow and makes the honest files
ALLOWANCE = 512 * 2**20  # bytes above the peak of honest files; one image may claim 200 MB
CEILING = 8 * 2**30  # bytes of addresses above it: a process that asks for more is refused
CASES = 500  # of one process: the models that it has loaded add up


def serve(connection, seed):
    """Judges the cases whose numbers come in: sends (outcome, detail, whether the process is to end)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries complain of damaged images
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind(pathlib.Path(folder, kind.__name__)) for kind in files.KINDS]
        most = common.peak_bytes() + ALLOWANCE
        addresses = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        ceiling = addresses * resource.getpagesize() + CEILING
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
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


def start():
    """(process, connection) of a process that serves."""
    context = multiprocessing.get_context("spawn")
    connection, other = context.Pipe()
    process = context.Process(target=serve, args=(other, FLAGS.seed), daemon=True)
    process.start()
    other.close()
    if not connection.poll(STARTING):
        sys.exit(f"Expected a process that is ready in {STARTING} s. Received: none")
    connection.recv()
    return process, connection


def main(argv):
    del argv
    counts, process = collections.Counter(), None
    for index in range(FLAGS.first, FLAGS.first + FLAGS.num):
        if process is None:
            process, connection = start()
        connection.send(index)
        done = True
        try:
            outcome, detail = files.FAILED, f"takes longer than {SECONDS} s"
            if connection.poll(SECONDS):
                outcome, detail, done = connection.recv()
        except EOFError:
            process.join()
            outcome, detail = files.FAILED, f"its process ends, status {process.exitcode}"
        if done:
            process.kill()
            process.join()
            process = None
        kind = files.KINDS[index % len(files.KINDS)].__name__
        counts[kind, outcome] += 1
        if outcome == files.FAILED or FLAGS.num == 1:
            again = f"--seed {FLAGS.seed} --first {index} --num 1"
            print(f"{kind} {outcome} ({again}): {detail}", flush=True)
    print(f"{'kind':12}", *(f"{x:>10}" for x in ("cases", *files.OUTCOMES)))
    for kind in (kind.__name__ for kind in files.KINDS):
        row = [counts[kind, outcome] for outcome in files.OUTCOMES]
        print(f"{kind:12}", *(f"{count:10}" for count in (sum(row), *row)))
    sys.exit(any(outcome == files.FAILED for _, outcome in counts))


if __name__ == "__main__":
    flags.DEFINE_integer("num", 2000, "How many files.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)
    flags.DEFINE_integer("first", 0, "The number of the first one.", lower_bound=0)
    app.run(main)
