"""Keras's callbacks, which `RunConfig.call` calls as a factor is trained: how they begin and may end it."""

from collections.abc import Sequence

import keras
import numpy as np

from pixelcnn_aux import arguments


def checked(callbacks):
    """A sequence of `keras.callbacks.Callback`, or None, as a tuple. Raises ValueError for others."""
    callbacks = arguments.instance("callbacks", callbacks, Sequence, optional=True) or ()
    return tuple(arguments.instance("a callback", x, keras.callbacks.Callback) for x in callbacks)


def begin(state):
    """Tells the callbacks of a `TrainingState`'s factor."""
    config, training = state.config, state.training
    # What they ask for and set, as Keras's own `fit` has it.
    state.factor.optimizer, state.factor.stop_training = state.optimizer, False
    config.call("set_params", {"epochs": training.epochs, "steps": training.steps_per_epoch})
    config.call("set_model", state.factor)
    config.call("on_train_begin")


def have_stopped(state):
    """Whether a callback has set `stop_training` of its model: on all hosts what the chief says."""
    if not state.config.callbacks:
        return False
    (stops,) = state.config.hosts.from_chief([np.float32(state.factor.stop_training)])
    if stops:
        state.config.say(f"{state.name}: stopped by a callback after step {state.step:,}")
    return bool(stops)
