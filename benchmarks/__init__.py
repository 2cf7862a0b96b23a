"""Programs that measure: speed, memory, and what choices gain."""

import importlib
import types

from pixelcnn_aux.commands import process

process.begin_if_run()


class Later(types.ModuleType):
    """A module, by its full name, that is imported when it is first used: Later("tensorflow")."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)
