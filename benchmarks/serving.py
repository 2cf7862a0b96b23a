"""A served model under many clients at once: right answers, latencies, and the server's memory.

    python -m benchmarks.serving --export DIR/MODEL --clients 64 --seconds 60

Starts the stand-in server of the tests in a process of its own, over the loopback interface. Every client,
a thread here, repeats requests of a few images, drawn at random among some whose answers were computed alone
before, and compares. Likelihoods must be the same to 1e-5. Images need not: where a server merges requests,
products of another size are rounded otherwise, and a pixel may turn. But an image that another request
should have got is a wrong answer. The server's memory may not grow by more than 5 % once 20 seconds have
passed.
"""

import collections
import concurrent.futures
import contextlib
import pathlib
import re
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np
from absl import flags

from pixelcnn_aux.commands import program
from pixelcnn_aux.serving.grpc_client import Client

FLAGS = flags.FLAGS

ROOT = pathlib.Path(__file__).parents[1]

NUM_REQUESTS = 32
MAX_IMAGES = 4  # a request
TIMEOUT = 300.0  # seconds; many clients wait for each other
TOLERANCE = 1e-5  # relative, of likelihoods
SETTLED = 20.0  # seconds until the server has all the memory that it needs
GROWTH = 1.05


class Request(NamedTuple):
    signature: str
    inputs: dict
    answer: dict


class Result(NamedTuple):
    """The answers that clients received."""

    seconds: list  # of every request that was answered
    counts: collections.Counter  # of what `compare` counts, and "error"
    resident: tuple = ()  # bytes of the server when it had settled, if it ran for so long, and at the end


@contextlib.contextmanager
def running_server(export):
    """Within it a server runs: (process id, HOST:PORT)."""
    program_name = "tests.serving.model_server"
    command = [sys.executable, "-m", program_name, f"--model_base_path={export}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"Expected {program_name} to serve {export}. Received: no line")
            yield process.pid, line.split()[-1]
        finally:
            process.kill()


def make_requests(client, random):
    """List of `Request`s, every other one for likelihoods, which are answered one after the other."""
    *_, image = client.images.values()
    requests = []
    for index in range(NUM_REQUESTS):
        num = random.integers(1, MAX_IMAGES + 1)
        if index % 2:
            signature = "log_prob"
            pixels = random.integers(0, image.num_values, (num, *image.shape), np.uint8)
            inputs = {"image": pixels}
        else:
            signature = "sample"
            inputs = {
                "seed": random.integers(-(2**31), 2**31, (num, 2), np.int32),
                "log_scale_shift": np.zeros(num, np.float32),
            }
        requests.append(Request(signature, inputs, client.predict(signature, **inputs)))
    return requests


def compare(request, answer, drawn):
    """Counts whether an answer is "wrong", and its images that are "equal" and "different".

    Args:
      request: `Request`.
      answer: dict, name -> array.
      drawn: set of bytes, every image that is right for some request.
    """
    if request.signature == "log_prob":
        right = all(
            answer[name].shape == array.shape
            and np.allclose(answer[name], array, rtol=TOLERANCE, atol=0)
            for name, array in request.answer.items()
        )
        return collections.Counter(wrong=int(not right))
    counts = collections.Counter()
    for row, image in enumerate(answer["image"]):
        equal = all(
            np.array_equal(answer[name][row], array[row]) for name, array in request.answer.items()
        )
        counts["equal" if equal else "different"] += 1
        counts["wrong"] += not equal and image.tobytes() in drawn
    return counts


def ask(server, model, requests, seconds, seed):
    """One client's `Result`."""
    client, random = Client(server, model, timeout=TIMEOUT), np.random.default_rng(seed)
    drawn = {
        image.tobytes()
        for request in requests
        if request.signature == "sample"
        for image in request.answer["image"]
    }
    result = Result([], collections.Counter())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        request = requests[random.integers(len(requests))]
        start = time.perf_counter()
        try:
            answer = client.predict(request.signature, **request.inputs)
        except (OSError, RuntimeError, ValueError) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            result.counts["error"] += 1
            continue
        result.seconds.append(time.perf_counter() - start)
        result.counts.update(compare(request, answer, drawn))
    return result


def measure(export, clients, seconds):
    """How many seconds it took, and the `Result` of all clients together."""
    model = pathlib.Path(export).absolute().name
    pool = concurrent.futures.ThreadPoolExecutor(clients)
    with running_server(export) as (process, server), pool:
        requests = make_requests(Client(server, model, timeout=TIMEOUT), np.random.default_rng(0))
        print(f"{clients} clients for {seconds:g} s ...", flush=True)
        start = time.monotonic()
        running = [
            pool.submit(ask, server, model, requests, seconds, seed) for seed in range(clients)
        ]
        settled = ()
        if seconds > SETTLED:
            time.sleep(SETTLED)
            settled = (resident_bytes(process),)
        results = [client.result() for client in running]
        elapsed = time.monotonic() - start  # with the answers to what was asked just before the end
        return elapsed, Result(
            sum((result.seconds for result in results), []),
            sum((result.counts for result in results), collections.Counter()),
            (*settled, resident_bytes(process)),
        )


def resident_bytes(process):
    """The memory of a process that is not swapped out."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def report(seconds, result):
    """Prints a `Result` of a time. Raises RuntimeError for wrong answers, errors, and memory that grows."""
    counts = result.counts
    print(f"{len(result.seconds) / seconds:.1f} requests/s, {counts['error']} errors")
    if result.seconds:
        percentiles = np.percentile(result.seconds, [50, 90, 99])
        print("latency p50, p90, p99:", *(f"{1000 * value:.1f} ms" for value in percentiles))
    print(f"{counts['wrong']} wrong answers; images: {counts['equal']} equal")
    if counts["different"]:
        print(f"  and {counts['different']} different by the machine's arithmetic")
    print("resident memory:", *(f"{size / 2**20:.1f} MiB" for size in result.resident))
    *settled, end = result.resident
    if counts["wrong"] or counts["error"] or not result.seconds:
        raise RuntimeError(f"Expected right answers alone. Received: {dict(counts)}")
    if settled and end > GROWTH * settled[0]:
        raise RuntimeError(
            f"Expected the server's memory to grow by at most 5 % after {SETTLED:g} s. "
            f"Received: {end / settled[0] - 1:.1%}"
        )


def main():
    report(*measure(FLAGS.export, FLAGS.clients, FLAGS.seconds))


def define_flags():
    flags.DEFINE_string("export", None, "DIR/MODEL; its newest version is served.", required=True)
    flags.DEFINE_integer("clients", 64, "How many ask at once.", lower_bound=1)
    flags.DEFINE_float("seconds", 60.0, "For which they ask.", lower_bound=1.0)


if __name__ == "__main__":
    program.start()
