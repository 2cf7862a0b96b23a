"""Muon for the kernels of hidden layers, beside Adam for all other weights."""

import itertools

import keras
from keras import ops

from pixelcnn_aux import backend, layers
from pixelcnn_aux.serialization import register
from pixelcnn_aux.training.optimizer import AveragingAdam

# Of the polynomial a x + b x^3 + c x^5 that brings all singular values near 1 (Jordan et al., 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


@register()
class AveragingMuon(AveragingAdam):
    """Muon (Jordan et al., 2024) for some kernels, and `AveragingAdam` for the other weights.

    A kernel [..., C, C'] is a matrix [... C, C']. It moves by the rate times the matrix closest to its
    momentum whose singular values are all about 1: in all directions by as much. Keras's own Muon takes
    no kernels of convolutions.

    Args:
      learning_rate: float or schedule, of Adam.
      kernels: list of int, the places of the kernels among the weights, as from `hidden_kernels`.
      ratio: float, the rate of the kernels over Adam's.
      momentum: float, of the kernels, with Nesterov's step ahead.
      **kwargs: others of `AveragingAdam`.
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
            self._momentums.append(self.add_variable_from_reference(variable, "momentum"))
            velocity = None
            if index not in kernels:
                velocity = self.add_variable_from_reference(variable, "velocity")
            self._velocities.append(velocity)
        self._add_averages(variables)

    def _backend_update_step(self, gradients, variables, learning_rate):
        if backend.NAME == "tensorflow":  # which calls `_distributed_tf_update_step`
            return super()._backend_update_step(gradients, variables, learning_rate)
        groups, others = self._grouped(zip(gradients, variables))
        super()._backend_update_step(*zip(*others), learning_rate)  # begins the step
        for group in groups:
            self._update_alike(*zip(*group), learning_rate)

    def _distributed_tf_update_step(self, distribution, pairs, learning_rate):
        """As `_backend_update_step`, of gradients that are summed over the replicas of a strategy."""
        groups, others = self._grouped(pairs)
        super()._distributed_tf_update_step(distribution, others, learning_rate)
        for group in groups:
            gradients, variables = zip(*group)
            distribution.extended.update(
                variables[0],
                lambda _, *args: self._update_alike(*args),
                args=(gradients, variables, learning_rate),
                group=False,
            )

    def _grouped(self, pairs):
        """Pairs (gradient, variable): lists of those of kernels of one shape, and a list of the others."""
        kernels, others = [], []
        for pair in pairs:
            is_kernel = self._get_variable_index(pair[1]) in self.kernels
            (kernels if is_kernel else others).append(pair)

        def shape(pair):
            return tuple(pair[1].shape)

        kernels.sort(key=shape)
        return [list(group) for _, group in itertools.groupby(kernels, shape)], others

    def _update_alike(self, gradients, variables, learning_rate):
        """`update_step` of kernels of one shape at once, which takes a fraction of the time."""
        momenta = [self._momentums[self._get_variable_index(x)] for x in variables]
        for gradient, momentum in zip(gradients, momenta):
            self._see(gradient)
            self.assign(momentum, self.momentum * momentum + gradient)
        matrices = ops.stack(
            [
                ops.reshape(self.momentum * momentum + gradient, (-1, gradient.shape[-1]))
                for gradient, momentum in zip(gradients, momenta)
            ]
        )
        steps = ops.cast(self.ratio * learning_rate, matrices.dtype) * orthogonalized(matrices)
        for step, variable in zip(ops.unstack(steps), variables):
            self.assign_sub(variable, ops.reshape(step, variable.shape))
            self._update_average(variable)


def orthogonalized(matrices):
    """U V^T of matrices U S V^T, about, by Newton-Schulz iterations: float [N, n, m] -> float [N, n, m].

    An iteration multiplies X by a polynomial of X X^T (or X^T X, the smaller one), which changes that product
    in a way that needs no X. So iterations are of small matrices, and X is multiplied once, at the end.
    """
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


def hidden_kernels(factor):
    """The places, among a factor's trainable variables, of the kernels of hidden layers: list of int.

    First and last layers are parts of the networks themselves, and hidden ones parts of those parts.
    """
    parts = [part for network in factor.parts() for part in network.parts()]
    hidden = [
        layer
        for part in parts
        if not isinstance(part, layers.WeightNorm)
        for layer in layers.normalized_layers(part)
    ]
    places = {id(variable): k for k, variable in enumerate(factor.trainable_variables)}
    return [places[id(layer.v)] for layer in hidden]
