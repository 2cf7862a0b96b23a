"""The topology of a network as data: its steps, and the activations that later steps take as skips.

A topology is a list of steps after a first convolution. Activation 0 is the output of that convolution, and
activation k the output of step k; the input of a step is the activation before it. The network decides how
many streams there are, how they are shifted, and what conditions them.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect

MAX_SIDE = 8  # of blocks
KINDS = ("block", "down", "up", "conv")


class Step(NamedTuple):
    """One step: a residual "block", a stride-2 "down" or transposed "up" convolution, or a plain "conv"."""

    kind: str
    skip: int | None = None  # the activation that a block takes as its skip


class Topology(NamedTuple):
    """Steps, and the activations that are outputs: one for each resolution, finest first."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @classmethod
    def make(cls, topology: Self | Sequence) -> Self:
        """Checks a `Topology`, or makes one from plain lists, as in JSON: steps are [kind, skip].

        Raises ValueError, which names the wrong step or output.
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
        expected = f"a topology that halves the resolution at most {arguments.MAX_HALVINGS} times"
        received = f"one that does {halvings} times"
        fits = halvings <= arguments.MAX_HALVINGS
        expect(fits, expected, received, "Leave out some of its steps")
        for position, step in enumerate(topology.steps, start=1):
            fits = step.skip is None or levels[step.skip] == levels[position]
            expected = f"the skip of step {position} from an activation of its resolution"
            received = f"activation {step.skip}, of another one"
            expect(fits, expected, received, "Give such an activation, or None")
        return topology

    def levels(self) -> list[int]:
        """The resolution of each activation: H and W of the input are divided by 2 ** level."""
        levels = [0]
        for step in self.steps:
            levels.append(levels[-1] + {"down": 1, "up": -1}.get(step.kind, 0))
        return levels


def _sequence(name, content, value, *lengths):
    """Checks a list or tuple of one of `lengths`, by default 1 to `LARGEST`."""
    lengths = lengths or range(1, arguments.LARGEST + 1)
    fits = isinstance(value, (list, tuple)) and len(value) in lengths
    expected = f"{name}, {content}, as a list or a tuple"
    expect(fits, expected, arguments.short_repr(value), "Give one, or a Topology")
    return value


def _step(position, step):
    kind, *skip = _sequence(f"step {position}", "[kind, skip]", step, 1, 2)
    arguments.choice(f"the kind of step {position}", kind, KINDS)
    if skip in ([], [None]):
        return Step(kind)
    expected = f"step {position}, {kind!r}, without a skip, which only blocks take"
    expect(kind == "block", expected, arguments.short_repr(skip[0]), "Give None")
    return Step(kind, arguments.whole(f"the skip of step {position}", skip[0], 0, position - 1))


class _Steps(list):
    def add(self, *step):
        """Adds a step and returns its activation."""
        self.append(Step(*step))
        return len(self)


def flat(blocks: int) -> Topology:
    """Blocks at one resolution: the light networks of Pyramid PixelCNN (section 4.2)."""
    blocks = arguments.whole("blocks", blocks)
    return Topology((Step("block"),) * blocks, (blocks,))


def pixelcnn_pp(blocks: int, resolutions: int) -> Topology:
    """PixelCNN++: down to the coarsest resolution and up again, each upward block with a long skip.

    Upward blocks take the downward activations as skips, the latest first: the last block takes activation 0.
    Each segment between resamplings has `blocks`, and one more after an up-sampling, since the output of the
    down-sampling is a skip as well. The paper's 36 and 24 "residual blocks" (section 4.1) are
    6 (blocks + 1).
    """
    blocks = arguments.whole("blocks", blocks)
    resolutions = arguments.whole("resolutions", resolutions, 1, arguments.MAX_HALVINGS + 1)
    steps, skips, outputs = _Steps(), [0], []
    add = steps.add
    for level in range(resolutions):
        if level > 0:
            skips.append(add("down"))
        skips.extend(add("block") for _ in range(blocks))
    skips.pop()  # the turning point, the input of the first upward block
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

    There are `depth` groups of `blocks` downwards, as many upwards with skips from the downward blocks, then
    a group and a linear convolution at twice the input's resolution. The paper's 15 blocks are three in a
    group at depth 2. For a network of several `resolutions`, at most `depth` + 1, the last activations of
    upward groups are features too.
    """
    blocks = arguments.whole("blocks", blocks)
    depth = arguments.whole("depth", depth, 1, arguments.MAX_HALVINGS)
    resolutions = arguments.whole("resolutions", resolutions, 1, depth + 1)
    steps, outputs, skips = _Steps(), [], list[int]()
    add = steps.add
    for group in range(depth):
        if group > 0:
            add("down")
        skips.extend(add("block") for _ in range(blocks))
    for group in range(depth):
        if group > 0:
            add("up")
        for _ in range(blocks):
            last = add("block", skips.pop())
        outputs.append(last)
    add("up")
    for _ in range(blocks):
        add("block")
    outputs.append(add("conv"))
    return Topology(tuple(steps), tuple(reversed(outputs[-resolutions:])))
