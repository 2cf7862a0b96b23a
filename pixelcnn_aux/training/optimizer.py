"""The optimizer: Adam as PixelCNN++ takes it, which also averages the weights."""

import keras
from keras import ops

from pixelcnn_aux import backend
from pixelcnn_aux.serialization import register

BETAS = (0.95, 0.9995)  # Adam's moments, as in PixelCNN++ (Salimans et al., 2017)
MAX_AVERAGE_DECAY = 0.9995  # of the weight average, as in PixelCNN++


@register()
class AveragingAdam(keras.optimizers.Adam):
    """Adam, and an exponential average of the weights in the same compiled step.

    The average's decay after step t is min(0.9995, (1 + t) / (10 + t)), so that a short run's average forgets
    its first weights. It starts from the weights that there are when the optimizer is built.

    Attributes:
      averages: list of Keras variables, the average of each weight, in the order of the weights.
    """

    def __init__(self, learning_rate=1e-3, beta_1=BETAS[0], beta_2=BETAS[1], **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.averages = self.add_optimizer_variables(variables, "average")
        for average, variable in zip(self.averages, variables, strict=True):
            average.assign(ops.convert_to_numpy(variable.value))

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        # Once for all weights: what Keras computes for each, in a dozen small operations.
        step = ops.cast(self.iterations + 1, "float32")
        unbiased = ops.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        kept = ops.minimum(MAX_AVERAGE_DECAY, (1.0 + step) / (10.0 + step))
        rates = ops.stack([ops.cast(learning_rate, "float32") * unbiased, 1.0 - kept])
        super()._backend_update_step(grads, trainable_variables, rates)

    def update_step(self, gradient, variable, rates):
        rate, moved = ops.unstack(ops.cast(rates, variable.dtype), num=2)
        index = self._get_variable_index(variable)
        moments = self._momentums[index], self._velocities[index]
        backend.adam_step(
            variable, *moments, rate, self.beta_1, self.beta_2, self.epsilon, gradient
        )
        average = self.averages[index]
        self.assign_add(average, moved * ops.subtract(variable, average))
