"""Model: a chain of factors in NumPy, and how it is loaded."""

from pixelcnn_aux import arguments, lazy, serialization
from pixelcnn_aux.arguments import Config, PathLike
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.engine.factor import Factor, Unsupported
from pixelcnn_aux.errors import expect, restated
from pixelcnn_aux.factor_chain import FactorChain
from pixelcnn_aux.runs import tensors, trained
from pixelcnn_aux.runs.folder import RunFolder

_NAME = "pixelcnn_aux>AuxiliaryModel"


class Model(FactorChain):
    """A `FactorChain` that is evaluated in NumPy: `pixelcnn_aux.engine.load` returns it.

    Its arguments and methods are those of `AuxiliaryModel`, and give arrays of NumPy. It draws pixel by
    pixel or group by group, and refuses `jit_compile`.
    """

    factors: dict[str, Factor]
    factor_class = Factor

    def description(self) -> Config:
        """As of `AuxiliaryModel`."""
        return {
            "class_name": "AuxiliaryModel",
            "config": {
                "factors": [
                    {**factor.description, "config": factor.get_config()}
                    for factor in self.factors.values()
                ],
                "transforms": [*map(serialization.serialize, self.transforms)],
                "image_size": self.image_size and list(self.image_size),
            },
            "registered_name": _NAME,
        }


@lazy.lasting_objects()
def load(path: PathLike, dtype: str = "float32", best: bool = False) -> Model:
    """The model of a run without Keras and TensorFlow, evaluated in NumPy.

    Args:
      path, dtype, best: as for `pixelcnn_aux.load`.

    Returns:
      `Model`. Factors not trained yet have no weights; whatever needs one of them raises an error that names
      it.

    Raises:
      Exceptions of `pixelcnn_aux.load`, and `Unsupported`, a ValueError, for a network or a likelihood of
      one's own that the engine does not know: its module has to be imported before, and a network needs
      `register`.
    """
    arguments.choice("dtype", dtype, ("float32", "float64"))
    run = RunFolder(trained.find(path))
    description = run.config()["model"]
    expected, received = f"the description of a model in {run}", "one that cannot be built"
    remedy = "If it was made by another version, train again"
    try:
        with restated(expected, received, remedy, TypeError, KeyError, ValueError, AttributeError):
            config, name = description["config"], description["registered_name"]
            known, way_out = "a model of a class that the engine knows", "Load it by pa.load"
            expect(name == _NAME, known, name, way_out, kind=Unsupported)
            taken = ("factors", "transforms", "image_size")
            serialization.check_entries(name, dict.fromkeys(config), taken)
            factors = [Factor.described(x, dtype) for x in config["factors"]]
            transforms = [serialization.deserialize(x, Transform) for x in config["transforms"]]
            size = config["image_size"]
            model = Model(factors, transforms, size)
    except ValueError as error:
        if isinstance(error.__cause__, Unsupported):
            raise error.__cause__ from None
        raise
    for name, factor in model.factors.items():
        found = run[name].read_weights(tensors.identity(factor), best, factor.with_file)
        model.factors[name] = found or factor
        model.untrained += () if found else (name,)
    model.loaded_from = str(path)
    return model
