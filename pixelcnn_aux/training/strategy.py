"""On how many devices and hosts a factor is trained, and what each of them does.

TensorFlow's own strategies do the work. A host reads its own rows of each batch, and only the chief writes.
"""

import json
import os
import zlib

from pixelcnn_aux import arguments, backend


def default_strategy():
    """All devices that there are.

    Under TensorFlow, `MultiWorkerMirroredStrategy` where the environment has a `TF_CONFIG`,
    `MirroredStrategy` where the host has several GPUs, and otherwise TensorFlow's default. Of several
    hosts, to be called before anything else that TensorFlow does. None under JAX, which takes one device.

    Raises ValueError under JAX for a `TF_CONFIG` of several hosts: each would train the whole run.
    """
    if backend.NAME != "tensorflow":
        if _num_hosts(os.environ.get("TF_CONFIG") or "{}") > 1:
            raise ValueError(
                "Expected one host, on whose one device JAX trains. Received: a TF_CONFIG of several. "
                "Unset it, or train through TensorFlow (KERAS_BACKEND=tensorflow)."
            )
        return None
    import tensorflow as tf

    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def given_or_default(strategy):
    """A strategy, or `default_strategy()` where it is None. Raises ValueError for anything else."""
    if strategy is None:
        return default_strategy()
    if backend.NAME != "tensorflow":
        raise ValueError(
            "Expected strategy=None under JAX, which trains on one device. Received: "
            f"{arguments.shown(strategy)}. Leave it out."
        )
    import tensorflow as tf

    return arguments.instance("strategy", strategy, tf.distribute.Strategy)


def _num_hosts(config):
    """How many hosts a `TF_CONFIG` names."""
    try:
        cluster = json.loads(config).get("cluster", {})
        return sum(len(cluster.get(kind, ())) for kind in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError):
        raise ValueError(
            'Expected a TF_CONFIG of the form {"cluster": {"worker": ["HOST:PORT", ...]}, "task": ...}. '
            f"Received: {arguments.shown(config)}. Unset it: JAX trains on one host."
        ) from None


class Hosts:
    """The hosts of a strategy: which this one is, and what it does.

    Args:
      strategy: `tf.distribute.Strategy`, or None for one device.

    Attributes:
      strategy: as given.
      num_replicas: int, over all hosts.
      num: int, of the hosts.
      chief: bool, whether this host writes the workdir.
    """

    def __init__(self, strategy):
        self.strategy = strategy
        self.num_replicas = getattr(strategy, "num_replicas_in_sync", 1)
        resolver = getattr(strategy, "cluster_resolver", None)
        spec = resolver.cluster_spec().as_dict() if resolver else {}
        workers = [
            (kind, task) for kind in ("chief", "worker") for task in range(len(spec.get(kind, ())))
        ]
        self.num = max(1, len(workers))
        position = workers.index((resolver.task_type, resolver.task_id)) if len(workers) > 1 else 0
        self.chief = position == 0
        self._position = position

    def rows(self, batch_size):
        """The rows of a batch of all hosts together that this host reads: a slice."""
        size = batch_size // self.num
        return slice(self._position * size, (self._position + 1) * size)

    def check_batch(self, training):
        """Raises ValueError unless all devices take their parts of a `Training`'s batch in full."""
        parts = self.num_replicas * training.accumulate
        if training.batch_size % parts:
            raise ValueError(
                f"Expected a batch_size that is a multiple of {parts}: {self.num_replicas} devices, which "
                f"take their images in {training.accumulate} parts. Received: batch_size="
                f"{training.batch_size}. Choose another --batch_size, a smaller --accumulate, or fewer "
                "devices (CUDA_VISIBLE_DEVICES)."
            )

    def check_agree(self, **here):
        """Raises ValueError on all hosts if they differ in anything, which it names.

        Args:
          **here: what this host has, by names that all of them give: what JSON can hold.
        """
        if self.num == 1:
            return
        checksums = [zlib.crc32(json.dumps(x, sort_keys=True).encode()) for x in here.values()]
        gathered = self._gather(checksums)
        differing = [
            f"{name}={arguments.shown(x)}"
            for (name, x), column in zip(here.items(), gathered.T)
            if (column != column[0]).any()
        ]
        if differing:
            raise ValueError(
                "Expected hosts that train alike, on one workdir. Received: hosts that differ, here with "
                f"{', '.join(differing)}. Start all of them by the same command, with --mixed_precision or "
                "--nomixed_precision where their processors differ, and a --workdir on a disk that all share."
            )

    def from_chief(self, arrays):
        """The chief's, on every host. What hosts compute by themselves may differ by rounding.

        Args:
          arrays: list of arrays of floats, of the same shapes on all hosts.
        """
        if self.num == 1:
            return arrays
        import tensorflow as tf

        def first_only(*arrays):
            context = tf.distribute.get_replica_context()
            is_first = context.replica_id_in_sync_group == 0
            own = [tf.where(is_first, array, tf.zeros_like(array)) for array in arrays]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        found = tf.function(lambda *arrays: self.strategy.run(first_only, arrays))(*arrays)
        return [self.strategy.experimental_local_results(x)[0].numpy() for x in found]

    def _gather(self, numbers):
        """What all replicas give, each as many whole numbers: int64 [num_replicas, N]."""
        import tensorflow as tf

        def gather():
            context = tf.distribute.get_replica_context()
            return context.all_gather(tf.constant([numbers], tf.int64), axis=0)

        found = tf.function(lambda: self.strategy.run(gather))()
        return self.strategy.experimental_local_results(found)[0].numpy()
