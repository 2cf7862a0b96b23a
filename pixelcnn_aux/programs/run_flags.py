"""Flags that several programs have: which run, and where its images are."""

from absl import flags

from pixelcnn_aux import likelihoods, zoo

FLAGS = flags.FLAGS

_IMAGES = {
    "data_dir": "Where TFDS keeps its data sets; its own default if unset.",
    "image_dir": "A folder of images, as of the data sets folder and celeb_a, or of arrays.",
    "image_file": "A .npz file of images, as of the data set arrays.",
    "labels": "The classes of the images of folder: folders, those that they are in; or a CSV file.",
    "cache_dir": "Where decoded images are kept; pixelcnn_aux in $XDG_CACHE_HOME or ~/.cache if unset.",
}


def define_workdir(note=""):
    """Defines --workdir of a program that reads a run; `note` follows what is said of it."""
    flags.DEFINE_string(
        "workdir",
        None,
        "What training left, or the name of a trained model of the package. If unset, the newest run under "
        f"runs/, and where there is none {zoo.DEFAULT}.{note}",
    )


def workdir():
    """The folder of the run that --workdir chooses."""
    return zoo.find(FLAGS.workdir) if FLAGS.workdir else zoo.newest()


def define_draws(log_scale_shift=0.0):
    """Defines the flags of draws: --seed, --log_scale_shift and --mode."""
    flags.DEFINE_integer("seed", 0, "Of all draws.", -(2**31), 2**31 - 1)
    flags.DEFINE_float(
        "log_scale_shift", log_scale_shift, "Added to log-scales; below 0 the draws vary less."
    )
    flags.DEFINE_enum("mode", "sample", likelihoods.MODES, "map: a drawn component's location.")


def define_images():
    """Defines the flags of where images are."""
    for name, text in _IMAGES.items():
        flags.DEFINE_string(name, None, text)


def images():
    """What these flags say: dict, of arguments of `data.load`."""
    return {name: FLAGS[name].value for name in _IMAGES}
