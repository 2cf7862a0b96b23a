"""How the programs start, and how they end where their input is at fault."""

import sys

import tensorflow as tf
from absl import app, logging


def run(main, arguments=()):
    """Runs `main` after absl has parsed the flags.

    Args:
      main: function of as many strings as there are `arguments`.
      arguments: list of str, what the usage calls those that are no flags. Of a last one that ends in
        "..." there may be any number, or none.

    An error that the input explains ends the program with its message alone, and exit status 1; -v=1
    shows where it was raised.
    """

    # TensorFlow warns of functions that are traced once for each factor, as they have to be.
    tf.get_logger().setLevel("ERROR")
    repeated = bool(arguments) and arguments[-1].endswith("...")

    def checked(argv):
        given, fixed = len(argv) - 1, len(arguments) - repeated
        if given < fixed or (given > fixed and not repeated):
            expected = f"{' '.join(arguments)} and flags" if arguments else "flags alone"
            raise app.UsageError(f"Expected {expected}. Received: {argv[1:]}")
        try:
            main(*argv[1:])
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            logging.debug("%s", error, exc_info=True)
            sys.exit(f"{type(error).__name__}: {error}")

    app.run(checked)
