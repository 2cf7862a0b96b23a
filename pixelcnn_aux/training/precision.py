"""Mixed precision: in which 16-bit floats the machine at hand computes."""

import pathlib
import platform

from absl import logging

from pixelcnn_aux import backend

_CPUINFO = pathlib.Path("/proc/cpuinfo")


def policy():
    """The Keras policy of mixed precision for this machine: "mixed_bfloat16" or "mixed_float16".

    bfloat16, unless there is a GPU that has none. Without a GPU, a processor that is not known to have
    bfloat16 is named in a warning: there it is slower than float32 by far.
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
    if not on_accelerator and not _processor_has_bfloat16():
        logging.warning(
            "Expected a processor with bfloat16 (AVX512-BF16, AMX) for mixed precision. Received: %s, of "
            "which that is not known. It may be slower than float32: compare the first epochs.",
            platform.processor() or platform.machine(),
        )
    return "mixed_bfloat16"


def _processor_has_bfloat16():
    flags = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", " bf16"))
