"""Reads thousands of damaged files: python -m tests.fuzz --num 2000 --seed 0.

Reading one has to give what the honest file gives, or something else as whole where nothing can tell, or to
raise one error that names the file. It must not end the process, hang or fill the memory. The program prints
how many files had which outcome, by their kinds, and ends with status 1 if one failed.
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
