"""What may matter for whether two machines compute the same numbers."""

import importlib.metadata
import os
import pathlib
import platform
import re

_PACKAGES = ("tensorflow", "keras", "numpy", "constriction")


def describe():
    """dict of str, or of the number of threads."""
    info = pathlib.Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"flags\s*: (.*)", text)
    kinds = ("avx2", "avx512f", "avx512_bf16", "amx_tile")
    return {
        "processor": model[1] if model else platform.machine(),
        "instructions": " ".join(kind for kind in kinds if flags and kind in flags[1].split()),
        "threads": os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
