"""Actions for `work_test`, in a module that another process imports in no time."""

import os
import time

from pixelcnn_aux.demo.actions import Step


def counting(report, models, last):
    """Counts, with the number of the process."""
    for number in range(last):
        report(Step(f"counted {number}", number / last, ((os.getpid(), "pid"),)))
    report(Step(f"counted to {last} of {len(models.names)}", None))


def endless(report, models, folder):
    """Appends to a file until its process ends."""
    report(Step("begun", 0))
    while True:
        with open(folder / "grows", "a") as file:
            file.write("x")
        time.sleep(0.01)


def wrong(report, models):
    report(Step("begun", 0))
    raise ValueError("Expected another one.")


def dying(report, models):
    report(Step("begun", 0))
    os._exit(9)
