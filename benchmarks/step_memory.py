"""Memory and time of a training step, with rematerialized blocks and without.

    python -m benchmarks.step_memory --model pyramid --preset cifar10 --batch_sizes 16,64

Each case is a process of its own, which takes two steps of the preset's last factor, on random images. The
time is the second step's. The memory is the process's peak, less what it held before there was a factor to
train. Beside it stands the memory that `benchmarks.cost` computes: weights, gradients, optimizer and kept
activations.
"""

import dataclasses
import multiprocessing
import time

from absl import flags

from benchmarks import common, cost, timing
from pixelcnn_aux.commands import program

FLAGS = flags.FLAGS

POLICIES = {"float32": None, "bfloat16": "mixed_bfloat16"}


def measure(plugins, model_name, preset_name, batch_size, policy, remat):
    """(bytes, seconds) of a step."""
    for name in plugins:
        program.import_plugin(name)
    preset = cost.find_preset(model_name, preset_name)
    model = preset.constructor(**preset.model)
    before = common.peak_bytes()
    name = list(model.factors)[-1]
    settings = dataclasses.replace(preset.training[name], batch_size=batch_size)
    take = common.training_step(model, name, settings, policy, remat)
    images = common.random_images(batch_size, model.image_size)
    for _ in range(2):
        start = time.perf_counter()
        for metric in take(images):
            float(metric)
        seconds = time.perf_counter() - start
    return common.peak_bytes() - before, seconds


def main():
    spawn = multiprocessing.get_context("spawn")
    print("batch  precision  blocks            GB  computed  s a step", flush=True)
    for batch_size in map(int, FLAGS.batch_sizes):
        [*_, costs] = cost.factors_costs(common.preset(), batch_size, efficiency=1.0).values()
        for precision in FLAGS.precisions:
            for remat in (False, True):
                policy = POLICIES[precision]
                case = (FLAGS.plugin, FLAGS.model, FLAGS.preset, batch_size, policy, remat)
                with spawn.Pool(1) as process:
                    held, seconds = process.apply(measure, case)
                blocks = "rematerialized" if remat else "kept"
                name = f"in all, {precision}" + (", rematerialized" if remat else "")
                print(
                    f"{batch_size:5}  {precision:9}  {blocks:14} {held / 1e9:5.2f} "
                    f"{costs['bytes'][name] / 1e9:9.2f} {seconds:9.2f}",
                    flush=True,
                )


def define_flags():
    common.define_preset("cifar10")
    timing.define_batch_sizes("16")
    flags.DEFINE_list("precisions", list(POLICIES), "float32, bfloat16 or both.")
    flags.register_validator(
        "precisions",
        lambda names: names and set(names) <= set(POLICIES),
        f"Expected names of {', '.join(POLICIES)}.",
    )


if __name__ == "__main__":
    program.start()
