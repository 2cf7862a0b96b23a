"""How the programs start, and how they end where their input is at fault."""

import sys

from absl import app, logging


def run(main, arguments=()):
    """Runs `main` after absl has parsed the flags.

    Args:
      main: function of as many strings as there are `arguments`.
      arguments: list of str, what the usage calls those that are no flags.

    An error that the input explains ends the program with its message alone, and exit status 1; -v=1
    shows where it was raised.
    """

    def checked(argv):
        if len(argv) - 1 != len(arguments):
            expected = f"{' '.join(arguments)} and flags" if arguments else "flags alone"
            raise app.UsageError(f"Expected {expected}. Received: {argv[1:]}")
        try:
            main(*argv[1:])
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            logging.debug("%s", error, exc_info=True)
            sys.exit(f"{type(error).__name__}: {error}")

    app.run(checked)
