"""The context in which layers are called: it changes what they do within a `with` block."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras

from pixelcnn_aux.base.arguments import Tensor


class Context(NamedTuple):
    """What holds for all layers that are called."""

    # float [B, D], the condition of each whole image (`conditions.Condition.encode`). Blocks that were built
    # with a condition add a projection of it, which is zero at first.
    condition: Tensor | None = None
    # Whether blocks keep their inputs alone for the backward pass and are evaluated again there. A training
    # step takes less memory, and more time.
    remat: bool = False
    # Whether an eager call of a weight-normalized layer first fits `g` and `b` to its batch: each output
    # channel then has mean 0 and standard deviation `init_scale` on it. The next layer sees this output, so
    # that one forward pass without dropout initializes a network (Salimans & Kingma, 2016, section 3). A
    # channel that is constant on the batch keeps ``g = init_scale``.
    initialize_from_data: bool = False
    # The numbers of their parameters, and the shapes of their inputs, which layers add. They make no weights
    # and return zeros.
    counts: dict[Any, tuple[int, Any]] | None = None
    # Called with each `Factor` before it makes weights: whether they are zeros, which others replace.
    before_weights: Callable[[Any], bool] | None = None
    zeros: bool = False  # whether weights are zeros at first


_CURRENT = contextvars.ContextVar("context", default=Context())  # noqa: B039


def current() -> Context:
    """The context of the caller."""
    return _CURRENT.get()


@contextlib.contextmanager
def context(**changes: Any) -> Iterator[None]:
    """Changes fields of the current `Context` within a `with` block."""
    token = _CURRENT.set(current()._replace(**changes))
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def counting_parameters() -> Iterator[dict[Any, tuple[int, Any]]]:
    """Within it, layers make no weights.

    Yields dict, layer called -> (int, the number of its parameters; the shapes that `build` takes).
    """
    counts: dict[Any, tuple[int, Any]] = {}
    with context(counts=counts):
        yield counts


def evaluate_block(block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """block(*inputs), as the context asks: evaluated again in the backward pass, or as it is."""
    held = current()
    if not held.remat:
        return block(*inputs)

    def in_same_context(*inputs):  # the backward pass comes when the context is gone
        with context(**held._asdict()):
            return block(*inputs)

    return keras.remat(in_same_context)(*inputs)
