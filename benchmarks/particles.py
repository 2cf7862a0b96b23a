"""Measures how far particle completions are from the exact conditional distribution, on tiny random models.

    python -m benchmarks.particles

Prints the total variation distance between the probabilities of all completions, by `model.log_prob`, and the
frequencies of `--draws` completions, or of as many independent draws.
"""

import numpy as np
from absl import flags

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux.commands import program

FLAGS = flags.FLAGS
NAMES = ("plain", "pyramid", "classes")
PARTICLES = (1, 16, 256)
SIZE, BITS = (2, 4), 2
HOLE = (slice(None), [0, 0, 1], [1, 2, 0])  # three pixels, before and among known ones


def tiny(name):
    flat, half = pa.networks.topology.flat(1), pa.networks.topology.super_resolution(1, 1)
    transforms = [pa.auxiliary.HalfResolution()] if name == "pyramid" else []
    embedding = [None, {"topology": half, "filters": 6}][: len(transforms) + 1]
    condition = pa.conditions.Classes(3) if name == "classes" else None
    options = {"embedding": embedding, "num_components": 3, "channels": 1, "bits": BITS}
    network = {"topology": flat, "filters": 6}
    model = pa.chain(transforms, SIZE, network, condition=condition, **options)
    random = np.random.default_rng(2)
    for factor in model.factors.values():
        weights = {
            # Lengths of kernels for strong dependencies.
            path: random.uniform(1.5, 2.0, x.shape)
            if path.endswith("/g")
            else random.normal(size=x.shape)
            for path, x in factor.shapes.items()
        }
        model = model.with_factor(factor.with_weights(weights))
    return model, condition and 2


def completions(model, condition):
    """All completions of an image, uint8 [N, H, W, 1], and their probabilities given the known pixels."""
    values = 2**BITS
    images = np.random.default_rng(0).integers(values, size=(1, *SIZE, 1)).astype(np.uint8)
    images = np.repeat(images, values**3, axis=0)
    images[HOLE] = np.indices([values] * 3).reshape(3, -1, 1).swapaxes(0, 1)
    conditions = None if condition is None else np.full(len(images), condition)
    nats = np.asarray(model.log_prob(images, conditions), np.float64)
    probs = np.exp(nats - nats.max())
    return images, probs / probs.sum()


def shares(model, condition, images, draws, particles):
    """Frequencies of all possible completions among so many draws: float [N]."""
    seeds = np.stack([np.full(draws, 7), np.arange(draws)], axis=1).astype(np.int32)
    known = np.repeat(images[:1], draws, axis=0)
    mask = np.ones_like(known)
    mask[HOLE] = 0
    conditions = None if condition is None else np.full(draws, condition)
    options = {"known": known, "mask": mask, "condition": conditions, "particles": particles}
    [*_, drawn] = model.sample(seeds, **options).values()
    values = drawn[HOLE][..., 0].astype(int)
    index = np.ravel_multi_index(values.T, [2**BITS] * 3)
    return np.bincount(index, minlength=len(images)) / draws


def variation(shares, probs):
    return np.abs(shares - probs).sum() / 2


def main():
    columns = {f"by {count}": "8.4f" for count in PARTICLES}
    table = tools.Table({"": "<9", **columns, "independent": "12.4f"})
    for name in NAMES:
        model, condition = tiny(name)
        images, probs = completions(model, condition)
        drawn = [shares(model, condition, images, FLAGS.draws, x) for x in PARTICLES]
        drawn.append(np.random.default_rng(0).multinomial(FLAGS.draws, probs) / FLAGS.draws)
        table.add(name, *(variation(x, probs) for x in drawn))


def define_flags():
    flags.DEFINE_integer("draws", 20_000, "Completions per number of particles.", lower_bound=1)


if __name__ == "__main__":
    program.start()
