"""Initial weights of training, taken from an earlier run or a trained model where they fit."""

import json
import os

import numpy as np

from pixelcnn_aux import networks
from pixelcnn_aux.base import arguments, disk, serialization
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.run_files import hub, tensors, trained
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.training import presets


def source(init, model, folder, names):
    """Returns the run to start from: `init`, the run the model was loaded from, or its recorded `init`."""
    if init is not None:
        return init if hub.is_name(init) else str(arguments.path("init", init))
    if model.loaded_from is None:
        return None
    if os.path.realpath(trained.find(model.loaded_from)) != os.path.realpath(folder.path):
        return model.loaded_from
    recorded = filter(None, (folder[name].recorded_training() for name in names))
    return next((settings["init"] for settings in recorded), None)


def fitting(init, model, names, *, new, seed=0, as_loaded=False):
    """Initial weights of the `new` factors that the run `init` fits: dict, name -> path -> array.

    A factor may start from a narrower one, and then computes the same: `seed` draws its new channels. It may
    start from one with another condition or without: its own condition's weights are then zero, so that it
    starts as the distribution of images of no class. Raises ValueError if all `names` are new and no factor
    fits; and, if the model is `as_loaded` from that run, for weights changed since.
    """
    run, weights = load(init), {}
    for name in new:
        if misfit := _misfit(model, run, name, widens=True):
            print(f"{name}: new first weights, since {init} has {misfit}", flush=True)
            continue
        factor, earlier = model.factors[name], run.factors[name]
        shared, transposed = _shared(earlier, factor), _transposed(factor)
        draws = np.random.default_rng([seed % 2**64, *name.encode()])
        weights[name] = {x: np.zeros(y.shape, factor.dtype) for x, y in factor.shapes.items()}
        for path in shared:
            array, output_axis = earlier.weights[path], -1 - (path in transposed)
            shape = factor.shapes[path].shape
            weights[name][path] = _widened(array, path, shape, output_axis, _width(earlier), draws)
        is_own = as_loaded and name not in model.untrained
        own = factor.weights if is_own else {}
        fits = all(np.array_equal(weights[name][path], x) for path, x in own.items())
        expected = f"factor {name!r} with the weights of the run that it was loaded from, {init}"
        received = "changed ones, as load(best=True), with_factor and training leave them"
        remedy = "Reload the model, or give init, a run that has the weights to start from"
        expect(fits, expected, received, remedy)
        print(f"{name}: first weights from {init}", flush=True)
    if new == names and not (weights or as_loaded):
        trained_names = ", ".join(name for name in run.factors if name not in run.untrained)
        expected = f"a run to start from whose weights fit one of the factors {', '.join(names)}"
        received = f"{init}, with {trained_names or 'none'}, of other names, shapes or meaning"
        same = " --preset ".join(preset_like(init, *presets.BY_MODEL))
        same = f"train {same}, which has its networks" if same else "a preset of the same networks"
        expect(False, expected, received, f"Choose another --init, or {same}")
    return weights


def preset_like(init, *names):
    """First preset of the named models with the networks of the run `init`: (model, preset), or ()."""
    run = load(init)
    run.untrained = ()  # networks are compared, not weights
    for name in names:
        for preset, chosen in presets.BY_MODEL[name].items():
            model = chosen.constructor(**chosen.model)
            pair = (x.factors.values() for x in (model, run))
            own, theirs = ([factor.rounded for factor in x] for x in pair)
            if own == theirs and not any(_misfit(model, run, x) for x in model.factors):
                return name, preset
    return ()


def _shared(factor, other):
    """dict, path -> shape; without the condition's weights if the other factor's condition differs."""
    shapes = {path: weight.shape for path, weight in factor.shapes.items()}
    if serialization.serialize(factor.condition) == serialization.serialize(other.condition):
        return shapes
    return {path: shape for path, shape in shapes.items() if not path.endswith("/h")}


def _transposed(factor):
    """The paths of kernels of transposed convolutions, whose output channels are the last but one axis."""
    layers = factor.layers()
    _ = factor.with_layers(layers).modules
    return {f"{path}/v" for path, layer in layers.made_layers.items() if layer.transposed}


def _misfit(model, run, name, widens=False):
    """Returns why a factor cannot start from a run's weights; "" if it can. `widens` allows narrower ones."""
    if name not in run.factors or name in run.untrained:
        return "no weights of that name"
    own, theirs = model.factors[name], run.factors[name]
    widens = widens and 0 < _width(theirs) < _width(own)
    if _shared(own, theirs) != _shared(theirs, own) and not widens:
        return "other shapes"

    def meaning(model):
        transform = dict(zip(reversed(model.factors), model.transforms)).get(name)
        described = json.loads(json.dumps(serialization.serialize(transform)))
        own = tensors.meaning(model.factors[name])
        for part in filter(None, (own["network"], own["embedding"]) if widens else ()):
            del part["config"]["filters"]
        return {**own, "transform": described, "condition": None}

    return disk.differences(meaning(model), meaning(run), most=3)


def _width(factor):
    """The filters of a factor's networks, if they are the same and known to be widened; else 0."""
    parts = [*factor.definitions.values()]
    known = all(type(part) in (networks.PixelCNN, networks.Embedding) for part in parts)
    widths = {part.filters for part in parts} if known else {0}
    return widths.pop() if len(widths) == 1 else 0


def _widened(array, path, shape, output_axis, width, draws):
    """A narrower factor's weight in a shape: Net2Net (Chen et al., 2016) for channels.

    New channels follow each `width` old ones, which do not see them at first: their kernels there are zero.
    Kernels of new channels are random, and as long as old ones.
    """
    if array.shape == shape:
        return array
    kept = []
    for old, new in zip(array.shape, shape):
        segment, channel = np.divmod(np.arange(old), width)
        kept.append(segment * (new * width // old) + channel)
    if path.endswith("/v"):
        length = np.sqrt(np.sum(np.square(array)) / array.shape[output_axis])
        wide = draws.normal(size=shape) * length / np.sqrt(np.prod(shape) / shape[output_axis])
    else:
        wide = np.full(shape, np.mean(array) if path.endswith("/g") else 0.0)
    np.moveaxis(wide, output_axis, 0)[kept[output_axis]] = 0.0
    wide[np.ix_(*kept)] = array
    return wide.astype(array.dtype)
