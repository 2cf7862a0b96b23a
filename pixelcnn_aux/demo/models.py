"""The models that the page offers."""

import functools

import pixelcnn_aux as pa
from pixelcnn_aux import arguments, zoo
from pixelcnn_aux.codec import Codec
from pixelcnn_aux.runs.folder import RunFolder


class Models:
    """The trained models of the package, and runs. Each is loaded when it is asked for, and kept.

    Attributes:
      names: list of str, by which they are chosen.

    Args:
      workdirs: list of str, the folders of runs.

    Raises FileNotFoundError where one of these is no run.
    """

    def __init__(self, workdirs=()):
        self._folders = {name: zoo.find(name) for name in [*zoo.pretrained(), *workdirs]}
        self.names = list(self._folders)
        # Graphs are traced by each model and codec anew, which takes longer than most of what they do.
        self.load = functools.cache(self._load)
        self.codec = functools.cache(self._codec)

    def _load(self, name, dtype="float32"):
        """`AuxiliaryModel` of a name. Raises ValueError for another name, and as `pa.load`."""
        return pa.load(self._folders[arguments.choice("the model", name, self.names)], dtype)

    def _codec(self, name, dtype="float32"):
        """`Codec` of the model of a name. Raises as `load` and `Codec`."""
        return Codec(self.load(name, dtype), RunFolder(self._folders[name]).name)

    def codec_of(self, contents):
        """`Codec` of the model that wrote a file, `container.Contents`. Raises ValueError for another one."""
        for name, folder in self._folders.items():
            if RunFolder(folder).name == contents.name:
                return self.codec(name, contents.dtype)
        raise ValueError(
            f"Expected a file of one of the page's models: {', '.join(self.names)}. Received: one of "
            f"{contents.name!r}. Start the page with --workdir, the run of that model."
        )


def unknown(model, count):
    """What a model is told of `count` images: nothing, that is its condition's unknown value, or None."""
    return model.condition and model.condition.unknown(count)
