"""Computes shards of many items on the cores of a machine or on a cluster (docs/jobs.md).

def measure(model, items):                           # in a module that workers can import
    return {"bits": model.bits_per_dim(read(items))["total"]}

results = pa.jobs.run(measure, range(1_000_000), "cifar10-pyramid", folder="runs/measured", jobs=8)
"""

from pixelcnn_aux.jobs.model_source import Source as Source
from pixelcnn_aux.jobs.shards import Results as Results, ShardError as ShardError, run as run
from pixelcnn_aux.jobs.workers import Processes as Processes
