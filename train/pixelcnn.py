"""Trains plain PixelCNN++, the baseline: python -m train.pixelcnn --preset demo|small|medium|cifar10.

Salimans et al. (2017) reach 2.92 bits per dimension on CIFAR-10. Afterwards: python -m evaluate.bpd.
"""

from pixelcnn_aux.training import presets
from train import runner

if __name__ == "__main__":
    runner.run("pixelcnn", presets.PIXELCNN)
