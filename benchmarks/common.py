"""What the benchmarks of training share: flags for a preset and for its images."""

from absl import flags

from pixelcnn_aux import data, presets

FLAGS = flags.FLAGS


def define_preset(preset, models=tuple(presets.BY_MODEL)):
    flags.DEFINE_enum("model", "pyramid", models, "Whose preset: which training program.")
    flags.DEFINE_string("preset", preset, "Its preset.")


def define_images():
    flags.DEFINE_string(
        "data_dir", None, "Where TFDS keeps its data sets; its own default if unset."
    )
    flags.DEFINE_string("image_dir", None, "The images of a preset that needs a folder.")


def preset():
    """The `presets.Preset` that the flags choose."""
    return presets.find(FLAGS.model, FLAGS.preset)


def check_factor(name, others=()):
    """Raises ValueError unless the preset has a factor of this name, or it is one of `others`."""
    known = [*others, *preset().training]
    if name not in known:
        raise ValueError(
            f"Expected --factor {', '.join(known)}. Received: {name}. Choose one of them, or another --model."
        )


def split(model, which):
    """A split of the preset's data set, `data.Images` of a model's size."""
    places = {"data_dir": FLAGS.data_dir, "image_dir": FLAGS.image_dir}
    return data.load(preset().dataset, which, model.image_size, **places)
