"""Converts the pyramid that the paper's authors published to a workdir.

python -m pixelcnn_aux.interop model.pickle --workdir runs/authors. Then evaluate it: pixelcnn-aux bpd.
The authors trained on a random 95 % of CelebA, including most of the official test split, so that its figures
are too good.
"""

from pixelcnn_aux.commands import process

if __name__ == "__main__":
    process.begin()

import hashlib
import re

from absl import flags

from pixelcnn_aux import interop
from pixelcnn_aux.base import disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.commands import program
from pixelcnn_aux.run_files.folder import RunFolder

FLAGS = flags.FLAGS
ARGUMENTS = ["FILE"]


def main(file):
    size = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", FLAGS.base_size)
    expect(size, "--base_size as a side or HxW", FLAGS.base_size, "Write it as 8 or 8x16")
    base_size = (int(size[1]), int(size[2] or size[1]))
    model = interop.authors_pyramid(interop.read_variables(file), base_size)
    run = RunFolder(FLAGS.workdir)
    digest = hashlib.sha256(disk.contents(file)).hexdigest()
    # The digest makes the folder reject another file.
    run.save_model(model, dataset="celeb_a", image_dir=None, sha256=digest)
    print(f"Wrote {run}, with the factors {', '.join(model.factors)}")


def define_flags():
    flags.DEFINE_string("workdir", None, "The folder to create.", required=True)
    flags.DEFINE_string("base_size", "8", "Size of the smallest images: a side, or HxW.")


if __name__ == "__main__":
    program.start()
