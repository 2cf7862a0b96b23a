"""Lists the trained models of the package: their purpose, and their bits per dimension on test images.

--workdir of the other commands and `pixelcnn_aux.load` take their names. `pixelcnn_aux.pretrained()` has all
their facts, such as the commands that trained them.
"""

import re

from pixelcnn_aux import summaries
from pixelcnn_aux.run_files import trained


def main():
    rows = [("model", "for", "trained on", "bits/dim")]
    for name, card in trained.pretrained().items():
        [images, *_] = re.split(r" \(| of |,", card["data"])
        rows.append((name, card["purpose"], images, f"{card['bits_per_dim']:.3f}"))
    print("\n".join(summaries.aligned(rows)))


def define_flags():
    """Defines nothing: the command has no flags."""
