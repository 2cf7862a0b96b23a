"""The model of a job: by its name, so that a worker reads it from its own disk, once."""

import functools
import importlib
import os
import threading
from typing import NamedTuple

from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.loading import load


class Source(NamedTuple):
    """Where a worker gets its model from.

    Attributes:
      path: str, the folder of a run as workers see it, or the name of a trained model, as for `pa.load`.
      best: bool, as there.
      exact: bool, as for `AuxiliaryModel.with_exact`; None for the model as it is.
      by: "numpy" or "graph", as for `AuxiliaryModel.computing`.
      plugins: tuple of str, modules to import first, which register classes.
    """

    path: str
    best: bool = False
    exact: bool | None = None
    by: str | None = "numpy"
    plugins: tuple[str, ...] = ()

    def load(self) -> AuxiliaryModel:
        """The model. A process keeps the last two, such as one that completes scenes of another."""
        with _lock:
            return _load(self)


@functools.lru_cache(2)
def _load(source):
    for name in source.plugins:
        importlib.import_module(name)
    model = load(source.path, best=source.best).computing(source.by)
    return model if source.exact is None else model.with_exact(source.exact)


_lock = threading.Lock()  # threads that ask for the same model load it once


def _forget_threads():
    global _lock
    _lock = threading.Lock()  # a thread of the parent may hold the other


os.register_at_fork(after_in_child=_forget_threads)
