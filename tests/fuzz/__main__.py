"""Reads thousands of damaged files: python -m tests.fuzz --num 2000 --seed 0.

Reading one has to give what the honest file gives, or something else as whole where nothing can tell, or to
raise one error that names the file. It must not end the process, hang or fill the memory: files are read in
another process, which is watched. The program prints how many files had which outcome, by their kinds, and
ends with status 1 if one failed.
"""

import collections
import multiprocessing
import sys

from absl import app, flags

from tests.fuzz import files, worker

FLAGS = flags.FLAGS
STARTING = 300  # seconds, in which a process imports TensorFlow and makes the honest files


def start():
    """(process, connection) of a process that serves."""
    context = multiprocessing.get_context("spawn")
    connection, other = context.Pipe()
    process = context.Process(target=worker.serve, args=(other, FLAGS.seed), daemon=True)
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
            outcome, detail = files.FAILED, f"takes longer than {worker.SECONDS} s"
            if connection.poll(worker.SECONDS):
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
