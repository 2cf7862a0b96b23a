"""Which weights of an earlier run, or of a model that came with the package, training may start from."""

import json
import os

import numpy as np

from pixelcnn_aux import arguments, layers, serialization
from pixelcnn_aux.runs import disk, hub, tensors, trained
from pixelcnn_aux.runs.loading import load


def source(init, model, folder, names):
    """The run that first weights are from, a str: `init`, or the one that a model was loaded from; or None.

    Of a model that was loaded from the `RunFolder` that it is trained in, it is what its factors began with.
    """
    if init is not None:
        return init if hub.is_name(init) else str(arguments.path("init", init))
    if model.loaded_from is None:
        return None
    run, own = (os.path.realpath(path) for path in (trained.find(model.loaded_from), folder.path))
    if run != own:
        return model.loaded_from
    recorded = filter(None, (folder[name].recorded_training() for name in names))
    return next((settings["init"] for settings in recorded), None)


def fitting(init, model, names, new, as_loaded=False):
    """The weights that factors start from: those of the same shapes under the same name, that mean the same.

    A factor may start from one of another condition, or one of the two may have none: what its own needs is
    zero, so that it is the distribution of images of no class at first. Factors that differ otherwise start
    from new ones: under a likelihood that is centered, for example, the same numbers mean something else. A
    line tells of each factor.

    Returns a dict, name -> list of arrays, for those of the `new` names, of factors without checkpoints, that
    fit `init`, a run. Raises as `load`, and ValueError if all `names` that are trained are new and none fits.
    With `as_loaded`, the model was loaded from that run: ValueError if it has other weights by now.
    """
    run, found = load(init), {}
    for name in new:
        if why := _why_not(model, run, name):
            print(f"{name}: new first weights, since {init} has {why}", flush=True)
        else:
            found[name] = _weights(model.factors[name], run.factors[name])
            is_own = as_loaded and name not in model.untrained
            if is_own and not _are_same(found[name], model.factors[name].get_weights()):
                raise ValueError(
                    f"Expected factor {name!r} with the weights of the run that it was loaded from, {init}. "
                    "Received: others, as load(best=True), fit, set_weights and training leave them. Load "
                    "the model anew, or give init, a run that has the weights to start from."
                )
            print(f"{name}: first weights from {init}", flush=True)
    if new == names and not found and not as_loaded:
        trained = [name for name in run.factors if name not in run.untrained]
        raise ValueError(
            f"Expected a run to start from with weights that fit one of the factors {', '.join(names)}. "
            f"Received: {init}, with {', '.join(trained) or 'none'}, of other names, shapes or meaning. "
            "Choose another --init, or a preset of the same networks."
        )
    return found


def _weights(factor, earlier):
    """The weights of an earlier factor, as a factor has them; zeros for what its own condition needs."""
    theirs = _shared(earlier, factor)
    return [
        np.asarray(theirs[name].value) if name in theirs else np.zeros(weight.shape, weight.dtype)
        for name, weight in tensors.named_weights(factor).items()
    ]


def _shared(factor, other):
    """dict, name -> weight of a factor, but for what its condition needs if another has not the same one."""
    found = tensors.named_weights(factor)
    if _condition(factor) == _condition(other):
        return found
    own = [id(layer.h) for layer in layers.normalized_layers(factor)]
    return {name: weight for name, weight in found.items() if id(weight) not in own}


def _condition(factor):
    return serialization.serialize(factor.condition)


def _shapes(weights):
    return [tuple(weight.shape) for weight in weights.values()]


def _are_same(weights, others):
    return all(map(np.array_equal, weights, others))


def _why_not(model, run, name):
    """What a run has instead of weights that fit a factor of this name; "" if it has them."""
    if name not in run.factors or name in run.untrained:
        return "no weights of that name"
    own, theirs = model.factors[name], run.factors[name]
    if _shapes(_shared(own, theirs)) != _shapes(_shared(theirs, own)):
        return "other shapes"
    return disk.differences(_meaning(model, name), _meaning(run, name), most=3)


def _meaning(model, name):
    """What says how the weights of a factor are used, with the transform that gives its auxiliary image.

    Its condition is left out: a factor may start from one of another.
    """
    transform = dict(zip(reversed(model.factors), model.transforms)).get(name)
    described = json.loads(json.dumps(serialization.serialize(transform)))
    found = {**tensors.meaning(model.factors[name]), "transform": described}
    found.pop("condition", None)
    return found
