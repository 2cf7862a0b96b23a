"""A page in the browser that runs the models, on this machine alone.

    pixelcnn-aux demo
    pixelcnn-aux demo --workdir runs/mine --port 8000

Its tabs draw images, enlarge and color, complete, compress and score pictures, with the trained models of the
package and the runs given by --workdir. The page is at http://127.0.0.1 and no other address; nothing is sent
anywhere, and its files are removed when the program ends.
"""

import contextlib
import ctypes
import importlib.util

from absl import flags

from pixelcnn_aux.demo import server

FLAGS = flags.FLAGS


def main():
    if importlib.util.find_spec("gradio") is None:
        expected = "Expected Gradio, which makes the page. Received: no such package."
        raise ImportError(f"{expected} Run pip install 'gradio>=6,<7'.")
    with contextlib.suppress(AttributeError):  # of other C libraries than glibc
        ctypes.CDLL(None).mallopt(-3, 2**20)  # M_MMAP_THRESHOLD: pictures leave no memory behind
    opened = server.bound(FLAGS.port)
    with opened, server.temporary_folder():
        from pixelcnn_aux.demo import actions, page, uploads, work

        built = page.build(actions.Models(FLAGS.workdir), work.Worker(FLAGS.workdir).run)
        application = server.application(built, css=page.CSS, max_bytes=uploads.MAX_BYTES)
        print(f"Open http://{server.HOST}:{opened.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        server.serve(application, opened)


def define_flags():
    flags.DEFINE_integer("port", 7860, "Of the page; 0 takes any that is free.", 0, 65535)
    workdir = "A run to offer beside the models of the package; repeatable."
    flags.DEFINE_multi_string("workdir", [], workdir)
