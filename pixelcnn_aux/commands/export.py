"""Exports a model as a SavedModel, for TensorFlow Serving or `tf.saved_model.load`, such as

    pixelcnn-aux export --workdir cifar10-pyramid --out models

Writes models/MODEL/VERSION/, MODEL being the workdir's name, after a comparison with the model.
"""

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
    how = {"max_batch": FLAGS.max_batch, "jit_compile": FLAGS.jit, "names": FLAGS.signatures}
    version = exporting.export(folder, FLAGS.out, **how, image_size=size)
    print(f"Wrote {version} in {time.perf_counter() - start:.0f} s, and compared it with the model")
    if FLAGS.signatures and "auxiliaries" not in FLAGS.signatures:
        print("pixelcnn-aux client cannot ask for it: add auxiliaries to --signatures for that")


def define_flags():
    chosen_run.define_workdir()
    flags.DEFINE_string("out", None, "The folder of all models.", required=True)
    most = "The most images that a request may ask for."
    flags.DEFINE_integer("max_batch", 256, most, 1, 2**31 - 1)
    signatures = "Which to export, such as log_prob,auxiliaries; all if unset."
    flags.DEFINE_list("signatures", None, signatures)
    flags.DEFINE_bool("jit", False, "XLA compiles the drawing, once for each batch size.")
    size = "The height and width, such as 512,768, of its images; of a model of images of any size."
    flags.DEFINE_list("image_size", None, size)
