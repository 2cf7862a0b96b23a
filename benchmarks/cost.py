"""The cost of a training run, computed and not measured: python -m evaluate.cost --preset cifar10.

For each factor of a preset, from the graph of its training step: the arithmetic of a step and of all steps,
the memory of a step, and the hours of all steps on named hardware. The share of its peak that hardware
reaches is an assumption (--efficiency). Prints tables; --out writes the same as JSON. The formulas are in
docs/scaling.md.
"""

import math
import pathlib
from typing import NamedTuple

from absl import flags

import pixelcnn_aux as pa
from benchmarks import Later
from pixelcnn_aux.commands import program
from pixelcnn_aux.errors import did_you_mean, expect
from pixelcnn_aux.runs import disk
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS

tf, given = Later("tensorflow"), Later("pixelcnn_aux.inputs")

# FLOP/s of dense products, as published. The last one: 2 cores, each with 2 units that multiply and add 16
# float32 a cycle, at 3.5 GHz.
HARDWARE = {
    "NVIDIA H100 SXM, bf16": 989e12,
    "NVIDIA A100, bf16": 312e12,
    "NVIDIA V100, fp16": 125e12,
    "NVIDIA RTX 4090, bf16": 165e12,
    "2 CPU cores, AVX-512, float32": 2 * 2 * 16 * 2 * 3.5e9,
}
FLOAT = 4  # bytes of a weight, its gradient and its optimizer state, in mixed precision too
ADAM_AND_AVERAGE = 3  # two moments of each weight, and its exponential average

# Operations that run another graph, whose arithmetic is not counted.
_CALLS = (
    "Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile While"
).split()
# Operations that need a tensor's shape and not its values.
_READ_SHAPES = ("OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike")
# Operations whose outputs are their inputs, in the same memory.
_ALIASES = ("ExpandDims", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient")
# Tensors that are no activations: constants, and the weights, which are in memory anyway.
_NOT_COMPUTED = ("Const", "ReadVariableOp")


def find_preset(model, name):
    """A preset of `train MODEL`, by its name. Raises ValueError for an unknown name."""
    known = presets.BY_MODEL[model]
    remedy = did_you_mean(name, known, "Choose one of them, or another --model")
    expect(name in known, f"--preset {', '.join(known)} for --model {model}", name, remedy)
    return known[name]


def main():
    pa.backend.require_tensorflow("counting operations")
    preset = find_preset(FLAGS.model, FLAGS.preset)
    if FLAGS.out:
        disk.check_place("--out", FLAGS.out)
    factors = factors_costs(preset, FLAGS.batch_size, FLAGS.efficiency)
    result = {
        "model": FLAGS.model,
        "preset": FLAGS.preset,
        "efficiency": FLAGS.efficiency,
        "peak_flops_per_second": HARDWARE,
        "factors": factors,
        # They are trained one after another: their memory is not needed at once.
        "total": {
            **{x: sum(f[x] for f in factors.values()) for x in ("parameters", "training_flops")},
            "hours": {x: sum(f["hours"][x] for f in factors.values()) for x in HARDWARE},
        },
    }
    print_tables(result)
    if FLAGS.out:
        disk.write_json(pathlib.Path(FLAGS.out), result)
        print(f"Wrote {FLAGS.out}")


def factors_costs(preset, batch_size, efficiency):
    """The cost of training each factor of a preset: {name: dict of FLOPs, bytes and hours}, as in JSON.

    Args:
      preset: `presets.Preset`.
      batch_size: int, images a step, with as many steps as the same number of images takes; None for the
        preset's.
      efficiency: float, the share of its peak that hardware reaches.

    Raises ValueError for a network whose graph has loops or branches, as `flops`.
    """
    model = preset.constructor(**preset.model)
    auxiliary, costs = None, {}
    for name, (height, width) in model.sizes().items():
        factor, training = model.factors[name], preset.training[name]
        batch, steps = training.batch_size, training.epochs * training.steps_per_epoch
        if batch_size:
            batch, steps = batch_size, math.ceil(steps * batch / batch_size)
        image = (batch, height, width, factor.likelihood.num_channels)
        auxiliary = auxiliary and (batch, *auxiliary[1:])
        factors = {"float32": factor, "bfloat16": model.new_factor(name, "mixed_bfloat16")}
        traces = {x: training_step(f, image, auxiliary) for x, f in factors.items()}
        # The backward pass has two products for each one of the forward pass.
        step_flops = 3 * flops(traces["float32"].forward)
        costs[name] = {
            "parameters": factor.count_params(),
            "batch_size": batch,
            "steps": steps,
            "step_flops": step_flops,
            "rematerialized_step_flops": step_flops + flops(traces["float32"].in_blocks()),
            "training_flops": steps * step_flops,
            "bytes": memory(factor.count_params(), traces),
            "hours": {
                x: steps * step_flops / (efficiency * peak) / 3600 for x, peak in HARDWARE.items()
            },
        }
        auxiliary = image
    return costs


def memory(parameters, traces):
    """Bytes in memory during a step, in parts and in all: {name: int}, of {precision: `Trace`}."""
    size = FLOAT * parameters
    found = {"weights": size, "gradients": size, "Adam and average": ADAM_AND_AVERAGE * size}
    state = sum(found.values())
    kept = {name: step.kept() for name, step in traces.items()}
    kept |= {f"{name}, rematerialized": sum(x.rematerialized(), []) for name, x in traces.items()}
    kept = {name: num_bytes(tensors) for name, tensors in kept.items()}
    found |= {f"activations, {name}": size for name, size in kept.items()}
    return found | {f"in all, {name}": state + size for name, size in kept.items()}


def print_tables(result):
    """A column for each factor, and one for their sums; three digits of each figure."""
    factors, sums = list(result["factors"].values()), result["total"]

    def line(label, cells):
        print(f"{label:36}", *(f"{cell:>14}" for cell in cells))

    def row(label, key, unit):
        line(label, [digits(x[key] / unit) for x in (*factors, sums) if key in x])

    print(f"{result['model']}, preset {result['preset']}: computed, not measured")
    line("", [*result["factors"], "total"])
    line("parameters", [f"{x['parameters']:,}" for x in (*factors, sums)])
    line("images a step", [f"{factor['batch_size']:,}" for factor in factors])
    line("steps", [f"{factor['steps']:,}" for factor in factors])
    row("TFLOP a step", "step_flops", 1e12)
    row("TFLOP a step, rematerialized", "rematerialized_step_flops", 1e12)
    row("EFLOP of all steps", "training_flops", 1e18)
    print("\nGB of a step")
    for name in factors[0]["bytes"]:
        line(name, [digits(factor["bytes"][name] / 1e9) for factor in factors])
    print(f"\nhours of all steps, if {result['efficiency']:g} of the peak is reached")
    for name in HARDWARE:
        line(name, [digits(x["hours"][name]) for x in (*factors, sums)])


def digits(x):
    """A number's first three digits, and all before its point."""
    decimals = 2 - math.floor(math.log10(x)) if x > 0 else 0
    return f"{x:,.{max(0, decimals)}f}"


class Trace(NamedTuple):
    """The operations of a training step: lists of `tf.Operation`, of a graph that is traced and not run.

    All shapes in the graph are static.
    """

    forward: list  # the operations of the loss
    backward: list  # what the gradients need besides
    block_names: frozenset  # of str, of the gated residual blocks that may be rematerialized

    def block(self, op):
        """The scope of the block that an operation belongs to, which differs by call; None for none."""
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

        Each piece of memory counts once. Weights do not count, but the normalized kernels do.
        """
        names = {op.name for op in self.forward}
        return _distinct(x for op in self.backward for x in _read(op) if x.op.name in names)

    def rematerialized(self):
        """The tensors that are kept if each block is evaluated again when its gradients are computed.

        Returns:
          (always, once): lists of `tf.Tensor`. `always` are kept from the forward pass on: the inputs of
          blocks, and what is kept outside of blocks. `once` are of the block that keeps most besides, since
          only one block is evaluated at a time.
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

    def blocks(layer):
        if isinstance(layer, pa.layers.GatedResidualBlock):
            return [layer.name]
        return [name for part in getattr(layer, "parts", list)() for name in blocks(part)]

    weights = [weight.value for weight in factor.trainable_variables]
    return trace(loss, weights, _inputs(image, auxiliary), block_names=blocks(factor))


def forward_flops(factor, image, auxiliary=None):
    """int, the `flops` of a factor's forward pass. Args as for `training_step`."""
    function = tf.function(lambda inputs: factor(inputs, training=False), autograph=False)
    graph = function.get_concrete_function(_inputs(image, auxiliary)).graph
    return flops(graph.get_operations())


def flops(operations):
    """int, the multiplications and additions in convolutions and products of matrices, and in no others.

    Raises ValueError for an operation that runs a graph of its own, whose arithmetic would be missed.
    """
    return 2 * sum(map(_multiplications, operations))  # each of which is added to something


def num_bytes(tensors):
    """The memory of a list of `tf.Tensor`, in bytes: int."""
    return sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors)


def _inputs(image, auxiliary):
    """`Inputs` of `tf.TensorSpec`s of these shapes."""
    return given.Inputs(*(shape and tf.TensorSpec(shape, tf.uint8) for shape in (image, auxiliary)))


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


def define_flags():
    models = list(presets.BY_MODEL)
    flags.DEFINE_enum("model", "grayscale", models, "Whose preset: which training program.")
    flags.DEFINE_string("preset", "demo", "As that program's, or one that a plugin adds to them.")
    batch_size = "Images a step, in as many steps as the same images take; the preset's if unset."
    flags.DEFINE_integer("batch_size", None, batch_size, lower_bound=1)
    flags.DEFINE_float("efficiency", 0.3, "The share of its peak that hardware reaches.")
    share = "Expected a share of the peak, above 0 and at most 1."
    flags.register_validator("efficiency", lambda efficiency: 0 < efficiency <= 1, share)
    flags.DEFINE_string("out", None, "A file for the same as JSON; none if unset.")


if __name__ == "__main__":
    program.start()
