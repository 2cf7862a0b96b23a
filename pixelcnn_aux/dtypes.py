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


def check_same(model, *parts):
    """Raises ValueError for parts of another dtype or policy than the model's, or variables in 16 bits."""
    for part in (model, *parts):
        if part.variable_dtype not in DTYPES or part.dtype_policy.name != model.dtype_policy.name:
            raise ValueError(
                f"Expected one dtype of a factor and its networks: {', '.join((*DTYPES, *POLICIES))}. "
                f"Received: {part.dtype_policy.name} of {part.name!r}, in a factor of "
                f"{model.dtype_policy.name}. Build them with the same dtype."
            )


def give(config, dtype):
    """Changes the dtype, or the policy, of every float in the configuration of a factor."""
    config["dtype"] = dtype
    for part in filter(None, (config["network"], config["embedding"])):
        part["config"]["dtype"] = dtype
