"""Runs actions in a separate process, one at a time, first come, first served.

The process ends with the page. It is replaced by a new one when nobody waits for its result any more.
"""

import time

from pixelcnn_aux.base import threads
from pixelcnn_aux.demo.actions import PERIOD, Models, Step
from pixelcnn_aux.jobs import workers

MAX_SECONDS = 600  # of an action: others wait for it


class Worker:
    """A process with its own `Models`; close it after use."""

    def __init__(self, workdirs=()):
        self._workdirs, self._turns, self._now = workdirs, [], ""
        self._begin()

    def _begin(self):
        self._connection, remote = workers.SPAWN.Pipe()
        watched, self._lifeline = workers.SPAWN.Pipe(duplex=False)
        args = remote, watched, self._workdirs
        self._process = workers.SPAWN.Process(target=_work, args=args)
        with workers.uninterrupted():
            self._process.start()
        remote.close()

    def close(self):
        self._lifeline.close()
        self._process.kill()
        self._process.join()

    def run(self, action, *inputs):
        """Yields the steps that `action(report, models, *inputs)` reports, with the seconds since this call.

        Yields at least once per `PERIOD`, even while waiting for other actions. Closing the generator ends
        the action. Raises TimeoutError after `MAX_SECONDS`, RuntimeError if the process died, and the
        action's errors.
        """
        start, turn, ended = time.monotonic(), object(), False
        self._turns.append(turn)
        try:
            while ahead := self._turns.index(turn):
                requests = f"{ahead} other request{'s' * (ahead > 1)}"
                yield Step(f"Waiting for {requests}, now: {self._now} ({_since(start)} s)", 0)
                time.sleep(PERIOD)
            begun, waited, step = time.monotonic(), _since(start), Step("Starting", 0)
            self._connection.send((action, inputs))
            while not ended:
                self._now = step.text
                yield step._replace(text=f"{step.text} ({_since(start)} s)")
                if time.monotonic() - begun > MAX_SECONDS:
                    raise TimeoutError(
                        f"Expected at most {MAX_SECONDS} seconds of work. Received: more. Use a smaller "
                        "picture, or the programs, which have no time limit."
                    )
                if self._connection.poll(PERIOD):
                    message, ended = self._connection.recv()
                    if isinstance(message, Exception):
                        raise message
                    step = step._replace(**message)
            took = f"{_since(start)} s" + (f", {waited} of them waiting" if waited else "")
            yield step._replace(text=f"{step.text} ({took})")
        except (ConnectionError, EOFError) as error:
            raise RuntimeError(
                "Expected the work to end. Received: the end of its process. Try again, or use a smaller "
                "picture: memory may be short."
            ) from error
        finally:
            if not ended and self._turns[0] is turn:
                self.close()
                self._begin()
            self._turns.remove(turn)


def _since(start):
    return round(time.monotonic() - start)


def _work(connection, watched, workdirs):
    """Runs received actions; sends (changes to the step or an error, whether the action ended)."""
    workers.begin(threads.cores, watched)
    models = Models(workdirs)
    while True:
        try:
            action, inputs = connection.recv()
        except EOFError:  # the page has ended
            return
        try:
            action(_reporter(connection), models, *inputs)
            message = {}
        except Exception as error:
            message = error
        connection.send((message, True))


def _reporter(connection):
    """A function that sends each step's changes since the previous one."""
    previous = Step("", images=None, tables=None)

    def report(step):
        nonlocal previous
        values = zip(Step._fields, step, previous)
        connection.send(({key: new for key, new, old in values if new is not old}, False))
        previous = step

    return report
