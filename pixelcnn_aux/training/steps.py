"""One training step, compiled whole: on all replicas of a TensorFlow strategy, or by XLA under JAX.

A step takes full images, uint8 [B, H, W, C], and their condition, [B, ...], if the model has one; auxiliary
images are computed inside it. It returns the batch's mean bits per dimension and the norm of their gradient
with respect to all weights: scalars of the weights' dtype on the device, which are not waited for. The norm
does not depend on the number of replicas and micro-batches. It is NaN where float16 overflowed, and the
weights are unchanged then.
"""

import contextlib

import keras
import numpy as np

from pixelcnn_aux import layers
from pixelcnn_aux.base import backend
from pixelcnn_aux.training.optimizer import make_optimizer

if backend.NAME == "tensorflow":
    import tensorflow as tf
else:
    import jax


def make(model, name, weights, training, *, strategy, policy=None, remat=False):
    """The training step from a list of weights on, a function of a batch: `_Step` has what it changes."""
    with strategy.scope() if strategy else contextlib.nullcontext():
        factor = model.new_factor(name, policy)
        factor.set_weights(weights)
        optimizer = make_optimizer(factor, training)
        if factor.dtype_policy.name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(factor.trainable_variables)
    kind = _TensorFlowStep if backend.NAME == "tensorflow" else _JaxStep
    return kind(model, factor, optimizer, strategy, training.accumulate, remat)


class _Step:
    def __init__(self, model, factor, optimizer, strategy, accumulate, remat):
        self.model, self.factor, self.optimizer = model, factor, optimizer
        self.strategy, self.accumulate, self.remat = strategy, accumulate, remat

    def micro_batches(self, batch):
        """Each array of a batch: [B, ...] -> [accumulate, B / accumulate, ...]."""
        return tuple(x.reshape((self.accumulate, -1, *x.shape[1:])) for x in batch)


class _TensorFlowStep(_Step):
    def __init__(self, *args):
        super().__init__(*args)
        self.weights = [weight.value for weight in self.factor.trainable_variables]
        with self.strategy.scope():
            self._squares = tf.Variable(tf.zeros([], self.factor.variable_dtype), trainable=False)
        # The optimizer sees gradients summed over the replicas: the norm needs no second sum.
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
        """The variables are those of the last step already."""

    @backend.sums_in_order()
    def _on_all_replicas(self, parts):
        steps = tf.identity(self.optimizer.iterations.value)
        self._squares.assign(0.0)
        losses = self.strategy.run(self._on_a_replica, (parts,))
        # Keras divides a replica's loss by their number.
        loss = self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        taken = self.optimizer.iterations.value > steps
        return loss, tf.where(taken, tf.sqrt(self._squares), np.nan)

    def _on_a_replica(self, parts):
        """The gradient of each micro-batch, their mean, and the update of the weights: the mean loss."""
        if self.accumulate == 1:
            loss, gradients = self._loss_and_gradients([x[0] for x in parts])
        else:

            @backend.sums_in_order()
            def add(index, *sums):
                loss, gradients = self._loss_and_gradients([x[index] for x in parts])
                return index + 1, *(x + y for x, y in zip(sums, (loss, *gradients)))

            zeros = [tf.zeros([], self.factor.variable_dtype), *map(tf.zeros_like, self.weights)]
            _, *sums = tf.while_loop(
                lambda index, *_: index < self.accumulate, add, [0, *zeros], parallel_iterations=1
            )
            loss, *gradients = (x / self.accumulate for x in sums)
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if scaled and self.strategy.num_replicas_in_sync > 1:
            # Keras skips a step that overflowed in float16 by the first replica's gradients, before they are
            # summed: an overflow on any replica becomes one on all.
            here = tf.add_n([tf.reduce_sum(0.0 * gradient) for gradient in gradients])  # 0 or NaN
            replica = tf.distribute.get_replica_context()
            gradients[0] += replica.all_reduce(tf.distribute.ReduceOp.SUM, here)
        self.optimizer.apply(gradients, self.factor.trainable_variables)
        return loss

    def _loss_and_gradients(self, batch):
        inputs = self.model.inputs(*batch)[self.factor.name]
        with tf.GradientTape() as tape, layers.context(remat=self.remat):
            params = self.factor(inputs, training=True)
            loss = self.factor.compute_loss(inputs, inputs.images, params)
            scaled = self.optimizer.scale_loss(loss)
        zeros = tf.UnconnectedGradients.ZERO  # for weights that the loss does not depend on
        if tf.executing_eagerly():  # where functions are debugged
            return loss, tape.gradient(scaled, self.weights, unconnected_gradients=zeros)
        # A tape sums all gradients of a tensor by one AddN, in any order: `backend.sums_in_order`.
        tree = tf.AggregationMethod.EXPERIMENTAL_TREE
        how = {"aggregation_method": tree, "unconnected_gradients": zeros}
        gradients = tf.gradients(scaled, self.weights, **how)
        # A strategy does not know where to reduce a tensor without a device.
        return loss, list(map(tf.identity, gradients))


class _JaxStep(_Step):
    def __init__(self, *args):
        super().__init__(*args)
        weights, others = self.factor.trainable_variables, self.factor.non_trainable_variables
        self.variables = (weights, others, self.optimizer.variables)
        # The state's memory is used again for the next one.
        self._step = jax.jit(self._after, donate_argnums=0)
        self._state = None

    def __call__(self, *batch):
        if self._state is None:
            # A tuple, as a step returns it: another structure would be compiled anew.
            self._state = tuple([x.value for x in group] for group in self.variables)
        self._state, *outcome = self._step(self._state, self.micro_batches(batch))
        return outcome

    def sync(self):
        if self._state is not None:
            for variables, values in zip(self.variables, self._state):
                for variable, value in zip(variables, values):
                    variable.assign(value)
            self._state = None

    def _after(self, state, parts):
        """The state after a step, the mean loss and the norm of its gradient."""
        weights, others, optimizer_state = state

        def loss_of(weights, others, batch):
            inputs = self.model.inputs(*batch)[self.factor.name]
            with layers.context(remat=self.remat):
                params, others = self.factor.stateless_call(weights, others, inputs, training=True)
            loss = self.factor.compute_loss(inputs, inputs.images, params)
            with keras.StatelessScope(zip(self.optimizer.variables, optimizer_state)):
                return self.optimizer.scale_loss(loss), (loss, others)

        differentiated = jax.value_and_grad(loss_of, has_aux=True)

        def add(carried, batch):
            others, loss, gradients = carried
            (_, (more, others)), part_gradients = differentiated(weights, others, batch)
            gradients = [x + y for x, y in zip(gradients, part_gradients)]
            return (others, loss + more, gradients), None

        start = (others, 0.0, [jax.numpy.zeros_like(weight) for weight in weights])
        if self.accumulate == 1:
            (others, loss, gradients), _ = add(start, [x[0] for x in parts])
        else:
            (others, loss, gradients), _ = jax.lax.scan(add, start, parts)
            loss = loss / self.accumulate
            gradients = [gradient / self.accumulate for gradient in gradients]
        with keras.StatelessScope(zip(self.optimizer.variables, optimizer_state)):
            scale = self.optimizer.scale_loss(1.0)
        norm = jax.numpy.sqrt(sum(jax.numpy.vdot(x, x) for x in gradients)) / scale
        norm = jax.numpy.where(jax.numpy.isfinite(norm), norm, jax.numpy.nan)
        weights, optimizer_state = self.optimizer.stateless_apply(
            optimizer_state, gradients, weights
        )
        return (weights, others, optimizer_state), loss, norm
