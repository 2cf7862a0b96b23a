"""What a training run costs, computed and not measured: python -m evaluate.cost --preset cifar10.

For each factor of a preset, from the graph of its training step: the arithmetic of a step and of all steps,
the memory of a step, and the hours of all steps on named hardware. What share of its peak hardware reaches is
an assumption (--efficiency). Prints tables; --out writes the same as JSON. The formulas are in
docs/scaling.md.
"""

import math
import pathlib

from absl import flags

from evaluate import graphs
from pixelcnn_aux import backend
from pixelcnn_aux.commands import program
from pixelcnn_aux.runs import disk
from pixelcnn_aux.training import presets

FLAGS = flags.FLAGS

# FLOP/s of dense products, as published. The last one: 2 cores, each with 2 units that multiply and add 16
# float32 a cycle, at 3.5 GHz.
HARDWARE = {
    "NVIDIA H100 SXM, bf16": 989e12,
    "NVIDIA A100, bf16": 312e12,
    "NVIDIA V100, fp16": 125e12,
    "NVIDIA RTX 4090, bf16": 165e12,
    "2 CPU cores, AVX-512, float32": 2 * 2 * 16 * 2 * 3.5e9,
}
FLOAT = 4  # bytes of a weight, of its gradient and of all that the optimizer keeps, in mixed precision too
ADAM_AND_AVERAGE = 3  # two moments of each weight, and its exponential average


def main():
    backend.require_tensorflow("counting operations")
    preset = presets.find(FLAGS.model, FLAGS.preset)
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
    """What training each factor of a preset costs: {name: dict of FLOPs, bytes and hours}, as JSON holds it.

    Args:
      preset: `presets.Preset`.
      batch_size: int, images a step, with the steps that the same number of images takes; None for the
        preset's.
      efficiency: float, the share of its peak that hardware reaches.

    Raises ValueError for a network whose graph has loops or branches, as `graphs.flops`.
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
        traces = {x: graphs.training_step(f, image, auxiliary) for x, f in factors.items()}
        # The backward pass has two products for each one of the forward pass.
        step_flops = 3 * graphs.flops(traces["float32"].forward)
        costs[name] = {
            "parameters": factor.count_params(),
            "batch_size": batch,
            "steps": steps,
            "step_flops": step_flops,
            "rematerialized_step_flops": step_flops + graphs.flops(traces["float32"].in_blocks()),
            "training_flops": steps * step_flops,
            "bytes": memory(factor.count_params(), traces),
            "hours": {
                x: steps * step_flops / (efficiency * peak) / 3600 for x, peak in HARDWARE.items()
            },
        }
        auxiliary = image
    return costs


def memory(parameters, traces):
    """Bytes in memory during a step, in parts and in all: {name: int}, of {precision: `graphs.Trace`}."""
    size = FLOAT * parameters
    found = {"weights": size, "gradients": size, "Adam and average": ADAM_AND_AVERAGE * size}
    state = sum(found.values())
    kept = {name: step.kept() for name, step in traces.items()}
    kept |= {f"{name}, rematerialized": sum(x.rematerialized(), []) for name, x in traces.items()}
    kept = {name: graphs.num_bytes(tensors) for name, tensors in kept.items()}
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


def define_flags():
    models = list(presets.BY_MODEL)
    flags.DEFINE_enum("model", "grayscale", models, "Whose preset: which training program.")
    flags.DEFINE_string("preset", "demo", "As that program's, or one that a plugin adds to them.")
    batch_size = "Images a step, in the steps that the same images take; the preset's if unset."
    flags.DEFINE_integer("batch_size", None, batch_size, lower_bound=1)
    flags.DEFINE_float("efficiency", 0.3, "The share of its peak that hardware reaches.")
    share = "Expected a share of the peak, above 0 and at most 1."
    flags.register_validator("efficiency", lambda efficiency: 0 < efficiency <= 1, share)
    flags.DEFINE_string("out", None, "A file for the same as JSON; none if unset.")


if __name__ == "__main__":
    program.start()
