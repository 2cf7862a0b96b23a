"""The arithmetic of a forward pass."""

import tensorflow as tf


def forward_pass(factor, *images):
    """Multiplications and additions in the products of a factor's forward pass.

    Args:
      factor: `pixelcnn_aux.factor.Factor`.
      *images: (B, H, W, C) of the images, and of the auxiliary images where there are any.
    """
    specs = [tf.TensorSpec(shape, tf.uint8) for shape in images]
    inputs = specs[0] if len(specs) == 1 else tuple(specs)
    function = tf.function(lambda x: factor(x, training=False)).get_concrete_function(inputs)

    def macs(op):
        if op.type == "Conv2D":
            return op.outputs[0].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
        if op.type == "Conv2DBackpropInput":  # a transposed convolution: kernel [h, w, out, in]
            return op.inputs[2].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
        if op.type in ("MatMul", "BatchMatMulV2"):
            return op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1]
        return 0

    return 2 * sum(macs(op) for op in function.graph.get_operations())
