"""Reads thousands of damaged files: python -m tests.fuzz --num 2000 --seed 0.

Each has to end in what the honest file gives, in something else as whole where nothing can tell, or in one
error that names it: in no other exception, and no process that dies, hangs, or takes memory without end.
Prints how many did, by kinds of files, and ends with status 1 if one did not.
"""

import collections
import multiprocessing.pool
import sys
import threading

from absl import app, flags

from tests.fuzz import files
from tests.fuzz.workers import Worker

FLAGS = flags.FLAGS
WORKERS = 2


def main(argv):
    del argv
    own = threading.local()
    workers = []

    def judge(index):
        if not hasattr(own, "worker"):
            own.worker = Worker(FLAGS.seed)
            workers.append(own.worker)
        return index, *own.worker.judge(index)

    counts = collections.Counter()
    cases = range(FLAGS.first, FLAGS.first + FLAGS.num)
    with multiprocessing.pool.ThreadPool(WORKERS) as pool:
        for done, (index, kind, outcome, detail) in enumerate(pool.imap(judge, cases), start=1):
            counts[kind, outcome] += 1
            if outcome == files.FAILED or FLAGS.num == 1:
                again = f"--seed {FLAGS.seed} --first {index} --num 1"
                print(f"{kind} {outcome} ({again}): {detail}", flush=True)
            if done % 100 == 0:
                print(f"{done:,} of {len(cases):,} files", flush=True)
    for worker in workers:
        worker.end()
    print(_table(counts))
    sys.exit(any(outcome == files.FAILED for _, outcome in counts))


def _table(counts):
    """Text, a row for each kind of file."""
    rows = [("kind", "cases", *files.OUTCOMES)]
    for kind in (kind.__name__ for kind in files.KINDS):
        outcomes = [counts[kind, outcome] for outcome in files.OUTCOMES]
        rows.append((kind, sum(outcomes), *outcomes))
    return "\n".join(f"{name:12}" + "".join(f"{x:>10}" for x in row) for name, *row in rows)


if __name__ == "__main__":
    flags.DEFINE_integer("num", 2000, "How many files.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of all that is drawn.", lower_bound=0)
    flags.DEFINE_integer("first", 0, "The number of the first one.", lower_bound=0)
    app.run(main)
