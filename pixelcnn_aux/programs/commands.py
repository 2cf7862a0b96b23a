"""The installed programs as commands: `pixelcnn-aux-codec` is `python -m pixelcnn_aux.codec`."""

import functools
import runpy


def _command(program):
    run = functools.partial(runpy.run_module, run_name="__main__", alter_sys=True)
    return functools.partial(run, f"pixelcnn_aux.{program}")


codec, export, interop, zoo = map(_command, ("codec", "export", "interop", "zoo"))
