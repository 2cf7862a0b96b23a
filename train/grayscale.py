"""Trains Grayscale PixelCNN (section 3.1): python -m train.grayscale --preset demo|small|cifar10.

The paper reaches 2.98 bits per dimension with --preset cifar10. Afterwards: python -m evaluate.bpd.
"""

import pixelcnn_aux as pa
from pixelcnn_aux import presets
from train import runner

if __name__ == "__main__":
    runner.run("grayscale", pa.grayscale, presets.GRAYSCALE, ["grayscale", "image"])
