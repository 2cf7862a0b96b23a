"""Tests of progress bars: their lines in a terminal, and elsewhere."""

import contextlib
import functools
import io
from unittest import mock

from pixelcnn_aux.base import progress
from tests import helpers


def printed(bar, updates, times, is_terminal):
    """The output of a bar, made by a function, by a clock that reads `times`; `updates`: done -> metrics."""
    stdout = io.StringIO()
    stdout.isatty = lambda: is_terminal
    with contextlib.redirect_stdout(stdout), mock.patch("time.perf_counter", side_effect=times):
        update = bar()
        for done, metrics in updates.items():
            update(done, **metrics)
    return stdout.getvalue()


class BarTest(helpers.TestCase):
    def test_lines(self):
        bar = functools.partial(progress.progress_bar, 10)
        metrics = {"bits": 4.5, "speed": 2e-5}
        updates = {1: {}, 2: {}, 6: metrics, 10: {"bits": 3.25}}
        times, last = [0, 60, 60.01, 70, 78], "10/10 - 78s - 2s/step - bits: 3.25\n"
        lines = [
            " 1/10 ==.................. 9 min left",
            # The second one would come too soon. From the first on, 5 steps took 10 s, and 4 are left.
            " 6/10 ============........ 8 s left - bits: 4.5 - speed: 2e-05",
            last,
        ]
        expected = "".join(f"\r\033[K{line}" for line in lines)
        self.assertEqual(printed(bar, updates, times, True), expected)
        # A log has lines half a minute apart.
        found = printed(bar, updates, times, False)
        self.assertEqual(found, f"{lines[0]}\n{last}")
        self.assertEqual(printed(bar, {10: {}}, [0, 0.25], False), "10/10 - 0s - 25ms/step\n")

    def test_pixels(self):
        for count, done, last in ((2500, [999, 2499, 2500], "3/3"), (1, [1], "1/1")):
            bar, times = functools.partial(progress.pixel_bar, count), [0.0] * 2 + [0.5] * 6
            found = printed(bar, dict.fromkeys(done, {}), times, False)
            speed = f"megapixels_per_s: {2e-6 * count:g}"
            self.assertRegex(found, rf"^{last} - 0s - \d+ms/kilopixel - {speed}\n$")

    def test_a_late_bar_only_in_a_terminal_and_only_if_work_takes_long(self):
        for is_terminal, seconds, count, displayed in (
            (True, 1, 3, False),
            (False, 10, 3, False),
            (True, 3, 3, True),
            (True, 10, 1, False),
        ):
            bar = functools.partial(progress.late_bar, count, "image")
            updates = dict.fromkeys(range(1, count + 1), {})
            found = printed(bar, updates, [seconds * n for n in range(4)], is_terminal)
            self.assertEqual((found != "", "3/3" in found), (displayed, displayed))
