"""Images and likelihoods of a model that TensorFlow Serving serves, for example

    python -m pixelcnn_aux.client --server HOST:8500 --model NAME sample --num 16 --out grid.png

COMMAND is one of

    sample          draws images, each above the auxiliary images that it was drawn from
    given NAME IMG  an image file, its auxiliary image of the factor NAME, and images drawn given that
    colorize IMG    as given grayscale IMG
    complete IMG    an image file, its upper half, and images drawn given that
    bpd IMG...      bits per dimension of image files: each factor, their total, and means over the files

The server is asked by gRPC or, with --rest, by REST (HOST:8501). Image files of another size than the
model's are cropped and resized as those of `--dataset folder`. In Python: `serving.client.Client`.
"""

from pixelcnn_aux.programs import process

if __name__ == "__main__":
    process.begin()

from absl import flags

from pixelcnn_aux.programs import program
from pixelcnn_aux.serving import commands
from pixelcnn_aux.serving.client import Client

FLAGS = flags.FLAGS

# Of each command, the function, and what it takes.
COMMANDS = {
    "sample": (commands.sample, []),
    "given": (commands.given, ["NAME", "IMG"]),
    "colorize": (commands.colorize, ["IMG"]),
    "complete": (commands.complete, ["IMG"]),
    "bpd": (commands.bpd, ["IMG..."]),
}


def main(name, *arguments):
    if name not in COMMANDS:
        raise ValueError(
            f"Expected a command of {', '.join(COMMANDS)}. Received: {name!r}. Choose one of them."
        )
    command, expected = COMMANDS[name]
    repeated = bool(expected) and expected[-1].endswith("...")
    if len(arguments) < len(expected) or (len(arguments) > len(expected) and not repeated):
        raise ValueError(
            f"Expected {' '.join([name, *expected])} and flags. "
            f"Received: {' '.join([name, *arguments])}. See --help."
        )
    if command is commands.bpd:
        if given := [f"--{name}" for name in commands.Drawing._fields if FLAGS[name].present]:
            raise ValueError(
                f"Expected {' and '.join(given)} with a command that draws images. Received: bpd, which "
                "draws none. Leave out what is about drawing."
            )
    else:
        drawing = commands.Drawing(FLAGS.out, FLAGS.num, FLAGS.seed, FLAGS.log_scale_shift)
        drawing.check()
        arguments = drawing, *arguments
    command(Client(FLAGS.server, FLAGS.model, FLAGS.rest, FLAGS.timeout), *arguments)


def define_flags():
    flags.DEFINE_string("server", None, "HOST:PORT of TensorFlow Serving.", required=True)
    flags.DEFINE_string("model", None, "The name that it serves the model by.", required=True)
    flags.DEFINE_bool("rest", False, "Asks by REST instead of gRPC; the ports differ.")
    flags.DEFINE_float("timeout", 60.0, "Seconds for each request as a whole.", lower_bound=0.001)
    flags.DEFINE_string("out", None, "The picture, a PNG file; an older one is replaced.")
    flags.DEFINE_integer("num", 16, "How many images to draw.", 1, 1024)
    flags.DEFINE_integer("seed", 0, "Of all draws.", lower_bound=-(2**31), upper_bound=2**31 - 1)
    flags.DEFINE_float("log_scale_shift", 0.0, "Of all draws: below 0 they vary less.")


if __name__ == "__main__":
    define_flags()
    program.run(main, ["COMMAND", "ARGUMENT..."])
