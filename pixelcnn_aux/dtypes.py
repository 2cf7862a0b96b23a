"""In which dtypes the floats of a model are."""

from keras import ops

DTYPES = ("float32", "float64")  # of models, and of what is drawn from and evaluated
POLICIES = ("mixed_bfloat16", "mixed_float16")  # Keras's, to train in


def check(dtype):
    """Raises ValueError for float64 where JAX would make float32 of it, with no more than a warning."""
    if dtype == "float64" and ops.dtype(ops.zeros([], dtype)) != dtype:
        raise ValueError(
            "Expected JAX_ENABLE_X64=1 in the environment, for float64 under JAX. Received: floats that JAX "
            "makes float32. Set it, or take float32."
        )


def give(config, dtype):
    """Changes the dtype, or the policy, of every float in the configuration of a factor."""
    config["dtype"] = dtype
    for part in filter(None, (config["network"], config["embedding"])):
        part["config"]["dtype"] = dtype
