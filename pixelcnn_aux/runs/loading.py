"""Loads the model of a run: a local one, one of the package, or one from the Hub."""

import functools

from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.base import arguments, lazy, serialization
from pixelcnn_aux.base.arguments import PathLike
from pixelcnn_aux.base.errors import expect, restated
from pixelcnn_aux.factors.factor import Factor
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files import tensors, trained
from pixelcnn_aux.run_files.folder import RunFolder

_NAME = serialization.registered_name(AuxiliaryModel)


@lazy.lasting_objects()
def load(path: PathLike, dtype: str = "float32", best: bool = False) -> AuxiliaryModel:
    """Loads a trained model, with averaged weights, from a workdir, the package or the Hugging Face Hub.

    Args:
      path: a workdir; a name from `pretrained`; or "hf://OWNER/NAME", optionally with "@REVISION", as `push`
        left it on the Hugging Face Hub. Files from there pass the same checks and run no code.
      dtype: "float32" or "float64", of every float in the model.
      best: bool, whether to load each factor's weights from the epoch with its best validation instead of the
        last ones.

    Returns:
      `AuxiliaryModel`, without an import of Keras and TensorFlow. Factors that are not trained have random
      weights; using one raises an error that names it.

    Raises:
      FileNotFoundError: if `path` is none of these.
      ImportError: for a name on the Hub, without huggingface_hub.
      ConnectionError, PermissionError: if the Hub does not deliver the repository.
      OSError: if a file cannot be read.
      ValueError: if the description or a weights file is damaged, or names a class that is not registered;
        for another dtype; or for `best` if a factor has no such weights, as in models of the package and the
        Hub.
    """
    arguments.choice("dtype", dtype, ("float32", "float64"))
    arguments.flag("best", best)
    run = RunFolder(trained.find(path))
    description = run.config()["model"]
    expected, received = f"the description of a model in {run}", "one that cannot be built"
    remedy = "If it was made by another version, train again"
    with restated(expected, received, remedy, TypeError, KeyError, ValueError, AttributeError):
        config, name = description["config"], description["registered_name"]
        expect(name == _NAME, f"the description of a {_NAME}", name, remedy)
        entries = ("factors", "transforms", "image_size")
        serialization.check_entries(name, dict.fromkeys(config), entries)
        factors = [Factor.described(x, dtype) for x in config["factors"]]
        transforms = [serialization.deserialize(x, Transform) for x in config["transforms"]]
        model = AuxiliaryModel(factors, transforms, config["image_size"])
    for name, factor in model.factors.items():
        of_file = functools.partial(tensors.with_arrays, factor)
        loaded = run[name].read_weights(tensors.identity(factor), best, of_file)
        model.factors[name] = loaded or factor
        model.untrained += () if loaded else (name,)
    model.loaded_from = str(path)
    model.notes = trained.notes(run.path)
    return model
