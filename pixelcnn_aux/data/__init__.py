"""Images to train and to evaluate on: embedded photographs, CIFAR-10, CelebA, folders, arrays.

    images = data.load("photos", "train")
    for batch in images.training_batches(16, seed=0).take(1000):
        ...  # uint8 [16, 32, 32, 3]

A data set is a function in a file of its own, which `register` makes known: here, or anywhere else.
"""

from pixelcnn_aux.data import celeb_a, cifar10, folder, photos  # each registers its data set
from pixelcnn_aux.data.folder import read_image
from pixelcnn_aux.data.pipeline import Images, as_images, from_arrays
from pixelcnn_aux.data.registry import DATASETS, SPLITS, check_name, load, register
