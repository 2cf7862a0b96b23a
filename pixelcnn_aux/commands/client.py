"""Images and likelihoods of a model that TensorFlow Serving serves, for example

    pixelcnn-aux client --server HOST:8500 --model NAME sample --num 16 --out grid.png

COMMAND is one of

    sample          draws images, each above the auxiliary images that it was drawn from
    given NAME IMG  an image file, its auxiliary image of the factor NAME, and images drawn given that
    colorize IMG    as given grayscale IMG
    complete IMG    an image file, its upper half, and images drawn given that
    bpd IMG...      bits per dimension of image files: each factor, their total, and means over the files

The server is asked by gRPC. Image files of another size than the model's are cropped and resized as those
of `--dataset folder`. In Python: `pixelcnn_aux.serving.grpc_client.Client`.
"""

import math

import numpy as np
from absl import flags
from PIL import Image

from pixelcnn_aux import data, image_grid
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import upper_half
from pixelcnn_aux.commands import chosen_run

FLAGS = flags.FLAGS
ARGUMENTS = ["COMMAND", "ARGUMENT..."]


def sample(client):
    """Draws images: the picture has each above its auxiliary images."""
    drawn = client.predict("sample", **_drawing(client))
    *auxiliaries, full = client.images
    columns = [(full, drawn["image"]), *((name, drawn[name]) for name in reversed(auxiliaries))]
    _write(client, [[(name, images[n]) for name, images in columns] for n in range(FLAGS.num)])


def given(client, name, file):
    """Draws from an auxiliary image: the picture has the file's image, its auxiliary image, and the draws."""
    *auxiliaries, full = client.images
    known = f"an auxiliary image of {client.model}: {', '.join(auxiliaries) or 'it has none'}"
    expect(name in auxiliaries, known, repr(name), "Choose one of them, or another --model")
    image = _read(client, file)
    [auxiliary] = client.predict("auxiliaries", image=image[np.newaxis])[name]
    drawn = client.predict(f"given_{name}", **_drawing(client, auxiliary=auxiliary))["image"]
    _write(client, [[(full, image)], [(name, auxiliary)], *([(full, draw)] for draw in drawn)])


def complete(client, file):
    """Draws lower halves: the picture has the file's image, what is kept of it, and the draws."""
    image = _read(client, file)
    mask = upper_half(image)
    drawn = client.predict("complete", **_drawing(client, image=image, mask=mask))["image"]
    *_, full = client.images
    masked = np.where(mask, image, np.uint8(127))
    _write(client, [[(full, tile)] for tile in (image, masked, *drawn)])


def bpd(client, *files):
    """Prints a line for each file, and one of means."""
    images = np.stack([_read(client, file) for file in files])
    answer = client.predict("log_prob", image=images, **_condition(client, len(files)))
    names = [*client.images, "total"]
    columns = [answer[f"bits_per_dim_{name}"] for name in client.images] + [answer["bits_per_dim"]]
    width = max(map(len, [*files, "file"]))
    print(f"{'file':{width}}", *(f"{name:>16}" for name in names))
    for label, *bits in [*zip(files, *columns), ("mean", *map(np.mean, columns))]:
        print(f"{label:{width}}", *(f"{value:16.4f}" for value in bits))


# Each command: its function, and the names of its arguments.
COMMANDS = {
    "sample": (sample, []),
    "given": (given, ["NAME", "IMG"]),
    "colorize": (lambda client, file: given(client, "grayscale", file), ["IMG"]),
    "complete": (complete, ["IMG"]),
    "bpd": (bpd, ["IMG..."]),
}


def _condition(client, count):
    """The input `condition` of `count` rows, if the model has one: as --label says."""
    values = chosen_run.label_condition(client, count)
    return {} if values is None else {"condition": values}


def _drawing(client, **arrays):
    """Inputs of a signature that draws: one row for each image to draw, with the same array in each."""
    return {
        "seed": np.array([(FLAGS.seed, index) for index in range(FLAGS.num)], np.int32),
        "log_scale_shift": np.full(FLAGS.num, FLAGS.log_scale_shift, np.float32),
        **_condition(client, FLAGS.num),
        **{name: np.repeat(x[np.newaxis], FLAGS.num, axis=0) for name, x in arrays.items()},
    }


def _read(client, file):
    """uint8 [H, W, 3]: an image file, in the size of the model's full images."""
    *_, (dtype, shape, num_values) = client.images.values()
    expected = "a model of color images, uint8 [H, W, 3] below 256, to read a file for"
    received = f"{client.model}, of {dtype.name} {list(shape)} below {num_values}"
    remedy = "Send it arrays with pixelcnn_aux.serving.grpc_client.Client"
    expect((shape[-1], num_values) == (3, 256), expected, received, remedy)
    return data.read_image(file, shape[:2])


def _write(client, tiles):
    """Writes the picture of tiles, lists of (factor name, image) one above the other."""
    tiles = [
        [image_grid.to_rgb(image, client.images[name].num_values) for name, image in tile]
        for tile in tiles
    ]
    columns = math.ceil(math.sqrt(len(tiles)))
    image_grid.write(FLAGS.out, Image.fromarray(image_grid.grid(tiles, columns)))
    print(f"Wrote {FLAGS.out}")


def main(name, *arguments):
    # Imported here, so that a missing tensorflow-serving-api is a message of the program.
    from pixelcnn_aux.serving.grpc_client import Client

    known = f"a command of {', '.join(COMMANDS)}"
    expect(name in COMMANDS, known, repr(name), "Choose one of them")
    command, expected = COMMANDS[name]
    fits = len(arguments) == len(expected) or (arguments and command is bpd)
    usage, received = " ".join([name, *expected]), " ".join([name, *arguments])
    expect(fits, f"{usage} and flags", received, "See --help")
    if command is not bpd:
        disk.check_place("--out", FLAGS.out, (".png",))  # before anything is drawn
    command(Client(FLAGS.server, FLAGS.model, FLAGS.timeout), *arguments)


def define_flags():
    flags.DEFINE_string("server", None, "HOST:PORT of TensorFlow Serving's gRPC.", required=True)
    flags.DEFINE_string("model", None, "The name that it serves the model by.", required=True)
    flags.DEFINE_float("timeout", 60.0, "Seconds for each request as a whole.", lower_bound=0.001)
    flags.DEFINE_string("out", None, "The picture, a PNG file; an older one is replaced.")
    flags.DEFINE_integer("num", 16, "How many images to draw.", 1, 1024)
    flags.DEFINE_integer("seed", 0, "Of all draws.", lower_bound=-(2**31), upper_bound=2**31 - 1)
    flags.DEFINE_float("log_scale_shift", 0.0, "Of all draws: below 0 they vary less.")
    chosen_run.define_label()
