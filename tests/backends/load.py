"""Checks that loading a model under JAX compiles next to nothing, and does not import TensorFlow.

KERAS_BACKEND=jax python -m tests.backends.load
"""

import sys

import jax
from jax import monitoring

import pixelcnn_aux as pa


class Refusing:
    """Finds no TensorFlow, and says so in an error that nothing takes for a package that is missing."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        assert name != "tensorflow", "somebody imports TensorFlow"


if __name__ == "__main__":
    sys.meta_path.insert(0, Refusing)
    compiled = []
    monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    jax.jit(lambda x: x + 1)(1)  # one that is counted
    model = pa.load("cifar10-pyramid")
    assert "keras" not in sys.modules
    for factor in model.factors.values():
        factor.keras_model()
    shapes = {
        weight.shape for factor in model.factors.values() for weight in factor.weights.values()
    }
    print(f"loading compiled {len(compiled) - 1} operations for weights of {len(shapes)} shapes")
    assert 1 <= len(compiled) <= 1 + len(shapes)  # copies to the device
