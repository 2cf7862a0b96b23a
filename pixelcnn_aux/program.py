"""How the programs of train/ and evaluate/ start, and how they end where their input is at fault."""

import sys

from absl import app, logging


def run(main):
    """Runs `main()` after absl has parsed the flags.

    An error that the input explains ends the program with its message alone, and exit status 1; -v=1
    shows where it was raised.
    """

    def checked(argv):
        if len(argv) > 1:
            raise app.UsageError(f"Expected flags alone. Received: {argv[1:]}")
        try:
            main()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            logging.debug("%s", error, exc_info=True)
            sys.exit(f"{type(error).__name__}: {error}")

    app.run(checked)
