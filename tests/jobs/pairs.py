"""Random pairs of jobs that differ in one thing: in one folder, both have their own results or are refused.

python -m tests.jobs.pairs --num 300
"""

import collections
import dataclasses
import functools
import hashlib
import importlib
import os
import pathlib
import shutil
import sys
import tempfile
from typing import Any

import numpy as np
from absl import app, flags

from pixelcnn_aux import jobs
from pixelcnn_aux.run_files import tensors
from tests import helpers

FLAGS = flags.FLAGS
MODULE = """
from tests.jobs import pairs

def edited(model, items, /, **settings):
    return pairs.result(model, items, {number}, settings)
"""


def seen(value):
    """All of a value that a function may see, as text."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tobytes()!r}"
    if isinstance(value, pathlib.Path):
        return f"{value.read_bytes()!r}"
    if isinstance(value, functools.partial):
        return f"{value.func.__name__}{seen([value.args, value.keywords])}"
    if isinstance(value, dict):
        return f"dict{[(key, seen(x)) for key, x in value.items()]}"
    if isinstance(value, (list, tuple)):
        return f"{[*map(seen, value)]}"
    return f"{type(value).__name__}{seen(vars(value)) if hasattr(value, '__dict__') else value!r}"


def result(model, items, *others):
    """A row of each item that changes with anything that the function sees."""
    how = f"{tensors.fingerprint(model)}{model.by}{[*map(seen, others)]}"
    digests = [hashlib.sha256(f"{how}{seen(item)}".encode()).digest()[:6] for item in items]
    return {"x": np.array([int.from_bytes(digest, "big") for digest in digests])}


def first(model, items, /, **settings):
    return result(model, items, "first", settings)


def second(model, items, /, **settings):
    return result(model, items, "second", settings)


def bound(*arguments, **settings):
    *arguments, model, items = arguments
    return result(model, items, arguments, settings)


def closure(number):
    return lambda model, items: result(model, items, number)


@dataclasses.dataclass
class Measure:
    number: Any

    def of(self, model, items, /, **settings):
        return result(model, items, self, settings)

    def __call__(self, model, items):
        return result(model, items, self)


class Job:
    """A random job, of which `alter` changes one thing."""

    def __init__(self, random, folder):
        self.random, self.folder = random, folder
        self.settings = {name: self.value() for name in random.choice(NAMES, 2, replace=False)}
        self.function = functools.partial(first, **self.settings)
        self.items = [self.value() for _ in range(3)]
        self.source = jobs.Source(str(folder / "run"))
        self.weights(0)

    def value(self):
        number = int(self.random.integers(99))
        return [number, float(number), str(number), [number], {"name": number}, None, True][
            self.random.integers(7)
        ]

    def others(self):
        """Two values that differ, often in their type alone."""
        array = self.random.normal(size=5000)
        changed = array.copy()
        changed[self.random.integers(5000)] += 1e-12
        pairs = [(1, True), (1, 1.0), (0, False), ("1", 1), (None, "None"), ([1], [1, None])]
        pairs += [({"a": 1}, {"b": 1}), ({"a": {}}, {"a": []}), ({"a.b": 1}, {"a": {"b": 1}})]
        pairs += [(array, changed), (array, array.astype("f4")), (array, array.reshape(50, 100))]
        pairs += [(Measure(1), Measure(2)), (Measure([1]), Measure((1, 2))), (0.1, 0.1 + 1e-16 * 8)]
        return pairs[self.random.integers(len(pairs))]

    def weights(self, number):
        """Puts weights into the run, as training does."""
        for file in (self.folder / f"weights{number}").rglob("average.safetensors"):
            shutil.copy(file, self.folder / "run" / file.parent.name)

    def write(self, contents):
        """A file whose size and times stay the same."""
        file = self.folder / "item"
        file.write_bytes(contents)
        os.utime(file, (0, 0))
        return file

    def alter(self, kind):
        """Yields before and after one thing is changed."""
        before, after = self.others()
        keywords = functools.partial(functools.partial, **self.settings)
        if kind == "weights":
            yield
            self.weights(1)
            yield
        elif kind == "file":
            self.items[self.random.integers(3)] = self.write(b"before")
            yield
            self.write(b"after!")
            yield
        elif kind == "mask":
            self.function = functools.partial(first, mask=self.write(b"before"))
            yield
            self.write(b"after!")
            yield
        elif kind == "edit":
            module = self.folder / "edited_by_pairs.py"
            for number in (1, 2):
                module.write_text(MODULE.format(number=number))
                os.utime(module, (number, number))
                sys.modules.pop("edited_by_pairs", None)
                importlib.invalidate_caches()
                self.function = keywords(importlib.import_module("edited_by_pairs").edited)
                yield
        elif kind == "item":
            for self.items[-1] in (before, after):
                yield
        elif kind == "more items":
            yield
            self.items.append(before)
            yield
        elif kind == "exact":
            for exact in (False, True):
                self.source = self.source._replace(exact=exact)
                yield
        else:
            name = NAMES[self.random.integers(len(NAMES))]
            make = {
                "function": lambda x: keywords(second if x is after else first),
                "closure": lambda x: closure(x is after),
                "keyword": lambda x: functools.partial(first, **{name: x}),
                "position": lambda x: functools.partial(bound, 0, x),
                "nested": lambda x: functools.partial(bound, functools.partial(first, a=x)),
                "method": lambda x: keywords(Measure(x).of),
                "object": lambda x: Measure(x),
            }[kind]
            for x in (before, after):
                self.function = make(x)
                yield

    def run(self, folder=None):
        return jobs.run(self.function, self.items, self.source, folder=folder, size=2).joined()["x"]


NAMES = ["name", "function", "shards", "model", "seed", "arguments", "by", "0"]
KINDS = ["weights", "file", "mask", "edit", "item", "more items", "exact", "function", "closure"]
KINDS += ["keyword", "position", "nested", "method", "object"]


def count(num, folder, seed=0):
    """Runs pairs; returns how many second jobs were refused, or computed, by kind: `Counter`."""
    for number in range(2):
        model = helpers.tiny_model(exact=True)
        for position, (name, factor) in enumerate(model.factors.items()):
            model.factors[name] = helpers.randomize(factor, 10 * number + position)
        helpers.make_run(folder / f"weights{number}", model)
    shutil.copytree(folder / "weights0", folder / "run")
    sys.path.insert(0, str(folder))
    ends: collections.Counter = collections.Counter()
    for number in range(num):
        kind = KINDS[number % len(KINDS)]
        job = Job(np.random.default_rng([seed, number]), folder)
        together = folder / "together"
        shutil.rmtree(together, ignore_errors=True)
        earlier = None
        for _ in job.alter(kind):
            true = job.run()
            try:
                for _ in range(2):  # the same job is not refused
                    found, end = job.run(together), "computed"
            except ValueError as error:
                assert str(error).startswith("Expected "), error
                assert kind == "closure" or earlier is not None, error
                found, end = true, "refused"
            assert found.tolist() == true.tolist(), f"pair {number}, {kind}"
            assert earlier is None or true.tolist() != earlier.tolist(), f"equal: {number}, {kind}"
            earlier = true
        ends[kind, end] += 1
    sys.path.remove(str(folder))
    return ends


def main(_):
    with tempfile.TemporaryDirectory() as folder:
        ends = count(FLAGS.num, pathlib.Path(folder), FLAGS.seed)
    for (kind, end), number in sorted(ends.items()):
        print(f"{kind:12} {end:10} {number}")
    print(f"{FLAGS.num} pairs: no second job had the first one's results")


if __name__ == "__main__":
    flags.DEFINE_integer("num", 300, "Pairs.")
    flags.DEFINE_integer("seed", 0, "The seed of all pairs.")
    app.run(main)
