"""Mixed precision: in which 16-bit floats the machine at hand computes."""

import pathlib

from absl import logging

from pixelcnn_aux import backend

_CPUINFO = pathlib.Path("/proc/cpuinfo")


def policy():
    """The Keras policy of mixed precision for this machine: "mixed_bfloat16" or "mixed_float16".

    bfloat16, unless there is a GPU that has none. Without a GPU, a warning says so where the processor is not
    known to be fast in it.
    """
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        capabilities = [
            tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus
        ]
        on_accelerator = bool(gpus)
    else:
        import jax

        devices = jax.devices()
        on_accelerator = devices[0].platform != "cpu"
        capabilities = [getattr(device, "compute_capability", None) for device in devices]
        capabilities = [tuple(map(int, x.split("."))) if x else None for x in capabilities]
    if any(capability and capability < (8, 0) for capability in capabilities):
        return "mixed_float16"
    if not on_accelerator and not _is_fast(_CPUINFO.read_text() if _CPUINFO.exists() else ""):
        logging.warning(
            "Expected a processor that is fast in bfloat16, for mixed precision. Received: one of which that "
            "is not known. It may be slower than float32: compare the first epochs of both."
        )
    return "mixed_bfloat16"


def _is_fast(cpuinfo):
    """Whether the processor that Linux describes computes faster in bfloat16 than in float32.

    With AMX, or as an ARM processor that has it. Of those with AVX512-BF16 alone AMD's are faster with it,
    and on Intel's a convolution takes twice as long.
    """
    if "amx_bf16" in cpuinfo or " bf16" in cpuinfo:
        return True
    return "avx512_bf16" in cpuinfo and "AuthenticAMD" in cpuinfo
