"""What the backward pass of a training step needs of its forward pass, found in the step's graph."""

from typing import NamedTuple

import tensorflow as tf

from pixelcnn_aux import layers

# Operations that need a tensor's shape and not its values. Shapes are static.
_OF_SHAPES = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")
# Operations whose outputs are their inputs, in the same memory.
_ALIASES = ("ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient")
# Tensors that are no activations: numbers in the program, and the weights, which are there anyway.
_NOT_COMPUTED = ("Const", "ReadVariableOp")


class Trace(NamedTuple):
    """The operations of a training step, those alone that its loss and its gradients need.

    Attributes:
      forward: list of `tf.Operation`, those of the loss.
      backward: list of `tf.Operation`, what the gradients need besides.
      block_names: set of str, of the gated residual blocks that may be rematerialized.
    """

    forward: list
    backward: list
    block_names: frozenset

    def block(self, op):
        """The scope of the block that an operation belongs to, another one for each call; None for none."""
        scopes = op.name.split("/")
        for depth, scope in enumerate(scopes[:-1], start=1):
            # TensorFlow numbers scopes of one name.
            name, _, number = scope.rpartition("_")
            if scope in self.block_names or (number.isdigit() and name in self.block_names):
                return "/".join(scopes[:depth])
        return None

    def of_blocks(self):
        """The operations that rematerialization repeats: those of the forward pass that are in blocks."""
        return [op for op in self.forward if self.block(op)]

    def kept(self):
        """The tensors of the forward pass whose values the backward pass reads: list of `tf.Tensor`.

        Each piece of memory counts once. Weights do not count, but what is computed of them does: the
        normalized kernels.
        """
        names = {op.name for op in self.forward}
        tensors = [root for op in self.backward for root in _read(op) if root.op.name in names]
        return _distinct(tensors)

    def rematerialized(self):
        """The tensors that are kept if each block is evaluated again when its gradients are computed.

        Returns:
          (always, once): lists of `tf.Tensor`. The first ones are kept from the forward pass on: what blocks
          take, and what is kept outside of them. The others are of the block that keeps most besides, since
          there is one block's at a time.
        """
        kept = self.kept()
        names = {tensor.name for tensor in kept}
        always = [tensor for tensor in kept if not self.block(tensor.op)]
        for op in self.forward:
            block = self.block(op)
            crossing = [tensor for tensor in _read(op) if self.block(tensor.op) != block]
            always += [tensor for tensor in crossing if block or tensor.name in names]
        always = _distinct(always)
        names = {tensor.name for tensor in always}
        in_blocks = {}
        for tensor in kept:
            if tensor.name not in names:
                in_blocks.setdefault(self.block(tensor.op), []).append(tensor)
        return always, max(in_blocks.values(), key=num_bytes, default=[])


def trace(loss, variables, *specs, block_names=frozenset()):
    """Traces a function and its gradients, without evaluating either.

    Args:
      loss: function of tensors, which returns a scalar.
      variables: list of `tf.Variable`, for the gradients.
      *specs: `tf.TensorSpec` of static shape, of what `loss` takes.
      block_names: the names of layers that may be rematerialized.

    Returns:
      `Trace`.
    """

    def step(*inputs):
        with tf.GradientTape() as tape:
            value = loss(*inputs)
        return value, [x for x in tape.gradient(value, variables) if x is not None]

    function = tf.function(step, autograph=False).get_concrete_function(*specs)
    value, *gradients = function.outputs
    forward = _needed([value])
    backward = _needed(gradients)
    backward = [op for name, op in backward.items() if name not in forward]
    return Trace(list(forward.values()), backward, frozenset(block_names))


def training_step(factor, image, auxiliary=None):
    """The trace of a factor's training step: its loss with dropout, and the gradients of all weights.

    Args:
      factor: `pixelcnn_aux.factor.Factor`.
      image: (B, H, W, C) of the images.
      auxiliary: (B, h, w, c) of the auxiliary images; None for an unconditional factor.

    Returns:
      `Trace`, whose blocks are the factor's `GatedResidualBlock`s.
    """
    shapes = [image] if auxiliary is None else [image, auxiliary]

    def loss(*images):
        inputs = images if len(images) > 1 else images[0]
        return factor.compute_loss(inputs, images[0], factor(inputs, training=True))

    weights = [weight.value for weight in factor.trainable_variables]
    specs = [tf.TensorSpec(shape, tf.uint8) for shape in shapes]
    return trace(loss, weights, *specs, block_names=[block.name for block in _blocks(factor)])


def num_bytes(tensors):
    """The memory of tensors, a list of `tf.Tensor` of static shapes, in bytes: int."""
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


def _blocks(layer):
    if isinstance(layer, layers.GatedResidualBlock):
        return [layer]
    parts = layer.parts() if hasattr(layer, "parts") else []
    return [block for part in parts for block in _blocks(part)]


def _needed(tensors):
    """The operations that tensors are computed by: dict, name -> `tf.Operation`."""
    found, left = {}, [tensor.op for tensor in tensors]
    while left:
        op = left.pop()
        if op.name not in found:
            found[op.name] = op
            left += [] if op.type in _OF_SHAPES else [tensor.op for tensor in op.inputs]
    return found


def _read(op):
    """The activations whose values an operation reads, as the tensors that their memory is from."""
    if op.type in _OF_SHAPES:
        return []
    roots = map(_root, op.inputs)
    return [
        root for root in roots if root.op.type not in _NOT_COMPUTED and root.dtype != tf.resource
    ]


def _root(tensor):
    while tensor.op.type in _ALIASES:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _distinct(tensors):
    return list({tensor.name: tensor for tensor in tensors}.values())
