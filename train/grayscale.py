"""Trains Grayscale PixelCNN (section 3.1): python -m train.grayscale --preset demo|small|cifar10.

The paper reaches 2.98 bits per dimension with --preset cifar10. Afterwards: python -m evaluate.bpd.
"""

from pixelcnn_aux import presets
from train import runner

if __name__ == "__main__":
    runner.run("grayscale", presets.GRAYSCALE)
