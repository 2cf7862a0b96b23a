"""On how many devices and hosts a factor is trained, and what each of them does.

TensorFlow's own strategies do the work. A host reads its own rows of each batch, and only the chief writes.
"""

import os

from pixelcnn_aux import backend


def default_strategy():
    """All devices that there are.

    Under TensorFlow, `MultiWorkerMirroredStrategy` where the environment has a `TF_CONFIG` with workers,
    `MirroredStrategy` where the host has several GPUs, and otherwise TensorFlow's default. Of several
    hosts, to be called before anything else that TensorFlow does. None under JAX, which takes one device.
    """
    if backend.NAME != "tensorflow":
        return None
    import tensorflow as tf

    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class Hosts:
    """The hosts of a strategy: which this one is, and what it does.

    Args:
      strategy: `tf.distribute.Strategy`, or None for one device.

    Attributes:
      num_replicas: int, over all hosts.
      num: int, of the hosts.
      chief: bool, whether this host writes the workdir.
    """

    def __init__(self, strategy):
        self._strategy = strategy
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

    def check_agree(self, step):
        """Raises ValueError on all hosts if they have not all done as many steps."""
        if self.num == 1:
            return
        import tensorflow as tf

        def total():
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(step))

        found = tf.function(lambda: self._strategy.run(total))()
        if int(self._strategy.experimental_local_results(found)[0]) != step * self.num_replicas:
            raise ValueError(
                "Expected hosts that see one workdir. Received: different checkpoints, here of step "
                f"{step:,}. Give a --workdir on a disk that all of them share."
            )
