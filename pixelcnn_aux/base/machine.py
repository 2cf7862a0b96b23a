"""Description of the machine, recorded with measurements and files that depend on it."""

import contextlib
import functools
import importlib.metadata
import os
import pathlib
import platform
import re
import sys

CPUINFO, DEVICES = pathlib.Path("/proc/cpuinfo"), pathlib.Path("/dev")  # Linux's
_PACKAGES = ("pixelcnn_aux", "tensorflow", "keras", "numpy", "constriction")
# Environment variables that change how the same machine rounds.
_SETTINGS = (
    *("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
    *("TF_XLA_FLAGS", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES"),
)


def describe():
    """Describes this machine: processor, GPUs, settings that affect rounding, package versions."""
    flags = _field("flags").split()
    extensions = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    return {
        "processor": _field("model name") or platform.machine(),
        "instructions": " ".join(x for x in extensions if x in flags),
        "threads": os.cpu_count(),
        "gpus": _gpus(),
        "settings": " ".join(f"{x}={os.environ[x]}" for x in _SETTINGS if x in os.environ),
        **{name: _version(name) for name in _PACKAGES},
    }


def is_fast_in_bfloat16():
    """Whether the processor is known to compute faster in bfloat16 than in float32."""
    # Intel processors with AVX512-BF16 alone take twice as long for a convolution; others were not measured.
    flags = _field("flags").split()
    is_amd = _field("vendor_id") == "AuthenticAMD"
    return "amx_bf16" in flags or ("avx512_bf16" in flags and is_amd)


@functools.cache
def has_accelerator():
    """Whether the process may use a GPU or TPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    files = (*(() if hidden else ("nvidia[0-9]*",)), "kfd", "accel[0-9]*", "vfio/[0-9]*")
    return any(True for name in files for _ in DEVICES.glob(name))


def _gpus():
    if "tensorflow" not in sys.modules:  # nothing has imported it yet
        return []
    config = sys.modules["tensorflow"].config
    gpus = map(config.experimental.get_device_details, config.list_physical_devices("GPU"))
    return [gpu.get("device_name") for gpu in gpus]


def _version(name):
    """A package's version: `__version__` if it is imported, since its distribution may have another name."""
    imported = getattr(sys.modules.get(name), "__version__", None)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return imported or importlib.metadata.version(name)


def _field(name):
    """The first value of a field of `CPUINFO`; "" if it has no such field."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    match = re.search(rf"^{name}\s*: (.*)", text, re.MULTILINE)
    return match[1] if match else ""
