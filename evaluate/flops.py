"""The arithmetic of a network: multiplications and additions in the products of its graph."""

import tensorflow as tf

# Operations that run another graph, which is not looked into.
_CALLS = ("Case", "If", "PartitionedCall", "StatefulPartitionedCall", "StatelessCase")
_CALLS += ("StatelessIf", "StatelessWhile", "While")


def forward_pass(factor, *images):
    """Multiplications and additions in the products of a factor's forward pass.

    Args:
      factor: `pixelcnn_aux.factor.Factor`.
      *images: (B, H, W, C) of the images, and of the auxiliary images where there are any.

    Returns:
      int, FLOPs.

    Raises:
      ValueError: as `products`.
    """
    specs = [tf.TensorSpec(shape, tf.uint8) for shape in images]
    inputs = specs[0] if len(specs) == 1 else tuple(specs)
    function = tf.function(lambda x: factor(x, training=False)).get_concrete_function(inputs)
    return products(function.graph.get_operations())


def products(operations):
    """Multiplications and additions in convolutions and products of matrices; no other operation counts.

    Args:
      operations: iterable of `tf.Operation` whose tensors have static shapes.

    Returns:
      int, FLOPs: two for each multiplication, since what it gives is added to something.

    Raises:
      ValueError: for an operation that runs a graph of its own, whose arithmetic would be missed.
    """
    return 2 * sum(map(_multiplications, operations))


def _multiplications(op):
    if op.type in _CALLS:
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
