"""Trains Pyramid PixelCNN (section 3.2): python -m train.pyramid --preset demo|small|medium|cifar10.

Of faces with --preset small_celeba|celeba, and with --preset grayscale_pyramid_demo|grayscale_pyramid a
pyramid of grays, with colors given the largest. --preset cifar10 is the paper's own run, 3.32 bits per
dimension there, which has not been run to the end here. Afterwards: python -m evaluate.bpd.
"""

from pixelcnn_aux.training import presets
from train import runner

if __name__ == "__main__":
    runner.run("pyramid", presets.PYRAMID)
