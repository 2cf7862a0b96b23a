"""What training may start from: the weights of an earlier run, or of a model that came with the package."""

from typing import NamedTuple

from pixelcnn_aux import chain


class Start(NamedTuple):
    """The first weights of a factor."""

    source: str  # the path or the name of the run that they are from
    weights: list  # of arrays, in the order of `factor.get_weights()`


def starts(model, names, init):
    """What factors start from: those of the run that have weights of the same shapes under the same name.

    Args:
      model: `AuxiliaryModel` that is trained.
      names: list of its factors' names.
      init: the path of a run or the name of a model of `pretrained`.

    Returns:
      dict, name -> `Start`, without the factors that start anew; a line tells of each.

    Raises:
      FileNotFoundError, ValueError: as `load`.
      ValueError: if no factor fits.
    """
    run = chain.load(init)
    trained = {name: run.factors[name] for name in run.factors if name not in run.untrained}
    found = {}
    for name in names:
        weights = trained[name].get_weights() if name in trained else []
        shapes = [array.shape for array in weights]
        if shapes == [tuple(x.shape) for x in model.factors[name].weights]:
            found[name] = Start(str(init), weights)
            print(f"{name}: first weights from {init}", flush=True)
        else:
            why = "other shapes" if name in trained else "no weights of that name"
            print(f"{name}: new first weights, since {init} has {why}", flush=True)
    if not found:
        raise ValueError(
            f"Expected a run to start from with weights that fit one of the factors {', '.join(names)}. "
            f"Received: {init}, with {', '.join(trained) or 'none'}, of other names or shapes. Choose "
            "another --init, or a preset of the same networks."
        )
    return found
