"""Ends a run by ten SIGKILLs, three SIGTERMs and three full disks: python -m tests.faults."""

import pathlib
import signal
import sys
import tempfile

from tests.faults import interrupted

COUNTS = {signal.SIGKILL: 10, signal.SIGTERM: 3, signal.SIGXFSZ: 3}


def main():
    seed = int(sys.argv[1]) if sys.argv[1:] else 0
    with tempfile.TemporaryDirectory() as folder:
        alone, again = pathlib.Path(folder, "alone"), pathlib.Path(folder, "again")
        interrupted.train(alone)
        for what, received, expected in interrupted.interrupt(again, COUNTS, seed):
            print(f"{what}: exit code {received}", flush=True)
            if not interrupted.is_whole(again):
                sys.exit("Expected whole weights, and the best ones so far. Received others")
            if received != expected:
                sys.exit(f"Expected exit code {expected}. Received: {received}")
        if differing := interrupted.differing(alone, again):
            sys.exit(f"Expected what a run leaves that nothing ends. Received others: {differing}")
    print("Both runs have left the same")


if __name__ == "__main__":
    main()
