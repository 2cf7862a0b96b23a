"""Lists the trained models of the package: what they are for, and their bits per dimension of test images.

--workdir of the other commands takes their names, and so does `pixelcnn_aux.load`. All facts, such as the
commands that trained them, are in `pixelcnn_aux.pretrained()`.
"""

import re

from pixelcnn_aux import summaries
from pixelcnn_aux.runs import trained


def main():
    rows = [("model", "for", "trained on", "bits/dim")]
    for name, card in trained.pretrained().items():
        [images, *_] = re.split(r" \(| of |,", card["data"])
        rows.append((name, card["purpose"], images, f"{card['bits_per_dim']:.3f}"))
    print("\n".join(summaries.aligned(rows)))


def define_flags():
    """It has no flags of its own."""
