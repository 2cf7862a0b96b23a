"""ModuleLayer: a Keras layer that owns the weights of a module of `networks`, and evaluates it."""

import types
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pixelcnn_aux.base import backend
from pixelcnn_aux.base.arguments import Tensor
from pixelcnn_aux.networks.array_layers import Layers, ShapeRecorder, Weight
from pixelcnn_aux.networks.network import Module

_SIDE = 32  # in place of an unknown one, to build layers


class ModuleLayer(keras.layers.Layer):
    """A `networks.Module` as a Keras layer. It is built by its first call, with random weights.

    Calls take the arguments of the module's `forward`, and
      condition: float [B, D], an encoded condition of each image, or None. A layer that was built without one
        ignores it.
      remat: bool, whether blocks are evaluated again in the backward pass: less memory, and more time.

    Args:
      module: `networks.Module` without layers.
      rounded: bool, whether it computes with whole numbers: see `rounding`.

    Attributes:
      by_path: dict, path within the module -> `keras.Variable`.
      seeds: dict, path of a dropout -> `keras.random.SeedGenerator`.
    """

    def __init__(self, module: Module, rounded: bool = False, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.module, self.rounded = module, rounded
        self.by_path: dict[str, Any] = {}
        self.seeds: dict[str, Any] = {}

    def build_from(
        self,
        recorded: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        keras_layers: Mapping[str, Any],
    ) -> None:
        """Makes the variables of a `ShapeRecorder`, with these values."""
        # Keras would track the variables of layers in a dict.
        self._keras_layers = types.MappingProxyType(keras_layers)
        for path, record in recorded.items():
            name = path.replace("/", ".")
            if isinstance(record, Weight):
                # Weights stay in float32 in mixed precision: a kernel is cast after normalization.
                options: Any = {"initializer": _constant(weights[path]), "autocast": False}
                self.by_path[path] = self.add_weight(record.shape, name=name, **options)
            elif record is not None:
                self.seeds[path] = keras.random.SeedGenerator(name=name)
        self.built = True

    def build(self, *shapes):
        """Does nothing: the first call makes the variables, for which Keras would not tell all shapes."""

    def __call__(self, *args: Any, condition: Tensor = None, **options: Any) -> Any:
        if not self.by_path:
            recorder = ShapeRecorder(self.rounded, None if condition is None else _zeros(condition))
            recorder.made(self.module)(*keras.tree.map_structure(_zeros, args))
            random, recorded = np.random.default_rng(np.random.randint(2**31)), recorder.recorded
            drawn = {x: y.drawn(random) for x, y in recorded.items() if isinstance(y, Weight)}
            self.build_from(recorded, drawn, recorder.keras_layers)
        return super().__call__(*args, condition=condition, **options)

    def call(
        self,
        *args: Any,
        condition: Tensor = None,
        training: bool | None = None,
        remat: bool = False,
    ) -> Any:
        layers = Layers(
            self.by_path,
            self.rounded,
            condition,
            # In the order of the seeds, also where blocks are evaluated again.
            seeds={x: backend.replica_seed(y.next()) for x, y in self.seeds.items() if training},
            remat=remat,
            dtype=None if self.compute_dtype == self.variable_dtype else self.compute_dtype,
            keras_layers=self._keras_layers,
        )
        return layers.made(self.module)(*args)


def _constant(array):
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(array, dtype)


def _zeros(x):
    """An array in place of a tensor, which may be symbolic; None for None."""
    if x is None:
        return None
    return np.zeros([_SIDE if side is None else side for side in x.shape], np.float32)
