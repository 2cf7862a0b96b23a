"""Computes, without measuring, the cost of a training run: python -m evaluate.cost --preset cifar10.

For each factor of a preset, from the graph of its training step: FLOPs of a step and of all steps, memory of
a step, and hours of all steps on named hardware, assuming that it reaches a share of its peak (--efficiency).
The formulas are in docs/scaling.md.
"""

import math
import re
from typing import NamedTuple
from unittest import mock

from absl import flags

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import program
from pixelcnn_aux.networks import array_layers

FLAGS = flags.FLAGS

tf = tools.LazyModule("tensorflow")

# Published FLOP/s of dense products. The last entry: 2 cores, each with 2 units that multiply and add 16
# float32 per cycle, at 3.5 GHz.
HARDWARE = {
    "NVIDIA H100 SXM, bf16": 989e12,
    "NVIDIA A100, bf16": 312e12,
    "NVIDIA V100, fp16": 125e12,
    "NVIDIA RTX 4090, bf16": 165e12,
    "2 CPU cores, AVX-512, float32": 2 * 2 * 16 * 2 * 3.5e9,
}
FLOAT = 4  # bytes of a weight, gradient or optimizer value, also in mixed precision
ADAM_AND_AVERAGE = 3  # two moments of each weight, and its exponential average

# Operations that run another graph, whose FLOPs are not counted.
_CALLS = (
    "Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile While"
).split()
# Operations that need only a tensor's shape.
_READ_SHAPES = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")
# Operations whose outputs share memory with their inputs.
_ALIASES = ("ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient")
# Scopes of blocks, which TensorFlow numbers.
_BLOCK = "residual_block"
_IN_BLOCK = re.compile(rf".*\b{_BLOCK}(_\d+)?(?=/)")
# Not activations: constants, and weights, which are in memory anyway.
_NOT_COMPUTED = ("Const", "ReadVariableOp")


def main():
    pa.backend.require_tensorflow("counting operations")
    costs = factors_costs(tools.chosen_preset(), FLAGS.batch_size, FLAGS.efficiency)
    print(f"{FLAGS.model}, preset {FLAGS.preset}: computed, not measured")
    print_table(costs)


def factors_costs(preset, batch_size, efficiency):
    """Cost of training each factor of a preset: {name: dict of FLOPs, bytes and hours}.

    A `batch_size` other than the preset's, unless None, keeps the number of images. Raises ValueError as
    `flops`.
    """
    model, auxiliary, costs = tools.build(preset), None, {}
    for name, size in model.sizes().items():
        factor, training = model.factors[name], preset.training[name]
        batch = batch_size or training.batch_size
        steps = math.ceil(training.steps * training.batch_size / batch)
        image = (batch, *size, factor.likelihood.num_channels)
        factors = {
            "float32": factor.keras_model(),
            "bfloat16": factor.keras_model("mixed_bfloat16"),
        }
        auxiliary = auxiliary and (batch, *auxiliary[1:])
        traces = {x: training_step(f, image, auxiliary) for x, f in factors.items()}
        # The backward pass has two products for each one in the forward pass.
        step_flops = 3 * flops(traces["float32"].forward)
        seconds = {x: steps * step_flops / (efficiency * peak) for x, peak in HARDWARE.items()}
        costs[name] = {
            "parameters": factor.num_parameters,
            "batch_size": batch,
            "steps": steps,
            "step_flops": step_flops,
            "rematerialized_step_flops": step_flops + flops(traces["float32"].in_blocks()),
            "training_flops": steps * step_flops,
            "bytes": memory(factor.num_parameters, traces),
            "hours": {x: each / 3600 for x, each in seconds.items()},
        }
        auxiliary = image
    return costs


def memory(parameters, traces):
    """Bytes in memory during a step, by part and in total, from {precision: `Trace`}: {name: int}."""
    size = FLOAT * parameters
    state = {"weights": size, "gradients": size, "Adam and average": ADAM_AND_AVERAGE * size}
    kept = {name: num_bytes(step.kept()) for name, step in traces.items()}
    for name, step in traces.items():
        kept[f"{name}, rematerialized"] = num_bytes(sum(step.rematerialized(), []))
    activations = {f"activations, {name}": size for name, size in kept.items()}
    whole = {f"in all, {name}": sum(state.values()) + size for name, size in kept.items()}
    return {**state, **activations, **whole}


def print_table(costs):
    """Prints a column for each factor and one for their sums, with three significant digits."""
    table = tools.Table({"": "<36", **dict.fromkeys([*costs, "total"], "14")})
    factors = list(costs.values())
    # Memory has no total: factors are trained one after another.
    total = {x: sum(f[x] for f in factors) for x in ("parameters", "training_flops")}
    total["hours"] = {x: sum(f["hours"][x] for f in factors) for x in HARDWARE}
    columns = [*factors, total]
    table.add("parameters", *(f"{x['parameters']:,}" for x in columns))
    table.add("images a step", *(f"{x['batch_size']:,}" for x in factors))
    table.add("steps", *(f"{x['steps']:,}" for x in factors))
    table.add("TFLOP a step", *(digits(x["step_flops"] / 1e12) for x in factors))
    rematerialized = (digits(x["rematerialized_step_flops"] / 1e12) for x in factors)
    table.add("TFLOP a step, rematerialized", *rematerialized)
    table.add("EFLOP of all steps", *(digits(x["training_flops"] / 1e18) for x in columns))
    print("\nGB of a step")
    for name in factors[0]["bytes"]:
        table.add(name, *(digits(x["bytes"][name] / 1e9) for x in factors))
    print(f"\nhours of all steps, if {FLAGS.efficiency:g} of the peak is reached")
    for name in HARDWARE:
        table.add(name, *(digits(x["hours"][name]) for x in columns))


def digits(x):
    """Formats a number with three significant digits, and all digits before the point."""
    decimals = 2 - math.floor(math.log10(x)) if x > 0 else 0
    return f"{x:,.{max(0, decimals)}f}"


class Trace(NamedTuple):
    """A training step's operations in a graph of static shapes: lists of `tf.Operation`."""

    forward: list  # operations of the loss
    backward: list  # further operations of the gradients

    def block(self, op):
        """Scope of an operation's block, which may be rematerialized; None outside of blocks."""
        found = _IN_BLOCK.match(op.name)
        return found and found[0]

    def in_blocks(self):
        """Forward operations inside blocks, which rematerialization repeats."""
        return [op for op in self.forward if self.block(op)]

    def kept(self):
        """Forward tensors whose values the backward pass reads: list of `tf.Tensor`.

        Each piece of memory counts once. Includes normalized kernels, but not weights.
        """
        names = {op.name for op in self.forward}
        return _distinct(x for op in self.backward for x in _read(op) if x.op.name in names)

    def rematerialized(self):
        """Kept tensors if blocks are recomputed for their gradients: two lists of `tf.Tensor`.

        The first are always kept: inputs of blocks, and tensors outside of blocks. The second are those of
        the largest block, since only one is recomputed at a time.
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


def blocks_in_scopes():
    """Context in which the layers of residual blocks are made and called in scopes of their own."""
    made = array_layers.Layers.made

    def made_in_scope(layers, module):
        if not module.is_block:
            return made(layers, module)
        with tf.name_scope(_BLOCK) as scope:  # where kernels are normalized
            block = made(layers, module)

        def call(*args):
            with tf.name_scope(scope):
                return block(*args)

        return call

    return mock.patch.object(array_layers.Layers, "made", made_in_scope)


def trace(loss, variables, *specs):
    """`Trace` of the function `loss` of tensors like `specs`, and of its gradients by `variables`."""

    def step(*inputs):
        with tf.GradientTape() as tape:
            value = loss(*inputs)
        return value, [x for x in tape.gradient(value, variables) if x is not None]

    with blocks_in_scopes():
        function = tf.function(step, autograph=False).get_concrete_function(*specs)
    value, *gradients = function.outputs
    forward = _operations([value])
    backward = [op for name, op in _operations(gradients).items() if name not in forward]
    return Trace(list(forward.values()), backward)


def training_step(keras_model, image, auxiliary=None):
    """`Trace` of a factor's loss with dropout, for the shapes of its images and auxiliary images."""
    from pixelcnn_aux.factors.inputs import Inputs

    def loss(inputs):
        params = keras_model(inputs, training=True)
        return keras_model.compute_loss(inputs, inputs.images, params)

    weights = [weight.value for weight in keras_model.trainable_variables]
    specs = Inputs(*(shape and tf.TensorSpec(shape, tf.uint8) for shape in (image, auxiliary)))
    return trace(loss, weights, specs)


def flops(operations):
    """FLOPs of convolutions and matrix products alone: int.

    Raises ValueError for an operation that runs a graph of its own, whose FLOPs would be missed.
    """
    return 2 * sum(map(_multiplications, operations))  # each with an addition


def num_bytes(tensors):
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


def _multiplications(op):
    expected = "a graph without calls, loops and branches, whose operations can be counted"
    remedy = "Write that part without them"
    expect(op.type not in _CALLS, expected, f"{op.name} ({op.type})", remedy)
    if op.type == "Conv2D":
        return op.outputs[0].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
    if op.type == "Conv2DBackpropInput":  # a transposed convolution: kernel [h, w, out, in]
        return op.inputs[2].shape.num_elements() * op.inputs[1].shape[:3].num_elements()
    if op.type in ("MatMul", "BatchMatMulV2"):
        return op.outputs[0].shape.num_elements() * op.inputs[0].shape[-1]
    return 0


def _operations(tensors):
    """Operations that compute tensors: dict, name -> `tf.Operation`."""
    operations, left = {}, [tensor.op for tensor in tensors]
    while left:
        op = left.pop()
        if op.name not in operations:
            operations[op.name] = op
            left += [] if op.type in _READ_SHAPES else [tensor.op for tensor in op.inputs]
    return operations


def _read(op):
    """Activations whose values an operation reads, as the tensors that own their memory."""
    read = []
    for tensor in () if op.type in _READ_SHAPES else op.inputs:
        while tensor.op.type in _ALIASES:
            tensor = tensor.op.inputs[tensor.value_index]
        if tensor.op.type not in _NOT_COMPUTED and tensor.dtype != tf.resource:
            read.append(tensor)
    return read


def _distinct(tensors):
    return list({tensor.name: tensor for tensor in tensors}.values())


def define_flags():
    tools.define_preset("grayscale", "demo")
    text = "Images per step, for the same number of images; the preset's if unset."
    flags.DEFINE_integer("batch_size", None, text, lower_bound=1)
    flags.DEFINE_float("efficiency", 0.3, "Share of its peak that hardware reaches.")
    share = "Expected a share of the peak, above 0 and at most 1."
    flags.register_validator("efficiency", lambda efficiency: 0 < efficiency <= 1, share)


if __name__ == "__main__":
    program.start()
