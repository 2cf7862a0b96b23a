"""Mixed precision: in which 16-bit floats the machine at hand computes, and whether that is faster."""

from absl import logging

from pixelcnn_aux import arguments, backend, dtypes, machine


def policy():
    """The Keras policy of mixed precision for this machine: "mixed_bfloat16" or "mixed_float16".

    bfloat16, unless there is a GPU that has none. Without a GPU, a warning says so where the processor is not
    known to be fast in it.
    """
    capabilities = _capabilities_of_gpus()
    if any(capability and capability < (8, 0) for capability in capabilities):
        return "mixed_float16"
    if not capabilities and not machine.is_fast_in_bfloat16():
        logging.warning(
            "Expected a processor that is fast in bfloat16, for mixed precision. Received: one of which that "
            "is not known. It may be slower than float32: compare the first epochs of both."
        )
    return "mixed_bfloat16"


def policy_of(folder):
    """The policy of a run in mixed precision: as its `FactorFolder` says, or `policy` of a new one."""
    begun = folder.recorded_training() or {}
    if begun.get("policy") is None:
        return policy()
    return arguments.choice(f"policy in {folder.training}", begun["policy"], dtypes.POLICIES)


def is_mixed(folder, preset_default):
    """Whether a run is in mixed precision where no flag says: as its `FactorFolder` says.

    A new one is if its preset is, or if that is known to be faster.
    """
    begun = folder.recorded_training()
    return preset_default or is_faster() if begun is None else begun.get("mixed_precision", False)


def is_faster():
    """Whether mixed precision is known to be faster than float32 on this machine.

    It was measured under TensorFlow on processors alone.
    """
    measured = backend.NAME == "tensorflow" and not _capabilities_of_gpus()
    return measured and machine.is_fast_in_bfloat16()


def _capabilities_of_gpus():
    """The compute capability of each accelerator, (major, minor); None for one that has none."""
    if backend.NAME == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        gpus = tf.config.list_physical_devices("GPU")
        return [details(gpu).get("compute_capability") for gpu in gpus]
    import jax

    devices = [device for device in jax.devices() if device.platform != "cpu"]
    capabilities = [getattr(device, "compute_capability", None) for device in devices]
    # AMD's GPUs have a name there, such as "gfx90a".
    return [tuple(map(int, x.split("."))) if x and x[0].isdigit() else None for x in capabilities]
