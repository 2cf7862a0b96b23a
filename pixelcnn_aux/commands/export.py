"""Exports a model as a SavedModel for TensorFlow Serving or `tf.saved_model.load`, for example

    pixelcnn-aux export --workdir cifar10-pyramid --out models

Writes models/MODEL/VERSION/, where MODEL is the workdir's name, after comparing its outputs with the model's.
"""

import os
import time

from absl import flags

from pixelcnn_aux.commands import chosen_run

FLAGS = flags.FLAGS


def main():
    from pixelcnn_aux.serving import exporting

    folder = chosen_run.workdir()
    print(f"Exporting {folder} ...", flush=True)
    start = time.perf_counter()
    size = FLAGS.image_size and [int(x) if x.isdecimal() else x for x in FLAGS.image_size]
    options = {"max_batch": FLAGS.max_batch, "jit_compile": FLAGS.jit, "names": FLAGS.signatures}
    version = exporting.export(folder, FLAGS.out, **options, image_size=size)
    print(f"Wrote {version} in {time.perf_counter() - start:.0f} s, and compared it with the model")
    if FLAGS.signatures and "auxiliaries" not in FLAGS.signatures:
        print("pixelcnn-aux client needs the signature auxiliaries, too: add it to --signatures")


def define_flags():
    # Before a plug-in imports Keras: exports are TensorFlow's graphs, whatever backend trains.
    if os.environ.get("KERAS_BACKEND", "jax") == "jax":
        os.environ["KERAS_BACKEND"] = "tensorflow"
    chosen_run.define_workdir()
    flags.DEFINE_string("out", None, "The folder of all models.", required=True)
    flags.DEFINE_integer("max_batch", 256, "Maximum images per request.", 1, 2**31 - 1)
    flags.DEFINE_list("signatures", None, "To export, such as log_prob,auxiliaries; all if unset.")
    flags.DEFINE_bool("jit", False, "Compiles drawing with XLA, once per batch size.")
    size = "Height and width, such as 512,768, required for a model of any image size."
    flags.DEFINE_list("image_size", None, size)
