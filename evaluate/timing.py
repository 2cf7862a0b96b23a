"""Times of several functions, taken in turn: what else the machine does hits all alike."""

import time

import tensorflow as tf


def seconds_in_turn(functions, rounds):
    """How long each function takes, in each of so many rounds; the first one also traces.

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
            tf.nest.map_structure(lambda x: x.numpy(), function())
            seconds[name].append(time.perf_counter() - start)
    return seconds
