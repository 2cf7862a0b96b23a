"""Draws and scores images with a model behind TensorFlow Serving, for example

    pixelcnn-aux client --server HOST:8500 --model NAME sample --num 16 --out grid.png

COMMAND is one of

    sample          draws images, each shown above its auxiliary images
    given NAME IMG  shows an image file, its auxiliary image of the factor NAME, and draws given that
    colorize IMG    the same as given grayscale IMG
    complete IMG    shows an image file, its upper half, and draws given that
    bpd IMG...      bits per dimension of image files, per factor and in total, and their means

Requests go over gRPC. Image files of a different size than the model's are cropped and resized as for
`--dataset folder`. In Python: `pixelcnn_aux.serving.grpc_client.Client`.
"""

import math

import numpy as np
from absl import flags
from PIL import Image

from pixelcnn_aux import data, image_grid
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import chosen_run
from pixelcnn_aux.sampling.any_size import upper_half

FLAGS = flags.FLAGS
ARGUMENTS = ["COMMAND", "ARGUMENT..."]


def sample(client):
    """Draws images, and shows each above its auxiliary images."""
    drawn = client.predict("sample", **_drawing(client))
    *auxiliaries, full = client.images
    columns = [(full, drawn["image"]), *((name, drawn[name]) for name in reversed(auxiliaries))]
    _write(client, [[(name, images[n]) for name, images in columns] for n in range(FLAGS.num)])


def given(client, name, file):
    """Draws given an auxiliary image, and shows the file's image, its auxiliary image, and the draws."""
    *auxiliaries, full = client.images
    expected = f"an auxiliary image of {client.model}: {', '.join(auxiliaries) or 'it has none'}"
    expect(name in auxiliaries, expected, repr(name), "Choose one of them, or another --model")
    image = _read(client, file)
    [auxiliary] = client.predict("auxiliaries", image=image[np.newaxis])[name]
    drawn = client.predict(f"given_{name}", **_drawing(client, auxiliary=auxiliary))["image"]
    _write(client, [[(full, image)], [(name, auxiliary)], *([(full, draw)] for draw in drawn)])


def complete(client, file):
    """Draws lower halves, and shows the file's image, its kept half, and the draws."""
    image = _read(client, file)
    mask = upper_half(image)
    drawn = client.predict("complete", **_drawing(client, image=image, mask=mask))["image"]
    *_, full = client.images
    masked = np.where(mask, image, np.uint8(127))
    _write(client, [[(full, tile)] for tile in (image, masked, *drawn)])


def bpd(client, *files):
    """Prints a line per file, and one of means."""
    images = np.stack([_read(client, file) for file in files])
    outputs = client.predict("log_prob", image=images, **_condition(client, len(files)))
    names = [*client.images, "total"]
    columns = [*(outputs[f"bits_per_dim_{x}"] for x in client.images), outputs["bits_per_dim"]]
    width = max(map(len, [*files, "file"]))
    print(f"{'file':{width}}", *(f"{name:>16}" for name in names))
    for label, *bits in [*zip(files, *columns), ("mean", *map(np.mean, columns))]:
        print(f"{label:{width}}", *(f"{value:16.4f}" for value in bits))


# command -> (function, names of its arguments)
COMMANDS = {
    "sample": (sample, []),
    "given": (given, ["NAME", "IMG"]),
    "colorize": (lambda client, file: given(client, "grayscale", file), ["IMG"]),
    "complete": (complete, ["IMG"]),
    "bpd": (bpd, ["IMG..."]),
}


def _condition(client, count):
    """The input `condition` for `count` rows with --label, if the model is conditional."""
    values = chosen_run.label_condition(client, count)
    return {} if values is None else {"condition": values}


def _drawing(client, **arrays):
    """Inputs of a drawing signature: one row per image to draw, each with the same arrays."""
    return {
        "seed": np.array([(FLAGS.seed, index) for index in range(FLAGS.num)], np.int32),
        "log_scale_shift": np.full(FLAGS.num, FLAGS.log_scale_shift, np.float32),
        **_condition(client, FLAGS.num),
        **{name: np.repeat(x[np.newaxis], FLAGS.num, axis=0) for name, x in arrays.items()},
    }


def _read(client, file):
    """Reads an image file at the size of the model's full images: uint8 [H, W, 3]."""
    *_, (dtype, shape, num_values) = client.images.values()
    expected = "a model of color images, uint8 [H, W, 3] below 256, for image files"
    received = f"{client.model}, of {dtype.name} {list(shape)} below {num_values}"
    remedy = "Send arrays with pixelcnn_aux.serving.grpc_client.Client"
    expect((shape[-1], num_values) == (3, 256), expected, received, remedy)
    return data.read_image(file, shape[:2])


def _write(client, tiles):
    """Writes a picture of tiles, each a list of (factor name, image) from top to bottom."""
    tiles = [
        [image_grid.to_rgb(image, client.images[name].num_values) for name, image in tile]
        for tile in tiles
    ]
    columns = math.ceil(math.sqrt(len(tiles)))
    image_grid.write(FLAGS.out, Image.fromarray(image_grid.grid(tiles, columns)))
    print(f"Wrote {FLAGS.out}")


def main(name, *arguments):
    # Imported here so that the program reports a missing tensorflow-serving-api.
    from pixelcnn_aux.serving.grpc_client import Client

    expected = f"a command of {', '.join(COMMANDS)}"
    expect(name in COMMANDS, expected, repr(name), "Choose one of them")
    command, parameters = COMMANDS[name]
    fits = len(arguments) == len(parameters) or (arguments and command is bpd)
    usage = " ".join([name, *parameters])
    received = " ".join([name, *arguments])
    expect(fits, f"{usage} and flags", received, "See --help")
    if command is not bpd:
        disk.check_place("--out", FLAGS.out, (".png",))  # before anything is drawn
    command(Client(FLAGS.server, FLAGS.model, FLAGS.timeout), *arguments)


def define_flags():
    flags.DEFINE_string("server", None, "HOST:PORT of TensorFlow Serving's gRPC.", required=True)
    flags.DEFINE_string("model", None, "The name of the served model.", required=True)
    flags.DEFINE_float("timeout", 60.0, "Timeout of a request, in seconds.", lower_bound=0.001)
    flags.DEFINE_string("out", None, "The picture, a PNG file; replaces an existing one.")
    flags.DEFINE_integer("num", 16, "The number of images to draw.", 1, 1024)
    flags.DEFINE_integer("seed", 0, "The seed of all draws.", -(2**31), 2**31 - 1)
    flags.DEFINE_float("log_scale_shift", 0.0, "Added to log-scales; below 0 draws vary less.")
    chosen_run.define_label()
