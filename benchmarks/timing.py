"""Times of several functions, taken in turn: what else the machine does hits all alike."""

import re
import time

import numpy as np
from absl import flags

from benchmarks import Later


def define_batch_sizes(default):
    """Defines --batch_sizes, whole numbers above 0 as a list of str."""
    flags.DEFINE_list("batch_sizes", default, "Batch sizes, with commas between them.")
    flags.register_validator(
        "batch_sizes",
        lambda sizes: sizes and all(re.fullmatch("[1-9][0-9]*", size) for size in sizes),
        "Expected whole numbers above 0, as in 1,4,16.",
    )


def seconds_in_turn(functions, rounds):
    """How long each function takes, in each of several rounds; the first one also traces.

    Args:
      functions: dict, name -> function that returns tensors, which are waited for.
      rounds: int.

    Returns:
      dict, name -> list of float seconds, one for each round.
    """
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            Later("keras").tree.map_structure(np.asarray, function())
            seconds[name].append(time.perf_counter() - start)
    return seconds
