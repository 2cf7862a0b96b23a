"""The context in which layers are called: options that hold within a `with` block."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras

from pixelcnn_aux.base.arguments import Tensor


class Context(NamedTuple):
    """Options of all layers."""

    # float [B, D], the encoded condition of each image (`conditions.Condition.encode`). `conditional` layers
    # that were built with one add a projection of it to their bias, which is zero at first.
    condition: Tensor | None = None
    # Whether blocks keep only their inputs for the backward pass, and are evaluated again there: a training
    # step takes less memory and more time.
    remat: bool = False
    # Whether an eager call of a weight-normalized layer first fits `g` and `b` to its batch, so that each
    # output channel has mean 0 and standard deviation `init_scale`. The next layer sees this output: one
    # forward pass without dropout initializes a network (Salimans & Kingma, 2016, section 3). A channel that
    # is constant on the batch keeps ``g = init_scale``.
    initialize_from_data: bool = False
    # If given, layers record their number of parameters and the shapes of their inputs here. They make no
    # weights, and return zeros.
    counts: dict[Any, tuple[int, Any]] | None = None
    # Called with each `Factor` before it makes weights; returns whether they are zeros, to be replaced.
    before_weights: Callable[[Any], bool] | None = None
    zeros: bool = False  # whether new weights are zeros


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
    """Counts parameters without making weights.

    Yields dict, called layer -> (int, its number of parameters; the shapes that `build` takes).
    """
    counts: dict[Any, tuple[int, Any]] = {}
    with context(counts=counts):
        yield counts


def evaluate_block(block: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """block(*inputs), evaluated again in the backward pass if the context has `remat`."""
    forward_context = current()
    if not forward_context.remat:
        return block(*inputs)

    def in_same_context(*inputs):  # the context has ended before the backward pass
        with context(**forward_context._asdict()):
            return block(*inputs)

    return keras.remat(in_same_context)(*inputs)
