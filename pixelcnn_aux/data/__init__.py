"""Images for training and evaluation: bundled photographs, CIFAR-10, CelebA, folders, arrays.

    images = data.load("photos", "train")
    for batch in images.training_batches(16, seed=0):  # endless
        ...  # uint8 [16, 32, 32, 3], a NumPy array

A data set is a function in its own file, here or anywhere else, added by `register`. Everything uses NumPy
and Pillow; only TFDS data sets import TensorFlow.
"""

# Each of these modules registers its data set.
from pixelcnn_aux.data import array_files, celeb_a, cifar10, image_folder, photos
from pixelcnn_aux.data.image_folder import read_image as read_image
from pixelcnn_aux.data.images import (
    Images as Images,
    as_images as as_images,
    from_arrays as from_arrays,
)
from pixelcnn_aux.data.registry import (
    CLASS_NAMES as CLASS_NAMES,
    DATASETS as DATASETS,
    SPLITS as SPLITS,
    check_kind as check_kind,
    class_names as class_names,
    load as load,
    register as register,
)
from pixelcnn_aux.data.training_batches import Prefetched as Prefetched
