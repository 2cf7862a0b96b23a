"""Optimizers that average the weights: Adam as in PixelCNN++, and Muon for kernels of hidden layers."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from pixelcnn_aux.base import backend
from pixelcnn_aux.base.serialization import register

if backend.NAME == "tensorflow":
    import tensorflow as tf

BETAS = (0.95, 0.9995)  # Adam's moments, as in PixelCNN++ (Salimans et al., 2017)
MAX_AVERAGE_DECAY = 0.9995  # of the weight average, as in PixelCNN++

# Muon's polynomial a x + b x^3 + c x^5, which drives all singular values near 1 (Jordan et al., 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def make_optimizer(keras_model, training):
    """The optimizer for a `KerasFactor`, by its `Training`."""
    rate = learning_rate(training)
    if training.muon_ratio is None:
        return AveragingAdam(rate)
    return AveragingMuon(rate, hidden_kernels(keras_model), training.muon_ratio)


def learning_rate(training):
    """The learning-rate schedule of a `Training`."""
    schedules, first = keras.optimizers.schedules, training.learning_rate
    if training.decay is not None:
        return schedules.ExponentialDecay(first, decay_steps=1, decay_rate=training.decay)
    return Fall(first, training.steps, training.fall or 1.0)


@register()
class Fall(keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate that falls linearly to zero over the last share `fall` of the steps."""

    def __init__(self, rate, steps, fall):
        self.rate, self.steps, self.fall = rate, steps, fall

    def __call__(self, step):
        left = 1.0 - ops.cast(step, "float32") / self.steps
        return self.rate * ops.clip(left / self.fall, 0.0, 1.0)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps, "fall": self.fall}


@register()
class AveragingAdam(keras.optimizers.Adam):
    """Adam with an exponential average of the weights, updated in the same compiled step.

    The average's decay after step t is min(0.9995, (1 + t) / (10 + t)), so that short runs forget the initial
    weights. It starts from the weights at the time the optimizer is built.

    Attributes:
      averages: list of Keras variables, the average of each weight, in the order of the weights.
      observe: function, called within a step with each weight's gradient, summed over replicas and without
        loss scaling.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta_1: float = BETAS[0],
        beta_2: float = BETAS[1],
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)
        self.observe: Callable[[Any], Any] = lambda gradient: None

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._add_averages(variables)

    def _add_averages(self, variables):
        def copied(variable):  # under JAX a step donates the memory of both
            return lambda *_, **__: ops.copy(variable)

        self.averages = [
            self.add_variable_from_reference(variable, "average", copied(variable))
            for variable in variables
        ]

    def _backend_update_step(self, gradients, variables, learning_rate):
        if backend.NAME != "tensorflow":  # which calls `_distributed_tf_update_step`
            self._begin_step(variables[0].dtype)
        super()._backend_update_step(gradients, variables, learning_rate)

    def _distributed_tf_update_step(self, distribution, pairs, learning_rate):
        self._begin_step(pairs[0][1].dtype)
        super()._distributed_tf_update_step(distribution, pairs, learning_rate)

    def _begin_step(self, dtype):
        step = ops.cast(self.iterations + 1, dtype)
        self._to_weight = 1.0 - ops.minimum(MAX_AVERAGE_DECAY, (1.0 + step) / (10.0 + step))
        if backend.NAME == "tensorflow":
            rates = (self.beta_1, self.beta_2, self.epsilon)
            self._rates = beta_1, beta_2, _ = [tf.constant(rate, dtype) for rate in rates]
            self._powers = beta_1**step, beta_2**step

    def update_step(self, gradient, variable, learning_rate):
        self.observe(gradient)
        if backend.NAME == "tensorflow" and not self.amsgrad:
            self._apply_adam(gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)
        self._update_average(variable)

    def _update_average(self, variable):
        average = self.averages[self._get_variable_index(variable)]
        self.assign_add(average, self._to_weight * ops.subtract(variable, average))

    def _apply_adam(self, gradient, variable, learning_rate):
        """Keras's Adam update as one TensorFlow operation instead of some twenty."""
        index = self._get_variable_index(variable)
        beta_1, beta_2, epsilon = self._rates
        beta_1_power, beta_2_power = self._powers
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=ops.cast(gradient, variable.dtype),
        )


@register()
class AveragingMuon(AveragingAdam):
    """Muon (Jordan et al., 2024) for some kernels, and `AveragingAdam` for the other weights.

    A kernel [..., C, C'] is treated as a matrix [... C, C']. Its step is the learning rate times the nearest
    matrix to its momentum with all singular values about 1. Keras's own Muon does not support convolution
    kernels. `kernels` are positions among the weights, as from `hidden_kernels`; `ratio` is their learning
    rate over Adam's; `momentum` is Nesterov's.
    """

    def __init__(self, learning_rate=1e-3, kernels=(), ratio=10.0, momentum=0.9, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.kernels, self.ratio, self.momentum = list(kernels), ratio, momentum

    def get_config(self):
        own = {"kernels": self.kernels, "ratio": self.ratio, "momentum": self.momentum}
        return {**super().get_config(), **own}

    def build(self, variables):
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)  # not Adam's: kernels have no velocity
        kernels = set(self.kernels)
        self._momentums, self._velocities = [], []
        for index, variable in enumerate(variables):
            new = functools.partial(self.add_variable_from_reference, variable)
            self._momentums.append(new("momentum"))
            self._velocities.append(None if index in kernels else new("velocity"))
        self._add_averages(variables)

    def _backend_update_step(self, gradients, variables, learning_rate):
        if backend.NAME == "tensorflow":  # which calls `_distributed_tf_update_step`
            return super()._backend_update_step(gradients, variables, learning_rate)
        groups, rest = self._grouped(zip(gradients, variables))
        super()._backend_update_step(*zip(*rest), learning_rate)  # begins the step
        for group in groups:
            self._update_kernels(*zip(*group), learning_rate)

    def _distributed_tf_update_step(self, distribution, pairs, learning_rate):
        """`_backend_update_step` for gradients summed over the replicas of a strategy."""
        groups, rest = self._grouped(pairs)
        super()._distributed_tf_update_step(distribution, rest, learning_rate)
        for group in groups:
            gradients, variables = zip(*group)
            arguments = (gradients, variables, learning_rate)
            distribution.extended.update(
                variables[0], lambda _, *args: self._update_kernels(*args), arguments, group=False
            )

    def _grouped(self, pairs):
        """Splits (gradient, variable) pairs into lists of kernels of equal shape, and the remaining pairs."""
        kernels, rest = [], []
        for pair in pairs:
            is_kernel = self._get_variable_index(pair[1]) in self.kernels
            (kernels if is_kernel else rest).append(pair)

        def shape(pair):
            return tuple(pair[1].shape)

        kernels.sort(key=shape)
        return [list(group) for _, group in itertools.groupby(kernels, shape)], rest

    def _update_kernels(self, gradients, variables, learning_rate):
        """Batched `update_step` for kernels of one shape: a fraction of the time."""
        momenta = [self._momentums[self._get_variable_index(x)] for x in variables]
        for gradient, momentum in zip(gradients, momenta):
            self.observe(gradient)
            self.assign(momentum, self.momentum * momentum + gradient)
        directions = (self.momentum * m + gradient for gradient, m in zip(gradients, momenta))
        matrices = ops.stack([ops.reshape(x, (-1, x.shape[-1])) for x in directions])
        steps = ops.cast(self.ratio * learning_rate, matrices.dtype) * orthogonalized(matrices)
        for step, variable in zip(ops.unstack(steps), variables):
            self.assign_sub(variable, ops.reshape(step, variable.shape))
            self._update_average(variable)


def orthogonalized(matrices):
    """Approximates U V^T for U S V^T by Newton-Schulz iterations on X X^T: [N, n, m] -> [N, n, m]."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices / (ops.sqrt(ops.sum(ops.square(matrices), axis=(-2, -1), keepdims=True)) + 1e-7)
    transposed = ops.swapaxes(x, -1, -2)
    square = ops.matmul(transposed, x) if is_tall else ops.matmul(x, transposed)
    a, b, c = _COEFFICIENTS
    identity = ops.eye(square.shape[-1], dtype=square.dtype)
    product = identity
    for _ in range(_ITERATIONS):
        factor = a * identity + b * square + c * ops.matmul(square, square)
        product = ops.matmul(factor, product)
        square = ops.matmul(ops.matmul(factor, square), factor)
    return ops.matmul(x, product) if is_tall else ops.matmul(product, x)


def hidden_kernels(keras_model):
    """Positions, among the trainable variables, of the kernels in the streams of the networks."""
    # PART/STREAM/STEP/v or deeper; first and last layers are PART/LAYER/v.
    is_hidden = {
        id(variable): path.endswith("/v") and path.count("/") > 2
        for path, variable in keras_model.by_path.items()
    }
    return [k for k, x in enumerate(keras_model.trainable_variables) if is_hidden[id(x)]]


def named_variables(optimizer, paths):
    """All variables of an optimizer, for weights with these paths: name -> variable.

    Names are optimizer/KIND/PATH, or optimizer/NAME and optimizer/scale/NAME, of the scale of the loss, for
    those that belong to no weight.
    """
    adam = getattr(optimizer, "inner_optimizer", optimizer)
    kinds = {"momentum": adam._momentums, "velocity": adam._velocities, "average": adam.averages}
    named = {
        f"optimizer/{kind}/{path}": x
        for kind, variables in kinds.items()
        for path, x in zip(paths, variables, strict=True)
        if x is not None
    }
    known = {id(x) for x in named.values()}
    inner = {id(x) for x in adam.variables}
    for x in optimizer.variables:
        if id(x) not in known:  # one that scales the loss has variables of the same names
            named[f"optimizer/{'' if id(x) in inner else 'scale/'}{x.name}"] = x
    return named
