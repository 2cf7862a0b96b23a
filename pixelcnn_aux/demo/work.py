"""Work that takes a while: how far it is, and when it has taken too long."""

import concurrent.futures
import queue
import threading
import time

MAX_SECONDS = 600  # of an action, with those that wait for it in mind
STEP = 0.02  # a page is sent anew for each


def within_time(steps):
    """Yields what an action yields, until it has taken `MAX_SECONDS`: then it raises TimeoutError."""
    start = time.monotonic()
    for step in steps:
        yield step
        if time.monotonic() - start > MAX_SECONDS:
            steps.close()
            raise TimeoutError(
                f"Expected what takes at most {MAX_SECONDS} seconds. Received: more work. Take a smaller "
                "picture, or use the programs, which take their time."
            )


def followed(work, total):
    """A generator of the share of some work that is done, in steps of `STEP`; it returns what the work does.

    Args:
      work: function of a function, which it calls with how much is done; it runs in a thread. If the
        generator is closed, that call raises.
      total: how much there is to do.
    """
    counts, future = queue.SimpleQueue(), concurrent.futures.Future()
    closed, share = False, 0.0

    def report(count):
        if closed:
            raise InterruptedError("nobody waits for it")
        counts.put(count)

    def run():
        try:
            future.set_result(work(report))
        except BaseException as error:
            future.set_exception(error)
        counts.put(None)

    # A daemon, since the end of the program does not wait for it.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (count := counts.get()) is not None:
            if count / total >= share + STEP:
                share = min(count / total, 1.0)
                yield share
    finally:
        closed = True
        thread.join()
    return future.result()
