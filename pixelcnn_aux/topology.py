"""The topology of a network as data: its steps, and the activations that are skips of later steps.

A topology is a list of steps that follow a first convolution. Activation 0 is the output of the first
convolution, and activation k that of step k; a step works on the activation before it. The network decides
how many streams there are, how they are shifted, and what conditions them.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from pixelcnn_aux import arguments, arrays, sums
from pixelcnn_aux.arguments import Size, Tensor
from pixelcnn_aux.errors import expect

MAX_SIDE = 8  # of blocks
KINDS = ("block", "down", "up", "conv")


class Step(NamedTuple):
    """One step: a gated "block", stride-2 "down" or transposed "up", or a plain "conv"."""

    kind: str
    skip: int | None = None  # the activation that a block takes as its skip


class Topology(NamedTuple):
    """The steps, and the activations that are outputs: one for each resolution, finest first."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    @classmethod
    def make(cls, topology: Self | Sequence) -> Self:
        """A `Topology`, from one or from plain lists, such as JSON has: steps are [kind, skip].

        Raises ValueError, which names the step or output that is wrong.
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
        """Each activation's resolution: H and W of the input are divided by 2 ** level."""
        levels = [0]
        for step in self.steps:
            levels.append(levels[-1] + {"down": 1, "up": -1}.get(step.kind, 0))
        return levels

    def activations(
        self,
        first: Any,
        layers: Sequence[Any],
        before: Sequence[Any] | None,
        after: Sequence[Any] | None,
        *,
        block: Callable[..., Any],
        convolution: Callable[..., Any],
        activate: Callable[..., Any],
    ) -> tuple[list[Any], list[Any]]:
        """Evaluates the layers of the steps, one after another.

        Args:
          first: activation 0, of whole images; or of a row or pixel that follows others: then None stands for
            the activations of resolutions that have none there.
          before, after: list of further skips of each activation's block; None without them. A block takes
            that of `before`, its own, and that of `after`.
          block: function of a layer, its input, what `activate` made of that, and a list of skips.
          convolution: function of a layer and its input, of all other steps.
          activate: function of an activation, applied once for all that use it.

        Returns:
          All activations, and what `activate` made of them: two lists.
        """
        activations, activated = [first], [activate(first)]
        levels = self.levels()
        coarsest = max(levels)  # of the resolutions that have activations here
        for k, (step, layer) in enumerate(zip(self.steps, layers), start=1):
            x = activations[-1]
            if min(levels[k - 1 : k + 1]) > coarsest:  # neither its input nor its output is here
                x = None
            elif step.kind == "block":
                skips = [before[k]] if before else []
                skips += [] if step.skip is None else [activated[step.skip]]
                skips += [after[k]] if after else []
                x = block(layer, x, activated[-1], skips)
            else:
                x = convolution(layer, x)
                if x is None:
                    coarsest = levels[k] - 1
            activations.append(x)
            activated.append(None if x is None else activate(x))
        return activations, activated


def _sequence(name, what, value, *lengths):
    """A list or a tuple of one of these lengths, or of 1 to `LARGEST`."""
    lengths = lengths or range(1, arguments.LARGEST + 1)
    fits = isinstance(value, (list, tuple)) and len(value) in lengths
    expected, received = f"{name}, {what}, as a list or a tuple", arguments.short_repr(value)
    expect(fits, expected, received, "Give one, or a Topology")
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
        """Adds a step; returns its activation."""
        self.append(Step(*step))
        return len(self)


def flat(blocks: int) -> Topology:
    """Blocks at one resolution: the light networks of Pyramid PixelCNN (section 4.2)."""
    blocks = arguments.whole("blocks", blocks)
    return Topology((Step("block"),) * blocks, (blocks,))


def pixelcnn_pp(blocks: int, resolutions: int) -> Topology:
    """PixelCNN++: down to the coarsest resolution and up again, each upward block with a long skip.

    The blocks after the turning point take the activations before it as skips, the latest first: the last
    block takes activation 0. There are `blocks` in every segment between resamplings, and one more after an
    up-sampling, since the output of the down-sampling is a skip as well. The paper's 36 and 24 "residual
    blocks" (section 4.1) are 6 (blocks + 1).
    """
    blocks = arguments.whole("blocks", blocks)
    resolutions = arguments.whole("resolutions", resolutions, 1, arguments.MAX_HALVINGS + 1)
    steps, skips, outputs = _Steps(), [0], []
    add = steps.add
    for level in range(resolutions):
        if level > 0:
            skips.append(add("down"))
        skips.extend(add("block") for _ in range(blocks))
    skips.pop()  # the turning point, which goes on as it is
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

    Downwards `depth` groups of `blocks`, upwards the same with skips from blocks alone, then a group and a
    linear convolution at twice the input's resolution. The paper's 15 blocks are three in a group, and
    depth 2. For a network of several `resolutions`, at most `depth` + 1, the last activations of upward
    groups are features too.
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


# The networks of `networks` and of `engine` have these in common, in Keras and in NumPy.


def append_ones(x: Tensor) -> Tensor:
    """Adds a channel of ones, by which pixels of value zero differ from the zeros outside the image."""
    return arrays.concatenate([x, arrays.ones_like(x[..., :1])], axis=-1)


def kernels_of_parts(kernel: Tensor, channels: Sequence[int]) -> list[Tensor]:
    """The kernel of each part, of so many channels, of a `layers.Projection`: [..., C, filters] each."""
    # The rows of all parts' positive halves come first, then those of their negative halves.
    halves = [count // 2 for count in channels]
    stops = [*itertools.accumulate(halves + halves)][:-1]
    pieces = arrays.split(kernel, stops, axis=-2)
    pairs = zip(pieces[: len(halves)], pieces[len(halves) :])
    return [arrays.concatenate(pair, axis=-2) for pair in pairs]


def raster_mask(height: int, width: int, itself: bool) -> np.ndarray:
    """1 where a masked kernel sees a pixel, else 0: float32 [height, width, 1, 1].

    Its last row is the pixel's own, with the columns to the left, and the pixel `itself` or not.
    """
    mask = np.ones((height, width, 1, 1), np.float32)
    mask[-1, width // 2 + itself :] = 0
    return mask


class DecidesInRasterOrder:
    """A network that decides pixels one by one: what follows from its topology."""

    side: int = 1
    period: int = 1
    radius: int | None = None

    def follow(self, topology: Topology | Sequence) -> None:
        """Sets `topology`, `multiple` and `num_resolutions`."""
        self.topology = Topology.make(topology)
        levels = self.topology.levels()
        expected = "a topology that goes down from the image's resolution, and ends there"
        received = f"resolutions divided by {[2.0**level for level in levels]}"
        expect(levels[-1] == min(levels) == 0, expected, received, "Choose such steps")
        self.multiple, self.num_resolutions = 2 ** max(levels), max(levels) + 1


class DecidesInMaskedOrder(DecidesInRasterOrder):
    """A network of masked convolutions of one resolution: what follows from their size."""

    def mask(self, blocks: int, kernel_size: Size, side: int) -> None:
        """Sets `kernel_size`, `side`, and all that follows from these arguments of `MaskedPixelCNN`."""
        self.follow(flat(blocks))
        self.blocks = blocks
        self.kernel_size = height, width = arguments.size("kernel_size", kernel_size)
        self.side = arguments.whole("side", side, 1, MAX_SIDE)
        # By how many columns a row is behind the one above it, if all are decided at once; the rows of a
        # block are not.
        self.delay = max(1 + (width - 1) // 2, self.side)
        pixels = max(height - 1, width // 2) * (1 + 2 * blocks)
        self.radius = -(-pixels // self.side)

    def turns(self, size: Size) -> np.ndarray:
        """As `networks.Network.turns`."""
        return np.add.outer(self.delay * np.arange(size[0]), np.arange(size[1]))


class Embeds:
    """An embedding: what follows from its topology."""

    def follow(self, topology: Topology | Sequence, kernel_size: Size) -> None:
        """Sets `topology`, `kernel_size`, `multiple`, `ratio`, `num_resolutions` and `radius`."""
        self.topology = Topology.make(topology)
        self.kernel_size = arguments.size("kernel_size", kernel_size)
        levels = self.topology.levels()
        # The finest may be finer than the image: that of x.
        finest, outputs = min(levels), [levels[index] for index in self.topology.outputs]
        self.num_resolutions = len(outputs)
        expected = "outputs at resolutions that are each half the one before, from the finest on"
        received = f"resolutions divided by {[2.0**level for level in outputs]}"
        halved = outputs == [*range(finest, finest + self.num_resolutions)]
        expect(halved, expected, received, "Choose others")
        self.multiple, self.ratio = 2 ** max(levels), 2**-finest
        convolutions = 1 + 2 * len(self.topology.steps)
        self.radius = None if any(levels) else max(self.kernel_size) // 2 * convolutions


class Group(NamedTuple):
    """Pixels that are decided at once: those at one place of all blocks, or of a part of the blocks."""

    place: int  # in raster order
    part: int = 0  # the group has the blocks whose row + column, modulo `parts`, is this
    parts: int = 1

    def chosen(self, these: Tensor, others: Tensor) -> Tensor:
        """[B, h, w, ...]: `these` in the blocks of this group, `others` in the other blocks."""
        if self.parts == 1:
            return these
        _, height, width, *_ = arrays.shape(these)
        diagonal = arrays.arange(height)[:, None] + arrays.arange(width)
        return arrays.where((diagonal % self.parts == self.part)[..., None], these, others)


class DecidesGroups:
    """A network that decides groups of pixels in turn, each from those before it.

    A subclass calls `divide`, and has `known_at_first` and `group_params`, as `networks.ParallelPixelCNN`.
    """

    radius: int | None
    known_at_first: Callable[..., list[Tensor]]
    group_params: Callable[..., Tensor]

    def divide(self, parts: Sequence[int], blocks: int | Sequence[int], kernel_size: Size) -> None:
        """Sets `groups`, and all attributes that follow from these arguments of `ParallelPixelCNN`."""
        self.place_parts = parts = [arguments.whole("parts", part, 1, 16) for part in parts]
        self.side = math.isqrt(len(parts))
        square = self.side**2 == len(parts) and 1 <= self.side <= MAX_SIDE
        expected = f"parts for each place of a block of side 1 to {MAX_SIDE}: 1, 4, 9, ... of them"
        expect(square, expected, len(parts), "Give (1, 1, 1, 1) for blocks of 2 x 2")
        self.groups = [Group(place, part, n) for place, n in enumerate(parts) for part in range(n)]
        self.period = math.lcm(*parts)
        self.blocks = arguments.whole_each("blocks", blocks, len(parts), "place")
        self.topologies = [flat(self.blocks[group.place]) for group in self.groups]
        self.kernel_size = arguments.size("kernel_size", kernel_size)
        self.radius = max(self.kernel_size) // 2 * (1 + 2 * max(self.blocks))

    def turns(self, size: Size) -> np.ndarray:
        """As `networks.Network.turns`."""
        rows, columns = np.indices(size)
        places = rows % self.side * self.side + columns % self.side
        diagonals, found = rows // self.side + columns // self.side, np.zeros(size, int)
        for turn, (place, part, parts) in enumerate(self.groups):
            found[(places == place) & (diagonals % parts == part)] = turn
        return found

    def all_params(self, x: Tensor, features: Sequence[Tensor], **how: Any) -> Tensor:
        """The parameters of all pixels of images [B, H, W, C] as the network sees them: [B, H, W, P].

        `how` are arguments of `group_params`. Blocks of an unknown side, in a graph, are all complete.
        """
        places, size = sums.by_place(x, self.side), x.shape[1:3]
        known = self.known_at_first(arrays.shape(places[0])[:3], features)
        exists = sums.existing_by_place(size, self.side)
        found: list[Tensor] = []
        for k, group in enumerate(self.groups):
            params, pixels = self.group_params(k, known, **how), places[group.place]
            if exists is not None:
                pixels = pixels * arrays.cast(exists[group.place], pixels.dtype)
            before = arrays.zeros_like(pixels), params
            if group.part:
                before = known.pop(), found.pop()
            known.append(group.chosen(pixels, before[0]))
            found.append(group.chosen(params, before[1]))
        return sums.from_places(found, self.side, size)
