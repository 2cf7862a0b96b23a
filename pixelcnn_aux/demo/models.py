"""The models that the page offers."""

import functools

import pixelcnn_aux as pa
from pixelcnn_aux import arguments, serialization
from pixelcnn_aux.codec import Codec
from pixelcnn_aux.conditions import Classes, Condition
from pixelcnn_aux.runs import trained
from pixelcnn_aux.runs.folder import RunFolder

# Pixels of a draw that takes seconds: whole, or in windows of 32 x 32, of which there are some thirty.
WHOLE, IN_WINDOWS = 2**18, 2**14


class Models:
    """The trained models of the package, and runs. Each is loaded when it is asked for, and kept.

    Attributes:
      names: list of str, by which they are chosen.

    Args:
      workdirs: list of str, the folders of runs.

    Raises OSError or ValueError where one of these is no run, or damaged.
    """

    def __init__(self, workdirs=()):
        self._runs = {x: RunFolder(trained.find(x)) for x in [*trained.pretrained(), *workdirs]}
        for run in self._runs.values():
            run.config()
        self.names = list(self._runs)
        # Graphs are traced by each model and codec anew, which takes longer than most of what they do.
        self.load = functools.cache(self._load)
        self.exact = functools.cache(self._exact)
        self.codec = functools.cache(self._codec)

    def has_classes(self, name):
        """Whether a model of `names` is of classes, by its description: it need not be loaded for that."""
        [factor, *_] = self._runs[name].config()["model"]["config"]["factors"]
        condition = serialization.deserialize(factor["config"].get("condition"), Condition)
        return isinstance(condition, Classes)

    def _load(self, name, dtype="float32"):
        """`AuxiliaryModel` of a name. Raises ValueError for another name, and as `pa.load`."""
        return pa.load(self._runs[arguments.choice("the model", name, self.names)].path, dtype)

    def _exact(self, name):
        """The same model, exact where it can be. Raises as `load`."""
        return self.load(name).with_exact(True)

    def _codec(self, name, dtype="float32"):
        """`Codec` of the model of a name. Raises as `load` and `Codec`."""
        return Codec(self.load(name, dtype), self._runs[name].name)

    def codec_of(self, contents):
        """`Codec` of the model that wrote a file, `container.Contents`. Raises ValueError for another one."""
        for name, run in self._runs.items():
            if run.name == contents.name:
                return self.codec(name, contents.dtype)
        raise ValueError(
            f"Expected a file of one of the page's models: {', '.join(self.names)}. Received: one of "
            f"{contents.name!r}. Start the page with --workdir, the run of that model."
        )


def most_pixels(model):
    """int, the most pixels of a picture that a model draws here: one of images of any size draws it whole."""
    return WHOLE if model.image_size is None else IN_WINDOWS
