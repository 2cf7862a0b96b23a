"""Opens a web page that runs the models on this machine.

    pixelcnn-aux demo
    pixelcnn-aux demo --workdir runs/mine --port 8000

Its tabs draw images, and enlarge, color, complete, compress and score pictures, with the trained models of
the package and the runs given by --workdir. It is served only at http://127.0.0.1, sends nothing anywhere,
and its files are removed when the program ends.
"""

import contextlib
import ctypes
import importlib.util

from absl import flags

from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.demo import server

FLAGS = flags.FLAGS


def main():
    has_gradio = importlib.util.find_spec("gradio")
    remedy = "Run pip install 'gradio>=6,<7'"
    expect(has_gradio, "Gradio, which makes the page", "no such package", remedy, kind=ImportError)
    with contextlib.suppress(AttributeError):  # only glibc has it
        # M_MMAP_THRESHOLD: memory of large arrays is returned to the system at once.
        ctypes.CDLL(None).mallopt(-3, 2**20)
    opened = server.bound(FLAGS.port)
    with opened, server.temporary_folder():
        from pixelcnn_aux.demo import actions, page, uploads, work

        built = page.build(actions.Models(FLAGS.workdir), work.Worker(FLAGS.workdir).run)
        application = server.application(built, css=page.CSS, max_bytes=uploads.MAX_BYTES)
        print(f"Open http://{server.HOST}:{opened.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        server.serve(application, opened)


def define_flags():
    flags.DEFINE_integer("port", 7860, "The page's port; 0 takes any free one.", 0, 65535)
    flags.DEFINE_multi_string("workdir", [], "A run to offer as well; repeatable.")
