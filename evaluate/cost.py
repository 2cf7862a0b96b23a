"""What a training run costs, computed and not measured: python -m evaluate.cost --preset cifar10.

For each factor of a preset, from the graph of its training step, which is traced and not run: the arithmetic
of a step and of all steps, the memory of a step, and the hours of all steps on named hardware. What share of
its peak hardware reaches is an assumption (--efficiency). Prints tables; --out writes the same as JSON. The
formulas are in docs/scaling.md.
"""

import math
import pathlib

from absl import flags

from evaluate import activations, flops
from pixelcnn_aux import backend
from pixelcnn_aux.programs import program
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
        "total": total(factors.values()),
    }
    print_tables(result)
    if FLAGS.out:
        disk.write_json(pathlib.Path(FLAGS.out), result)
        print(f"Wrote {FLAGS.out}")


def factors_costs(preset, batch_size, efficiency):
    """What training each factor of a preset costs: dict, name -> dict as of `factor_cost`."""
    model = preset.constructor(**preset.model)
    given, costs = None, {}
    for name, (height, width) in model.sizes().items():
        factor = model.factors[name]
        image = (height, width, factor.likelihood.num_channels)
        mixed = model.new_factor(name, "mixed_bfloat16")
        of_steps = schedule(preset.training[name], batch_size)
        costs[name] = factor_cost(factor, mixed, image, given, *of_steps, efficiency)
        given = image
    return costs


def schedule(training, batch_size):
    """(batch size, steps) of a `Training`; of another one than None, as many steps as see as many images."""
    steps = training.epochs * training.steps_per_epoch
    if batch_size is None:
        return training.batch_size, steps
    return batch_size, math.ceil(steps * training.batch_size / batch_size)


def factor_cost(factor, mixed, image, given, batch_size, steps, efficiency):
    """What training a factor costs.

    Args:
      factor: `pixelcnn_aux.factor.Factor`.
      mixed: the same in mixed precision.
      image: (H, W, C) of its images.
      given: (h, w, c) of its auxiliary images; None for an unconditional factor.
      batch_size: int, images a step.
      steps: int.
      efficiency: float, the share of its peak that hardware reaches.

    Returns:
      dict that JSON can hold: FLOPs, bytes and hours.

    Raises:
      ValueError: for a network whose graph has loops or branches, as `flops.products`.
    """
    given = given and (batch_size, *given)
    step, in_mixed = (
        activations.training_step(x, (batch_size, *image), given) for x in (factor, mixed)
    )
    # The backward pass has two products for each one of the forward pass.
    of_step = 3 * flops.products(step.forward)
    seconds = {name: steps * of_step / (efficiency * peak) for name, peak in HARDWARE.items()}
    return {
        "parameters": factor.count_params(),
        "batch_size": batch_size,
        "steps": steps,
        "step_flops": of_step,
        "rematerialized_step_flops": of_step + flops.products(step.of_blocks()),
        "training_flops": steps * of_step,
        "bytes": memory(factor.count_params(), {"float32": step, "bfloat16": in_mixed}),
        "hours": {name: of_all / 3600 for name, of_all in seconds.items()},
    }


def memory(parameters, traces):
    """What is in memory during a step: its parts, and their sums.

    Args:
      parameters: int.
      traces: dict, precision -> `activations.Trace`.

    Returns:
      dict, name -> int, bytes.
    """
    state = {
        "weights": FLOAT * parameters,
        "gradients": FLOAT * parameters,
        "Adam and average": ADAM_AND_AVERAGE * FLOAT * parameters,
    }
    kept = {name: activations.num_bytes(step.kept()) for name, step in traces.items()}
    for name, step in traces.items():
        always, once = step.rematerialized()
        kept[f"{name}, rematerialized"] = activations.num_bytes(always + once)
    return {
        **state,
        **{f"activations, {name}": size for name, size in kept.items()},
        **{f"in all, {name}": sum(state.values()) + size for name, size in kept.items()},
    }


def total(factors):
    """Sums over factors, which are trained one after another: their memory is not needed at once."""
    factors = list(factors)
    return {
        "parameters": sum(factor["parameters"] for factor in factors),
        "training_flops": sum(factor["training_flops"] for factor in factors),
        "hours": {name: sum(factor["hours"][name] for factor in factors) for name in HARDWARE},
    }


def print_tables(result):
    """The result's figures, three digits of each: a column for each factor, and one for their sums."""
    factors, sums = list(result["factors"].values()), result["total"]

    def line(label, cells, last=""):
        print(f"{label:36}", *(f"{cell:>14}" for cell in (*cells, last)))

    def row(label, key, unit):
        cells = [digits(factor[key] / unit) for factor in factors]
        line(label, cells, digits(sums[key] / unit) if key in sums else "")

    print(f"{result['model']}, preset {result['preset']}: computed, not measured")
    line("", result["factors"], "total")
    line("parameters", [f"{f['parameters']:,}" for f in factors], f"{sums['parameters']:,}")
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
        hours = [digits(factor["hours"][name]) for factor in factors]
        line(name, hours, digits(sums["hours"][name]))


def digits(x):
    """A number's first three digits, and all before its point."""
    decimals = 2 - math.floor(math.log10(x)) if x > 0 else 0
    return f"{x:,.{max(0, decimals)}f}"


def define_flags():
    flags.DEFINE_enum(
        "model", "grayscale", list(presets.BY_MODEL), "Whose preset: which training program."
    )
    flags.DEFINE_string("preset", "demo", "As that program's, or one that a plugin adds to them.")
    flags.DEFINE_integer(
        "batch_size",
        None,
        "Images a step, in as many steps as see as many images; the preset's if unset.",
        lower_bound=1,
    )
    flags.DEFINE_float(
        "efficiency", 0.3, "The share of its peak that hardware reaches: an assumption."
    )
    flags.DEFINE_string("out", None, "A file for the same as JSON; none if unset.")
    flags.register_validator(
        "efficiency",
        lambda efficiency: 0 < efficiency <= 1,
        "Expected a share of the peak, above 0 and at most 1.",
    )


if __name__ == "__main__":
    define_flags()
    program.run(main)
