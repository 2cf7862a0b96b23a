"""A page in the browser that shows what models do, on this machine alone.

    pixelcnn-aux demo
    pixelcnn-aux demo --workdir runs/mine --port 8000

Its tabs draw images, enlarge and color, complete, compress and score pictures, by the trained models of the
package and the runs that are named. The page is at http://127.0.0.1, and at no other address; nothing is sent
anywhere, and what it writes is removed when the program ends.
"""

from pixelcnn_aux.commands import process

if __name__ == "__main__":
    process.begin()

import importlib.util

from absl import flags

from pixelcnn_aux.commands import program
from pixelcnn_aux.demo import server, uploads
from pixelcnn_aux.demo.models import Models

FLAGS = flags.FLAGS


def main():
    if importlib.util.find_spec("gradio") is None:
        raise ImportError(
            "Expected Gradio, which makes the page. Received: no such package. Run "
            "pip install 'gradio>=6,<7'."
        )
    models, opened = Models(FLAGS.workdir), server.bound(FLAGS.port)
    with opened, server.temporary_folder():
        from pixelcnn_aux.demo import page

        application = server.application(page.build(models), uploads.MAX_BYTES)
        print(f"Open http://{server.HOST}:{opened.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        server.serve(application, opened)


def define_flags():
    flags.DEFINE_integer("port", 7860, "Of the page; 0 takes any that is free.", 0, 65535)
    flags.DEFINE_multi_string(
        "workdir", [], "A run that is offered beside the models of the package; repeatable."
    )


if __name__ == "__main__":
    program.start()
