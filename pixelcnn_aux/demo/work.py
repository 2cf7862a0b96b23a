"""Actions in a process beside the page's, one at a time, first come, first served.

It ends with the page, and as soon as nobody waits for its result: then another one takes its place.
"""

import time

from pixelcnn_aux.base import threads
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.demo.actions import PERIOD, Models, Step
from pixelcnn_aux.jobs import workers

MAX_SECONDS = 600  # of an action: others wait for it


class Worker:
    """A process with `Models` of its own. To be closed."""

    def __init__(self, workdirs=()):
        self._workdirs, self._turns, self._now = workdirs, [], ""
        self._begin()

    def _begin(self):
        self._connection, theirs = workers.SPAWN.Pipe()
        watched, self._lifeline = workers.SPAWN.Pipe(duplex=False)
        given = theirs, watched, self._workdirs
        self._process = workers.SPAWN.Process(target=_work, args=given)
        with workers.uninterrupted():
            self._process.start()
        theirs.close()

    def close(self):
        self._lifeline.close()
        self._process.kill()
        self._process.join()

    def run(self, action, *given):
        """Yields the steps of `action(models, *given)`, with the seconds since this call, or that it waits.

        At least one comes each `PERIOD`. Closing the generator ends the work, and so does TimeoutError, after
        `MAX_SECONDS`. Errors of the action are raised; RuntimeError if its process died.
        """
        start, turn, ended = time.monotonic(), object(), False
        self._turns.append(turn)
        try:
            while ahead := self._turns.index(turn):
                others = f"{ahead} other request{'s' * (ahead > 1)}"
                yield Step(f"Waiting for {others}, now: {self._now} ({_since(start)} s)", 0)
                time.sleep(PERIOD)
            begun, waited, step = time.monotonic(), _since(start), Step("Starting", 0)
            self._connection.send((action, given))
            while not ended:
                self._now = step.text
                yield step._replace(text=f"{step.text} ({_since(start)} s)")
                fits = time.monotonic() - begun <= MAX_SECONDS
                expected = f"{MAX_SECONDS} seconds of work"
                remedy = "Take a smaller picture, or use the programs, which take their time"
                expect(fits, expected, "more", remedy, kind=TimeoutError)
                if self._connection.poll(PERIOD):
                    found, ended = self._connection.recv()
                    if isinstance(found, Exception):
                        raise found
                    step = step._replace(**found)
            took = f"{_since(start)} s" + (f", {waited} of them waiting" if waited else "")
            yield step._replace(text=f"{step.text} ({took})")
        except (ConnectionError, EOFError):
            remedy = "Try it again, or take a smaller picture: memory may be short"
            expect(False, "the work to end", "the end of its process", remedy, kind=RuntimeError)
        finally:
            if not ended and self._turns[0] is turn:
                self.close()
                self._begin()
            self._turns.remove(turn)


def _since(start):
    return round(time.monotonic() - start)


def _work(connection, watched, workdirs):
    """Runs what it receives; sends pairs of what changed since the step before, or an error, and the end."""
    workers.begin(threads.cores, watched)
    models = Models(workdirs)
    while True:
        try:
            action, given = connection.recv()
        except EOFError:  # the page has ended
            return
        before = Step("", images=None, tables=None)
        try:
            for step in action(models, *given):
                both = zip(Step._fields, step, before)
                connection.send(({key: x for key, x, earlier in both if x is not earlier}, False))
                before = step
            found = {}
        except Exception as error:
            found = error
        connection.send((found, True))
