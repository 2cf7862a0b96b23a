"""The model of a job, named, so that each worker reads it from disk once."""

import functools
import importlib
import os
import threading
from typing import NamedTuple

from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.loading import load


class Source(NamedTuple):
    """Where a worker reads its model.

    Attributes:
      path: str, the name of a trained model, or the folder of a run on the workers, as for `pa.load`.
      best: bool, as for `pa.load`.
      exact: bool, as for `AuxiliaryModel.with_exact`; None leaves the model unchanged.
      by: "numpy" or "graph", as for `AuxiliaryModel.computing`.
      plugins: tuple of str, modules that register classes.
    """

    path: str
    best: bool = False
    exact: bool | None = None
    by: str | None = "numpy"
    plugins: tuple[str, ...] = ()

    def load(self) -> AuxiliaryModel:
        """Loads the model. A process keeps two, since completions take a second one for scenes."""
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
