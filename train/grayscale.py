"""Trains Grayscale PixelCNN (section 3.1): python -m train.grayscale --preset demo|small|cifar10.

--preset cifar10 is the paper's own run, 2.98 bits per dimension there, which has not been run to the end
here. Afterwards: python -m evaluate.bpd.
"""

from pixelcnn_aux.training import presets
from train import runner

if __name__ == "__main__":
    runner.run("grayscale", presets.GRAYSCALE)
