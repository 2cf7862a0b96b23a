"""Loads the model of a run: of one's own, of the package, or from the Hub."""

from pixelcnn_aux import arguments, backend, layers, lazy, serialization
from pixelcnn_aux.arguments import PathLike
from pixelcnn_aux.errors import restated
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.rounded_factor import RoundedFactor
from pixelcnn_aux.runs import tensors, trained
from pixelcnn_aux.runs.folder import RunFolder


@lazy.lasting_objects()
def load(path: PathLike, dtype: str = "float32", best: bool = False) -> AuxiliaryModel:
    """The model that training left in a workdir, with averaged weights, or one that others have trained.

    Args:
      path: the workdir; a name of `pretrained`; or "hf://OWNER/NAME", with "@REVISION" or without, as `push`
        left it on the Hugging Face Hub. Files from there pass the same checks, and run no code.
      dtype: "float32" or "float64", of every float in the model.
      best: bool, whether each factor has its averaged weights of the epoch that was its best by validation,
        instead of the last ones.

    Returns:
      `AuxiliaryModel`. Factors not trained yet keep their first weights; whatever needs one of them raises an
      error that names it.

    Raises:
      FileNotFoundError: if `path` is none of these.
      ImportError: for a name on the Hub, without huggingface_hub.
      ConnectionError, PermissionError: for a repository that the Hub does not give.
      OSError: if a file of it cannot be read.
      ValueError: if its description or a weights file is damaged, or names a class that is not registered;
        for another dtype, or "float64" under JAX unless JAX_ENABLE_X64 is set; or for `best` if a factor has
        no such weights, as in models of the package and of the Hub.
    """
    arguments.choice("dtype", dtype, backend.DTYPES)
    backend.check_dtype(dtype)
    run = RunFolder(trained.find(path))
    description = run.config()["model"]

    def has_weights(factor):  # before memory is allocated
        file = run[factor.name].weights
        count = tensors.count(file)  # None of a damaged file, which loading refuses
        if count is not None:
            most = f"as many as {file} has"
            arguments.at_most_parameters(factor.name, factor.num_parameters, count, most)
        return count is not None

    expected, received = f"the description of a model in {run}", "one that cannot be built"
    remedy = "If it was made by another version, train again"
    with restated(expected, received, remedy, TypeError, KeyError, ValueError, AttributeError):
        for factor in description["config"]["factors"]:
            backend.set_dtype(factor["config"], dtype)
        with layers.context(before_weights=has_weights):
            model = serialization.deserialize(description, AuxiliaryModel)
    found = {name: run[name].load_weights(factor, best) for name, factor in model.factors.items()}
    for factor in model.factors.values():
        if isinstance(factor, RoundedFactor):  # training leaves their weights unrounded
            factor.quantize_weights()
    model.untrained = tuple(name for name in found if not found[name])
    model.loaded_from = str(path)
    return model
