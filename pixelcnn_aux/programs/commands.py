"""The installed programs as commands: `pixelcnn-aux-codec` is `python -m pixelcnn_aux.codec`."""

import runpy


def codec():
    _run("codec")


def export():
    _run("export")


def interop():
    _run("interop")


def zoo():
    _run("zoo")


def _run(program):
    runpy.run_module(f"pixelcnn_aux.{program}", run_name="__main__", alter_sys=True)
