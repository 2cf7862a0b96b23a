"""The model of a job, named, so that each worker reads it from disk once."""

import importlib
import os
import platform
import threading
from typing import NamedTuple, Self

from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files import tensors
from pixelcnn_aux.runs.loading import load


class Source(NamedTuple):
    """Where a worker reads its model.

    Attributes:
      path: str, the name of a trained model, or the folder of a run on the workers, as for `pa.load`.
      best: bool, as for `pa.load`.
      exact: bool, as for `AuxiliaryModel.with_exact`; None leaves the model unchanged.
      by: "numpy" or "graph", as for `AuxiliaryModel.computing`.
      plugins: tuple of str, modules that register classes.
      fingerprint: str, that of the model to be loaded, from `pinned`; None for any.
    """

    path: str
    best: bool = False
    exact: bool | None = None
    by: str | None = "numpy"
    plugins: tuple[str, ...] = ()
    fingerprint: str | None = None

    def pinned(self) -> Self:
        """The source of the model and the weights that are there now."""
        return self._replace(fingerprint=tensors.fingerprint(self.load()))

    def load(self) -> AuxiliaryModel:
        """Loads the model; if `pinned`, once per process. Raises ValueError for another fingerprint."""
        with _lock:
            if self in _kept:
                return _kept[self]
            for name in self.plugins:
                importlib.import_module(name)
            model = load(self.path, best=self.best).computing(self.by)
            model = model if self.exact is None else model.with_exact(self.exact)
            found = tensors.fingerprint(model)
            expected = f"{self.path} with the fingerprint {self.fingerprint}, as the job began"
            remedy = "Copy the run to all machines, and start again when it is not trained on"
            fits = self.fingerprint in (None, found)
            expect(fits, expected, f"{found} on {platform.node()}", remedy)
            if len(_kept) > 1:
                del _kept[next(iter(_kept))]
            return _kept.setdefault(self._replace(fingerprint=found), model)


_kept: dict[Source, AuxiliaryModel] = {}  # two: completions take a second one for scenes
_lock = threading.Lock()  # threads that ask for the same model load it once


def _forget_threads():
    global _lock
    _lock = threading.Lock()  # a thread of the parent may hold the other


os.register_at_fork(after_in_child=_forget_threads)
