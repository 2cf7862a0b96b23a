"""The optimizer: Adam as PixelCNN++ takes it, which also averages the weights; and its learning rate."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from pixelcnn_aux import backend
from pixelcnn_aux.serialization import register

if backend.NAME == "tensorflow":
    import tensorflow as tf

BETAS = (0.95, 0.9995)  # Adam's moments, as in PixelCNN++ (Salimans et al., 2017)
MAX_AVERAGE_DECAY = 0.9995  # of the weight average, as in PixelCNN++


@register()
class AveragingAdam(keras.optimizers.Adam):
    """Adam, and an exponential average of the weights in the same compiled step.

    The average's decay after step t is min(0.9995, (1 + t) / (10 + t)), so that a short run's average forgets
    its first weights. It starts from the weights that there are when the optimizer is built.

    Attributes:
      averages: list of Keras variables, the average of each weight, in the order of the weights.
      observe: function, called within a step with the gradient of each weight: the sum over all replicas, of
        a loss that is not scaled. None where nobody looks.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta_1: float = BETAS[0],
        beta_2: float = BETAS[1],
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)
        self.observe: Callable[[Any], Any] | None = None

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._add_averages(variables)

    def _add_averages(self, variables):
        self.averages = [
            self.add_variable_from_reference(
                # A copy: under JAX a step gives the memory of both away.
                variable,
                "average",
                lambda *_, weight=variable, **__: ops.copy(weight),
            )
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
        """Computes what is the same for all weights of a step: once, and not for each."""
        step = ops.cast(self.iterations + 1, dtype)
        self._to_weight = 1.0 - ops.minimum(MAX_AVERAGE_DECAY, (1.0 + step) / (10.0 + step))
        if backend.NAME == "tensorflow":
            rates = (self.beta_1, self.beta_2, self.epsilon)
            self._rates = beta_1, beta_2, _ = [tf.constant(rate, dtype) for rate in rates]
            self._powers = beta_1**step, beta_2**step

    def update_step(self, gradient, variable, learning_rate):
        self._see(gradient)
        if backend.NAME == "tensorflow" and not self.amsgrad:
            self._apply_adam(gradient, variable, learning_rate)
        else:
            super().update_step(gradient, variable, learning_rate)
        self._update_average(variable)

    def _see(self, gradient):
        if self.observe is not None:
            self.observe(gradient)

    def _update_average(self, variable):
        average = self.averages[self._get_variable_index(variable)]
        self.assign_add(average, self._to_weight * ops.subtract(variable, average))

    def _apply_adam(self, gradient, variable, learning_rate):
        """What Keras's Adam computes, by one operation of TensorFlow's instead of some twenty."""
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


def learning_rate(training):
    """The schedule of a `Training`: the learning rate of each step."""
    schedules, first = keras.optimizers.schedules, training.learning_rate
    if training.decay is not None:
        return schedules.ExponentialDecay(first, decay_steps=1, decay_rate=training.decay)
    return schedules.PolynomialDecay(first, decay_steps=training.steps, end_learning_rate=0.0)
