"""The weights that training starts from: those of an earlier run, or of a trained model, where they fit."""

import json
import os

import numpy as np

from pixelcnn_aux import layers
from pixelcnn_aux.base import arguments, disk, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs import hub, tensors, trained
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.training import presets


def source(init, model, folder, names):
    """The run to start from: `init`, or the model's own, or that which its factors began with."""
    if init is not None:
        return init if hub.is_name(init) else str(arguments.path("init", init))
    if model.loaded_from is None:
        return None
    run, own = (os.path.realpath(path) for path in (trained.find(model.loaded_from), folder.path))
    if run != own:
        return model.loaded_from
    recorded = filter(None, (folder[name].recorded_training() for name in names))
    return next((settings["init"] for settings in recorded), None)


def fitting(init, model, names, *, new, as_loaded=False):
    """The first weights of those `new` factors that fit the run `init`: dict, name -> list of arrays.

    A factor may start from one with another condition, or none: the weights of its own condition are zero
    then, so that it begins as the distribution of images of no class. ValueError if all `names` are new and
    none fits; or, `as_loaded` from that run, if the model's weights have changed.
    """
    run, found = load(init), {}
    for name in new:
        if misfit := _misfit(model, run, name):
            print(f"{name}: new first weights, since {init} has {misfit}", flush=True)
            continue
        factor, earlier = model.factors[name].as_keras(), run.factors[name].as_keras()
        theirs = _shared_weights(earlier, factor)
        found[name] = [
            np.asarray(theirs[key].value) if key in theirs else np.zeros(weight.shape, weight.dtype)
            for key, weight in serialization.named_weights(factor).items()
        ]
        is_own = as_loaded and name not in model.untrained
        fits = not is_own or all(map(np.array_equal, found[name], factor.get_weights()))
        expected = f"factor {name!r} with the weights of the run that it was loaded from, {init}"
        received = "others, as load(best=True), fit, set_weights and training leave them"
        remedy = "Load the model anew, or give init, a run that has the weights to start from"
        expect(fits, expected, received, remedy)
        print(f"{name}: first weights from {init}", flush=True)
    there = ", ".join(name for name in run.factors if name not in run.untrained)
    expected = f"a run to start from with weights that fit one of the factors {', '.join(names)}"
    received = f"{init}, with {there or 'none'}, of other names, shapes or meaning"
    if new == names and not (found or as_loaded):
        same = " --preset ".join(preset_like(init, *presets.BY_MODEL))
        same = f"train {same}, which has its networks" if same else "a preset of the same networks"
        expect(False, expected, received, f"Choose another --init, or {same}")
    return found


def preset_like(init, *names):
    """The first preset of these models that has the networks of the run `init`: (model, preset), or ()."""
    with layers.counting_parameters():
        description = RunFolder(trained.find(init)).config()["model"]
        run = serialization.deserialize(description, AuxiliaryModel)
        for name in names:
            for preset, chosen in presets.BY_MODEL[name].items():
                model = chosen.constructor(**chosen.model)
                own, theirs = (
                    [factor.keras_class() for factor in x.factors.values()] for x in (model, run)
                )
                if own == theirs and not any(_misfit(model, run, x) for x in model.factors):
                    return name, preset
    return ()


def _shared_weights(factor, other):
    """dict, name -> weight of a factor, without those of its condition if another factor has not the same."""
    found = serialization.named_weights(factor)
    conditions = [serialization.serialize(x.condition) for x in (factor, other)]
    if conditions[0] == conditions[1]:
        return found
    own = [id(layer.h) for layer in layers.normalized_layers(factor)]
    return {name: weight for name, weight in found.items() if id(weight) not in own}


def _misfit(model, run, name):
    """Why a factor cannot start from the weights of a run; "" if it can."""
    if name not in run.factors or name in run.untrained:
        return "no weights of that name"
    own, theirs = model.factors[name].as_keras(), run.factors[name].as_keras()
    weights = _shared_weights(own, theirs), _shared_weights(theirs, own)
    shapes = [[tuple(weight.shape) for weight in x.values()] for x in weights]
    if shapes[0] != shapes[1]:
        return "other shapes"

    def meaning(model):
        transform = dict(zip(reversed(model.factors), model.transforms)).get(name)
        described = json.loads(json.dumps(serialization.serialize(transform)))
        own = tensors.meaning(model.factors[name])
        return {**own, "transform": described, "condition": None}

    return disk.differences(meaning(model), meaning(run), most=3)
