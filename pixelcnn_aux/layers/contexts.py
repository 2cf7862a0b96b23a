"""What weight-normalized layers and blocks do otherwise within a `with` block."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from pixelcnn_aux.annotations import Tensor

# What holds where the program is. Layers read them.
FROM_DATA = contextvars.ContextVar("initialization_from_data", default=False)
REMATERIALIZED = contextvars.ContextVar("rematerialized_blocks", default=False)
GIVEN: contextvars.ContextVar[Any] = contextvars.ContextVar("given_kernels", default=None)
PLAN: contextvars.ContextVar[Any] = contextvars.ContextVar("plan", default=None)
WEIGHTS_ALONE = contextvars.ContextVar("weights_alone", default=False)
CONDITION: contextvars.ContextVar[Any] = contextvars.ContextVar("condition", default=None)
ROUNDED = contextvars.ContextVar("rounded", default=False)


def initialization_from_data() -> AbstractContextManager[bool]:
    """Within it, an eager call of a weight-normalized layer first fits `g` and `b` to its batch.

    Afterwards every output channel has mean 0 and standard deviation `init_scale` on that batch, and
    it is this output that the next layer sees: one forward pass with dropout off initializes a
    network (Salimans & Kingma, 2016, section 3). A channel that is constant on the batch keeps
    ``g = init_scale``.
    """
    return _set(FROM_DATA, True)


def rematerialized_blocks() -> AbstractContextManager[bool]:
    """Within it, blocks keep their inputs alone for the backward pass, which evaluates them again.

    A training step takes less memory, and more time.
    """
    return _set(REMATERIALIZED, True)


def given_kernels(kernels: Mapping[Any, Tensor]) -> AbstractContextManager[Mapping[Any, Tensor]]:
    """Within it, layers use given kernels, and do not normalize their own.

    Args:
      kernels: dict, layer -> float of the shape of its `v`, `WeightNorm.kernel(layer)` of some time before.
    """
    return _set(GIVEN, kernels)


def planned() -> AbstractContextManager[dict[Any, int]]:
    """Within it, layers make no weights and put out zeros: a network is sized before there is memory for it.

    Yields:
      dict, layer -> int, the parameters that it would have, of all layers called so far.
    """
    return _set(PLAN, {})


def weights_alone() -> AbstractContextManager[bool]:
    """Within it, layers make their weights where they have none, and put out zeros, which takes less time."""
    return _set(WEIGHTS_ALONE, True)


def given_condition(condition: Tensor | None) -> AbstractContextManager[Tensor | None]:
    """Within it, gated blocks add a projection of what is known of each whole image; None for nothing.

    A block that is built within it has the projection, of zeros; one that is not never has it. It is here
    and no argument, so that networks of any kind hand it to the blocks that they consist of.

    Args:
      condition: float [B, D], from `conditions.Condition.encode`.
    """
    return _set(CONDITION, condition)


def rounded(active: bool = True) -> AbstractContextManager[bool]:
    """Within it, if `active`, layers compute with whole numbers times powers of two: see `rounding`."""
    return _set(ROUNDED, active)


def is_planning() -> bool:
    """Whether this is within `planned`."""
    return PLAN.get() is not None


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar, value: Any) -> Iterator[Any]:
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)
