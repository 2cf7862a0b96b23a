"""Shards of programs, computed by --jobs processes of this machine or the workers of --scheduler."""

import contextlib
import functools
import importlib.util
import json
import math
import pathlib

import numpy as np
from absl import flags, logging

from pixelcnn_aux import jobs
from pixelcnn_aux.base import disk, machine, threads
from pixelcnn_aux.base.errors import needs
from pixelcnn_aux.commands import chosen_run, process
from pixelcnn_aux.run_files import hub, trained

FLAGS = flags.FLAGS

_SHARD = 128, 2**17  # images and pixels, at most, so that few images also keep several cores busy


def define_flags(shards=True):
    """Defines --jobs, --scheduler and, unless the output itself is a folder of shards, --shards."""
    number = "Processes on this machine; if unset, one per core, or 1 beside an accelerator."
    flags.DEFINE_integer("jobs", None, number, lower_bound=1)
    scheduler = "The address of a Dask scheduler, such as tcp://host:8786, whose workers compute."
    flags.DEFINE_string("scheduler", None, scheduler)
    if shards:
        folder = "A folder for results of shards, with which the same command continues."
        flags.DEFINE_string("shards", None, folder)


def at_once(size):
    """The number of images of (H, W) in a shard."""
    images, pixels = _SHARD
    return max(1, min(images, pixels // math.prod(size)))


def as_written(items, result):
    """Whether the files are there that a shard wrote, [path, checksum, ...]; removes those that changed."""
    changed = [path for path, checksum, *_ in json.loads(result) if disk.checksum(path) != checksum]
    for path in changed:
        print(f"Writing {path} again, which is missing or has changed", flush=True)
        pathlib.Path(path).unlink(missing_ok=True)
    return not changed


def condition(model):
    """The condition of an image of the class --label as JSON; None for an unconditional model."""
    conditions = chosen_run.label_condition(model, 1)
    return None if conditions is None else np.asarray(conditions)[0].tolist()


def repeated(condition, count):
    """The `condition` of `count` images."""
    return None if condition is None else [condition] * count


def run_images(function, indices, model, images, **kwargs):
    """`run` for the images at `indices` of `data.Images`."""
    size = at_once(images.pixels[0].shape[:2])
    return run(function, indices, model, size=size, unit="image", **kwargs)


def run(function, items, model, *, size, folder=None, best=False, **kwargs):
    """`jobs.run` with a loaded model, as the flags say; prints where it computes."""
    run = functools.partial(jobs.run, function, items, size=size, **kwargs)
    if folder := folder or ("shards" in FLAGS and FLAGS.shards):
        run.keywords["folder"] = folder
    if FLAGS.scheduler:
        with needs("dask.distributed", "Run pip install 'pixelcnn_aux[cluster]'"):
            from dask.distributed import Client
        with contextlib.closing(Client(FLAGS.scheduler)) as client:
            workers = len(client.scheduler_info(n_workers=-1)["workers"])
            print(f"Computing on {workers} workers of {FLAGS.scheduler}, in NumPy", flush=True)
            return run(_source(model, best), executor=client.get_executor())
    if machine.has_accelerator() and importlib.util.find_spec("keras") and not FLAGS.jobs:
        print("Computing on the accelerator, by graphs", flush=True)
        return run(model.computing("graph"))
    number = max(1, min(FLAGS.jobs or threads.cores, -(-len(items) // size)))
    print(f"Computing in {number} process{'es' * (number > 1)}, in NumPy", flush=True)
    if number == 1:
        return run(model.computing("numpy"))
    with jobs.Processes(number, _quiet) as executor:
        return run(_source(model, best), executor=executor)


def _source(model, best):
    exact = FLAGS.exact if "exact" in FLAGS else None
    return jobs.Source(_where(model.loaded_from), best, exact, plugins=tuple(FLAGS.plugin))


def _where(loaded_from):
    """The path of a run; for trained models, whose paths differ between machines, the name."""
    if hub.is_name(loaded_from):
        return loaded_from
    folder = trained.find(loaded_from).absolute()
    return folder.name if folder.parent == trained.FOLDER else str(folder)


def _quiet():
    process.silence(logging.get_absl_handler())
