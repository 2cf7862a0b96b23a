"""What a network looks like, as data: which step follows which, and whose output is its skip.

A topology is a list of steps that follow a first convolution. Activation 0 is the first
convolution's output and activation k that of the k-th step; a step works on the activation before it.
Which streams there are, how they are shifted and what conditions them is the network's business.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from pixelcnn_aux import arguments

KINDS = ("block", "down", "up", "conv")


class Step(NamedTuple):
    """One step: a gated "block", stride-2 "down" or transposed "up", or a plain "conv"."""

    kind: str
    skip: int | None = None  # the activation that a block takes as its skip


class Topology(NamedTuple):
    """The steps, and the activations that a network gives out, one per resolution, finest first."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @classmethod
    def make(cls, topology: Self | Sequence) -> Self:
        """A `Topology` as it is, or of plain lists, such as JSON has: steps are [kind, skip].

        Raises ValueError, which says which step or output is wrong.
        """
        steps, outputs = _sequence("a topology", "[steps, outputs]", topology, 2)
        steps = _sequence("steps", f"at most {arguments.LARGEST:,} of them", steps)
        outputs = _sequence("outputs", "one for each resolution", outputs)
        topology = cls(
            tuple(_step(position, step) for position, step in enumerate(steps, start=1)),
            tuple(arguments.whole("an output", output, 0, len(steps)) for output in outputs),
        )
        levels = topology.levels()
        halvings = max(levels) - min(levels)
        if halvings > arguments.MAX_HALVINGS:
            raise ValueError(
                f"Expected a topology that halves the resolution at most {arguments.MAX_HALVINGS} times. "
                f"Received: one that does {halvings} times. Leave out some of its steps."
            )
        for position, step in enumerate(topology.steps, start=1):
            if step.skip is not None and levels[step.skip] != levels[position]:
                raise ValueError(
                    f"Expected the skip of step {position} from an activation of its resolution. Received: "
                    f"activation {step.skip}, of another one. Give such an activation, or None."
                )
        return topology

    def levels(self) -> list[int]:
        """Each activation's resolution: H and W of the input are divided by 2 ** level."""
        levels = [0]
        for step in self.steps:
            levels.append(levels[-1] + {"down": 1, "up": -1}.get(step.kind, 0))
        return levels


def _sequence(name, what, value, *lengths):
    """A list or a tuple of one of these lengths; of 1 to `LARGEST` where none is given."""
    fits = isinstance(value, (list, tuple))
    if not fits or len(value) not in (lengths or range(1, arguments.LARGEST + 1)):
        raise ValueError(
            f"Expected {name}, {what}, as a list or a tuple. Received: {arguments.short_repr(value)}. Give "
            "one, or a Topology."
        )
    return value


def _step(position, step):
    kind, *skip = _sequence(f"step {position}", "[kind, skip]", step, 1, 2)
    arguments.choice(f"the kind of step {position}", kind, KINDS)
    if skip in ([], [None]):
        return Step(kind)
    if kind != "block":
        raise ValueError(
            f"Expected step {position}, {kind!r}, without a skip, which blocks alone take. "
            f"Received: {arguments.short_repr(skip[0])}. Give None."
        )
    return Step(kind, arguments.whole(f"the skip of step {position}", skip[0], 0, position - 1))


def flat(blocks: int) -> Topology:
    """So many blocks at one resolution: the light networks of Pyramid PixelCNN (section 4.2)."""
    blocks = arguments.whole("blocks", blocks)
    return Topology((Step("block"),) * blocks, (blocks,))


def pixelcnn_pp(blocks: int, resolutions: int) -> Topology:
    """PixelCNN++: down to the coarsest resolution and up again, each upward block with a long skip.

    The blocks after the turning point take the activations before it as skips, the latest first: the last
    block takes activation 0. There are `blocks` in every segment between resamplings, and one more in those
    after an up-sampling, since there the down-sampling's output is a skip as well. The paper's 36 and 24
    "residual blocks" (section 4.1) are 6 (blocks + 1).
    """
    blocks = arguments.whole("blocks", blocks)
    resolutions = arguments.whole("resolutions", resolutions, 1, arguments.MAX_HALVINGS + 1)
    steps, skips, outputs = [], [0], []

    def add(*step):
        steps.append(Step(*step))
        return len(steps)

    for level in range(resolutions):
        if level > 0:
            skips.append(add("down"))
        skips.extend(add("block") for _ in range(blocks))
    skips.pop()  # The turning point: it goes on as it is.
    for level in reversed(range(resolutions)):
        upsampled = level < resolutions - 1
        if upsampled:
            add("up")
        for _ in range(blocks + upsampled):
            last = add("block", skips.pop())
        outputs.append(last)
    return Topology(tuple(steps), tuple(reversed(outputs)))


def super_resolution(blocks: int, depth: int, resolutions: int = 1) -> Topology:
    """The embedding of Pyramid PixelCNN: features at twice its input's resolution (section 4.2).

    Downwards `depth` groups of `blocks`, upwards the same with skips from the blocks alone, then a
    group and a linear convolution at twice the input's resolution. The paper's 15 blocks are three a
    group and depth 2. For a network of several `resolutions`, `depth` + 1 at most, features are also what
    upward groups end with.
    """
    blocks = arguments.whole("blocks", blocks)
    depth = arguments.whole("depth", depth, 1, arguments.MAX_HALVINGS)
    resolutions = arguments.whole("resolutions", resolutions, 1, depth + 1)
    steps, skips, outputs = [], [], []
    for group in range(depth):
        if group > 0:
            steps.append(Step("down"))
        for _ in range(blocks):
            steps.append(Step("block"))
            skips.append(len(steps))
    for group in range(depth):
        if group > 0:
            steps.append(Step("up"))
        for _ in range(blocks):
            steps.append(Step("block", skips.pop()))
        outputs.append(len(steps))
    steps.append(Step("up"))
    steps.extend([Step("block")] * blocks)
    steps.append(Step("conv"))
    outputs.append(len(steps))
    return Topology(tuple(steps), tuple(reversed(outputs[-resolutions:])))
