"""The graph of a training step: its arithmetic, and what its backward pass needs of its forward pass.

Graphs are traced, and not run. All shapes in them are static.
"""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn_aux import layers
from pixelcnn_aux.inputs import Inputs

# Operations that run another graph, which is not looked into.
_CALLS = (
    "Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile While"
)
# Operations that need a tensor's shape and not its values.
_READ_SHAPES = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")
# Operations whose outputs are their inputs, in the same memory.
_ALIASES = ("ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient")
# Tensors that are no activations: numbers in the program, and the weights, which are there anyway.
_NOT_COMPUTED = ("Const", "ReadVariableOp")


class Trace(NamedTuple):
    """The operations of a training step that its loss and its gradients need, lists of `tf.Operation`."""

    forward: list  # those of the loss
    backward: list  # what the gradients need besides
    block_names: frozenset  # of str, of the gated residual blocks that may be rematerialized

    def block(self, op):
        """The scope of the block that an operation belongs to, another one for each call; None for none."""
        scopes = op.name.split("/")
        for depth, scope in enumerate(scopes[:-1], start=1):
            # TensorFlow numbers scopes of one name.
            name, _, number = scope.rpartition("_")
            if scope in self.block_names or (number.isdigit() and name in self.block_names):
                return "/".join(scopes[:depth])
        return None

    def in_blocks(self):
        """The operations of the forward pass that are in blocks, which rematerialization repeats."""
        return [op for op in self.forward if self.block(op)]

    def kept(self):
        """The tensors of the forward pass whose values the backward pass reads: list of `tf.Tensor`.

        Each piece of memory counts once. Weights do not count, but what is computed of them does: the
        normalized kernels.
        """
        names = {op.name for op in self.forward}
        return _distinct(x for op in self.backward for x in _read(op) if x.op.name in names)

    def rematerialized(self):
        """The tensors that are kept if each block is evaluated again when its gradients are computed.

        Returns:
          (always, once): lists of `tf.Tensor`. The first ones are kept from the forward pass on: the inputs
          of blocks, and what is kept outside of them. The others are of the block that keeps most besides,
          since only one block is evaluated at a time.
        """
        kept = {tensor.name: tensor for tensor in self.kept()}
        always = [tensor for tensor in kept.values() if not self.block(tensor.op)]
        for op in self.forward:
            block = self.block(op)
            crossing = [tensor for tensor in _read(op) if self.block(tensor.op) != block]
            always += [tensor for tensor in crossing if block or tensor.name in kept]
        always, in_blocks = _distinct(always), {}
        for name in kept.keys() - {tensor.name for tensor in always}:
            in_blocks.setdefault(self.block(kept[name].op), []).append(kept[name])
        return always, max(in_blocks.values(), key=num_bytes, default=[])


def trace(loss, variables, *specs, block_names=()):
    """The `Trace` of a function of tensors like `specs`, and of its gradients by `variables`."""

    def step(*inputs):
        with tf.GradientTape() as tape:
            value = loss(*inputs)
        return value, [x for x in tape.gradient(value, variables) if x is not None]

    function = tf.function(step, autograph=False).get_concrete_function(*specs)
    value, *gradients = function.outputs
    forward, needed = _needed([value]), _needed(gradients)
    backward = [op for name, op in needed.items() if name not in forward]
    return Trace(list(forward.values()), backward, frozenset(block_names))


def training_step(factor, image, auxiliary=None):
    """The `Trace` of a factor's training step: its loss with dropout, and the gradients of all weights.

    Args:
      factor: `pixelcnn_aux.factor.Factor`.
      image: (B, H, W, C) of the images.
      auxiliary: (B, h, w, c) of the auxiliary images; None for an unconditional factor.
    """

    def loss(inputs):
        return factor.compute_loss(inputs, inputs.images, factor(inputs, training=True))

    weights = [weight.value for weight in factor.trainable_variables]
    names = [block.name for block in _blocks(factor)]
    return trace(loss, weights, _inputs(image, auxiliary), block_names=names)


def forward_flops(factor, image, auxiliary=None):
    """int, the `flops` of a factor's forward pass. Args as for `training_step`."""
    function = tf.function(lambda inputs: factor(inputs, training=False), autograph=False)
    graph = function.get_concrete_function(_inputs(image, auxiliary)).graph
    return flops(graph.get_operations())


def _inputs(image, auxiliary):
    """`Inputs` of `tf.TensorSpec`s of these shapes."""
    return Inputs(*(shape and tf.TensorSpec(shape, tf.uint8) for shape in (image, auxiliary)))


def flops(operations):
    """int, the multiplications and additions in convolutions and products of matrices, and in no others.

    Raises ValueError for an operation that runs a graph of its own, whose arithmetic would be missed.
    """
    return 2 * sum(map(_multiplications, operations))  # each of which is added to something


def num_bytes(tensors):
    """The memory of a list of `tf.Tensor`, in bytes: int."""
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


def _multiplications(op):
    if op.type in _CALLS.split():
        raise ValueError(
            f"Expected a graph without calls, loops and branches, whose operations can be counted. "
            f"Received: {op.name} ({op.type}). Write that part without them."
        )
    if op.type == "Conv2D":
        return op.outputs[0].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
    if op.type == "Conv2DBackpropInput":  # a transposed convolution: kernel [h, w, out, in]
        return op.inputs[2].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
    if op.type in ("MatMul", "BatchMatMulV2"):
        return op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1]
    return 0


def _blocks(layer):
    if isinstance(layer, layers.GatedResidualBlock):
        return [layer]
    parts = layer.parts() if hasattr(layer, "parts") else []
    return [block for part in parts for block in _blocks(part)]


def _needed(tensors):
    """The operations that compute tensors: dict, name -> `tf.Operation`."""
    found, left = {}, [tensor.op for tensor in tensors]
    while left:
        op = left.pop()
        if op.name not in found:
            found[op.name] = op
            left += [] if op.type in _READ_SHAPES else [tensor.op for tensor in op.inputs]
    return found


def _read(op):
    """The activations whose values an operation reads, as the tensors that own their memory."""
    found = []
    for tensor in () if op.type in _READ_SHAPES else op.inputs:
        while tensor.op.type in _ALIASES:
            tensor = tensor.op.inputs[tensor.value_index]
        if tensor.op.type not in _NOT_COMPUTED and tensor.dtype != tf.resource:
            found.append(tensor)
    return found


def _distinct(tensors):
    return list({tensor.name: tensor for tensor in tensors}.values())
