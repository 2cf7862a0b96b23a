"""One compiled training step: on all replicas of a TensorFlow strategy, or by XLA on all devices under JAX.

A step takes full images, uint8 [B, H, W, C], and their condition, [B, ...], if the model has one; it computes
auxiliary images itself. It returns the batch's mean bits per dimension and the norm of its gradient with
respect to all weights: asynchronous device scalars of the weights' dtype. The norm does not depend on the
number of replicas and micro-batches. Where float16 overflows, it is NaN and the weights stay unchanged.
"""

import contextlib

import keras
import numpy as np

from pixelcnn_aux.base import backend
from pixelcnn_aux.training.optimizer import make_optimizer

if backend.NAME == "tensorflow":
    import tensorflow as tf
else:
    import jax


def make(model, factor, training, *, strategy, policy=None, remat=False):
    """Returns the training step of a model's factor from its weights, a `_Step`: a function of a batch."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        keras_model = factor.keras_model(policy)
        optimizer = make_optimizer(keras_model, training)
        if keras_model.dtype_policy.name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(keras_model.trainable_variables)
    step = _TensorFlowStep if backend.NAME == "tensorflow" else _JaxStep
    return step(model, keras_model, optimizer, strategy, training.accumulate, remat)


class _Step:
    def __init__(self, model, keras_model, optimizer, strategy, accumulate, remat):
        self.model, self.keras_model, self.optimizer = model, keras_model, optimizer
        self.dtype = keras_model.variable_dtype
        self.strategy, self.accumulate, self.remat = strategy, accumulate, remat

    def micro_batches(self, batch):
        """Splits each array of a batch: [B, ...] -> [accumulate, B / accumulate, ...]."""
        return tuple(x.reshape((self.accumulate, -1, *x.shape[1:])) for x in batch)


class _TensorFlowStep(_Step):
    def __init__(self, *args):
        super().__init__(*args)
        self.weights = [x.value for x in self.keras_model.trainable_variables]
        with self.strategy.scope():
            self._squares = tf.Variable(tf.zeros([], self.dtype), trainable=False)
        # The optimizer sees gradients summed over replicas, so the norm needs no second reduction.
        getattr(self.optimizer, "inner_optimizer", self.optimizer).observe = lambda gradient: (
            self._squares.assign_add(2.0 * tf.nn.l2_loss(gradient))
        )
        self._all_replicas = tf.function(self._on_all_replicas, autograph=False)

    def __call__(self, *batch):
        parts = self.micro_batches(batch)
        if self.strategy.num_replicas_in_sync > 1:
            replicas = len(self.strategy.extended.worker_devices)  # of this host
            shares = list(zip(*(np.split(x, replicas, axis=1) for x in parts)))
            parts = self.strategy.experimental_distribute_values_from_function(
                lambda context: shares[context.replica_id_in_sync_group % replicas]
            )
        return self._all_replicas(parts)

    def sync(self):
        """Does nothing: steps update the variables themselves."""

    @backend.sums_in_order()
    def _on_all_replicas(self, parts):
        steps = tf.identity(self.optimizer.iterations.value)
        self._squares.assign(0.0)
        losses = self.strategy.run(self._on_a_replica, (parts,))
        # Keras divides a replica's loss by their number.
        loss = self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        is_updated = self.optimizer.iterations.value > steps
        return loss, tf.where(is_updated, tf.sqrt(self._squares), np.nan)

    def _on_a_replica(self, parts):
        """Updates the weights by the mean gradient of the micro-batches; returns their mean loss."""
        if self.accumulate == 1:
            loss, gradients = self._loss_and_gradients([x[0] for x in parts])
        else:

            @backend.sums_in_order()
            def add(index, *sums):
                loss, gradients = self._loss_and_gradients([x[index] for x in parts])
                return index + 1, *(x + y for x, y in zip(sums, (loss, *gradients)))

            zeros = [tf.zeros([], self.dtype), *map(tf.zeros_like, self.weights)]
            _, *sums = tf.while_loop(
                lambda index, *_: index < self.accumulate, add, [0, *zeros], parallel_iterations=1
            )
            loss, *gradients = (x / self.accumulate for x in sums)
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled and self.strategy.num_replicas_in_sync > 1:
            # Keras decides whether float16 overflowed from the first replica's gradients, before the
            # reduction: spread an overflow on any replica to all.
            nan = tf.add_n([tf.reduce_sum(0.0 * gradient) for gradient in gradients])  # or 0
            replica = tf.distribute.get_replica_context()
            gradients[0] += replica.all_reduce(tf.distribute.ReduceOp.SUM, nan)
        if gradients:
            self.optimizer.apply(gradients, self.keras_model.trainable_variables)
        else:  # everything is frozen
            self.optimizer.iterations.assign_add(1)
        return loss

    def _loss_and_gradients(self, batch):
        inputs = self.model.inputs(*batch)[self.keras_model.name]
        with tf.GradientTape() as tape:
            params = self.keras_model(inputs, training=True, remat=self.remat)
            loss = self.keras_model.compute_loss(inputs, inputs.images, params)
            scaled = self.optimizer.scale_loss(loss)
        zeros = tf.UnconnectedGradients.ZERO  # for weights that do not affect the loss
        if tf.executing_eagerly():  # while debugging functions
            return loss, tape.gradient(scaled, self.weights, unconnected_gradients=zeros)
        # A tape would sum a tensor's gradients by one AddN, in any order: `backend.sums_in_order`.
        tree = tf.AggregationMethod.EXPERIMENTAL_TREE
        gradients = tf.gradients(
            scaled, self.weights, unconnected_gradients=zeros, aggregation_method=tree
        )
        # A strategy cannot reduce a tensor without a device.
        return loss, list(map(tf.identity, gradients))


class _JaxStep(_Step):
    def __init__(self, *args):
        super().__init__(*args)
        keras_model, optimizer = self.keras_model, self.optimizer
        weights, buffers = keras_model.trainable_variables, keras_model.non_trainable_variables
        self.variables = (weights, buffers, optimizer.variables)
        self._replicated = self._split = None
        if self.strategy:
            mesh, spec = self.strategy.device_mesh.backend_mesh, jax.sharding.PartitionSpec
            self._replicated = jax.sharding.NamedSharding(mesh, spec())
            # Of micro-batches, [accumulate, B / accumulate, ...].
            self._split = jax.sharding.NamedSharding(mesh, spec(None, *mesh.axis_names))
        # Donates the state's memory to the next state.
        self._step = jax.jit(self._after, donate_argnums=0, out_shardings=self._replicated)
        self._state = None

    def __call__(self, *batch):
        if self._state is None:
            # A tuple with one sharding, as steps return: another structure would recompile.
            state = tuple([x.value for x in group] for group in self.variables)
            self._state = jax.device_put(state, self._replicated) if self.strategy else state
        parts = self.micro_batches(batch)
        if self.strategy:
            distribute = jax.make_array_from_process_local_data
            parts = tuple(distribute(self._split, x) for x in parts)
        self._state, *outcome = self._step(self._state, parts)
        return outcome

    def sync(self):
        if self._state is not None:
            for variables, values in zip(self.variables, self._state):
                for variable, value in zip(variables, values):
                    variable.assign(value)
            self._state = None

    def _after(self, state, parts):
        """(state after a step, mean loss, norm of its gradient)."""
        weights, buffers, optimizer_state = state

        def loss_of(weights, buffers, batch):
            inputs = self.model.inputs(*batch)[self.keras_model.name]
            params, buffers = self.keras_model.stateless_call(
                weights, buffers, inputs, training=True, remat=self.remat
            )
            loss = self.keras_model.compute_loss(inputs, inputs.images, params)
            with keras.StatelessScope(zip(self.optimizer.variables, optimizer_state)):
                return self.optimizer.scale_loss(loss), (loss, buffers)

        loss_and_gradients = jax.value_and_grad(loss_of, has_aux=True)

        def add(carried, batch):
            buffers, loss, gradients = carried
            (_, (part_loss, buffers)), part_gradients = loss_and_gradients(weights, buffers, batch)
            gradients = [x + y for x, y in zip(gradients, part_gradients)]
            return (buffers, loss + part_loss, gradients), None

        start = (buffers, 0.0, [jax.numpy.zeros_like(weight) for weight in weights])
        if self.accumulate == 1:
            (buffers, loss, gradients), _ = add(start, [x[0] for x in parts])
        else:
            (buffers, loss, gradients), _ = jax.lax.scan(add, start, parts)
            loss = loss / self.accumulate
            gradients = [gradient / self.accumulate for gradient in gradients]
        with keras.StatelessScope(zip(self.optimizer.variables, optimizer_state)):
            scale = self.optimizer.scale_loss(1.0)
        norm = jax.numpy.sqrt(sum(jax.numpy.vdot(x, x) for x in gradients)) / scale
        norm = jax.numpy.where(jax.numpy.isfinite(norm), norm, jax.numpy.nan)
        weights, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, gradients, weights
        )
        return (weights, buffers, optimizer_state), loss, norm
