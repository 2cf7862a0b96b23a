"""Measures memory and time of a training step, with and without rematerialized blocks.

    python -m benchmarks.step_memory --model pyramid --preset cifar10 --batch_sizes 16,64

Each case runs in its own process, which trains the preset's last factor on random images and times all steps
but the first. Memory is the process's peak, less its peak before the factor to train was made, next to the
memory that `evaluate.cost` computes: weights, gradients, optimizer and kept activations.
"""

import dataclasses
import multiprocessing

from absl import flags

from benchmarks import cost, tools
from pixelcnn_aux.commands import program

FLAGS = flags.FLAGS


def measure(preset, batch_size, mixed, remat, runs):
    # The framework's own memory is not the step's.
    import keras  # noqa: F401

    model = tools.build(preset)
    before = tools.peak_bytes()
    [*_, name] = model.factors
    changes = {"batch_size": batch_size, "mixed_precision": mixed}
    training = dataclasses.replace(preset.training[name], **changes)
    step = {"step": tools.training_step(model, name, training, remat)}
    seconds = tools.medians_in_turn(step, runs)["step"]
    return tools.peak_bytes() - before, seconds


def main():
    preset = tools.chosen_preset()
    columns = {"batch": "5", "precision": "<9", "blocks": "<14", "GB": "6.2f", "computed": "8.2f"}
    table = tools.Table({**columns, "s a step": "8.2f"})
    spawn = multiprocessing.get_context("spawn")
    for batch_size in map(int, FLAGS.batch_sizes):
        [*_, costs] = cost.factors_costs(preset, batch_size, efficiency=1.0).values()
        for precision in ("float32", "bfloat16"):
            for blocks in ("kept", "rematerialized"):
                case = batch_size, precision == "bfloat16", blocks == "rematerialized"
                with spawn.Pool(1) as process:
                    held, seconds = process.apply(measure, (preset, *case, FLAGS.runs))
                key = f"in all, {precision}" + f", {blocks}" * (blocks != "kept")
                row = held / 1e9, costs["bytes"][key] / 1e9, seconds
                table.add(batch_size, precision, blocks, *row)


def define_flags():
    tools.define_preset("pyramid", "cifar10")
    tools.define_timing("16", runs=1)


if __name__ == "__main__":
    program.start()
