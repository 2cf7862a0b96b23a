"""The flags of programs that say where images are: what `data.load` takes."""

from absl import flags

FLAGS = flags.FLAGS

_HELP = {
    "data_dir": "Where TFDS keeps its data sets; its own default if unset.",
    "image_dir": "A folder of images, as of the data sets folder and celeb_a.",
    "image_file": "A .npz file of images, as of the data set arrays.",
    "cache_dir": "Where decoded images are kept; pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache if unset.",
}


def define_flags():
    for name, text in _HELP.items():
        flags.DEFINE_string(name, None, text)


def given():
    """What the flags say: dict, of arguments of `data.load`."""
    return {name: FLAGS[name].value for name in _HELP}
