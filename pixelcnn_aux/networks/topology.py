"""What a network looks like, as data: which step follows which, and whose output is its skip.

A topology is a list of steps that follow a first convolution. Activation 0 is the first
convolution's output and activation k that of step k - 1; a step works on the activation before it.
Which streams there are, how they are shifted and what conditions them is the network's business.
"""

from typing import NamedTuple


class Step(NamedTuple):
    """One step: a gated "block", stride-2 "down" or transposed "up", or a plain "conv"."""

    kind: str
    skip: int | None = None  # the activation that a block takes as its skip


class Topology(NamedTuple):
    """The steps, and the activations that a network gives out, one per resolution, finest first."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @classmethod
    def make(cls, steps, outputs):
        """A topology of plain lists, such as JSON has: steps are [kind, skip]."""
        return cls(tuple(Step(*step) for step in steps), tuple(outputs))

    def levels(self):
        """Each activation's resolution: the input's sides are divided by 2 ** level."""
        levels = [0]
        for step in self.steps:
            levels.append(levels[-1] + {"down": 1, "up": -1}.get(step.kind, 0))
        return levels


def flat(blocks):
    """So many blocks at one resolution: the light networks of Pyramid PixelCNN (section 4.2)."""
    return Topology((Step("block"),) * blocks, (blocks,))


def pixelcnn_pp(blocks, resolutions):
    """PixelCNN++: down to the coarsest resolution and up again, each upward block with a long skip.

    The block at distance d from the end skips from the activation at distance d from the turning
    point. There are `blocks` in every segment between resamplings, and one more in those after an
    up-sampling, since there the down-sampling's output is a skip as well. The paper's 36 and 24
    "residual blocks" (section 4.1) are 6 (blocks + 1).
    """
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


def super_resolution(blocks, depth):
    """The embedding of Pyramid PixelCNN: features at twice its input's resolution (section 4.2).

    Downwards `depth` groups of `blocks`, upwards the same with skips from the blocks alone, then a
    group and a linear convolution at twice the input's resolution. The paper's 15 blocks are three a
    group and depth 2.
    """
    steps, skips = [], []
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
    steps.append(Step("up"))
    steps.extend([Step("block")] * blocks)
    steps.append(Step("conv"))
    return Topology(tuple(steps), (len(steps),))
