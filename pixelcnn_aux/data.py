"""Images to train and to evaluate on: embedded photographs, CIFAR-10, CelebA, folders.

    images = data.load("photos", "train")
    for batch in images.training_batches(16, seed=0).take(1000):
        ...  # uint8 [16, 32, 32, 3]

A data set is a loader in the table at the end of this file: a function of (split, image_size,
data_dir, image_dir) that returns `Images`.
"""

import hashlib
import importlib.util
import math
import multiprocessing.pool
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl import logging

from pixelcnn_aux import auxiliary

SPLITS = ("train", "validation", "test")

# Whole scenes are held out; the two motorcycle pictures are one scene, from two viewpoints.
_PHOTOS = {
    "train": (
        "astronaut.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "rocket.jpg",
        "hubble_deep_field.jpg",
        "ihc.png",
        "retina.jpg",
    ),
    "validation": ("coffee.png",),
    "test": ("chelsea.png",),
}
_PHOTO_SIDES = (256, 128)  # the two scales: pixels along a photograph's shorter side

_CIFAR10_SPLITS = {"train": "train[:-1000]", "validation": "train[-1000:]", "test": "test"}

_CELEB_A_SIZE = (218, 178)  # of the official aligned images: (height, width)
_CELEB_A_SIDES = tuple(128 // 2**k for k in range(8))  # the paper's crop, and its halvings

# By a hash of the file's name: 95 % against 5 %, the validation images out of the 95 %.
_PERCENT = {"test": range(5), "validation": range(5, 7), "train": range(7, 100)}
_SUFFIXES = (".png", ".jpg", ".jpeg")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_MAX_PIXELS = 2**26  # 200 MB decoded, one per core: a small file can claim far more than that
_MAX_KEPT = 2**30  # bytes of a split's pixels: all of CelebA at 32 x 32, half of it at 64 x 64


class Images:
    """One split of a data set, as batches of uint8 images.

    Attributes:
      num_images: how many images the split has.
      image_size: their (H, W).
      skipped: tuple of the names of files left out: they do not decode, or have another size.
    """

    def __init__(self, num_images, image_size, read, skipped=()):
        self.num_images = num_images
        self.image_size = tuple(image_size)
        self.skipped = tuple(skipped)
        self.source = {"dataset": None, "image_dir": None}
        self._read = read  # traced: int64 index below num_images -> uint8 [H, W, 3]

    def batches(self, batch_size, num_images=None):
        """The images once, in a fixed order: a data set of uint8 [b, H, W, 3].

        Every b is `batch_size` but the last, which has what is left. `num_images` stops after
        the first so many images.
        """
        indices = tf.data.Dataset.range(self.num_images)
        if num_images is not None:
            indices = indices.take(num_images)
        images = indices.map(self._read, tf.data.AUTOTUNE, deterministic=True)
        return images.batch(batch_size).prefetch(tf.data.AUTOTUNE).with_options(_options())

    def training_batches(self, batch_size, seed, first_step=0, flip=True):
        """Shuffled and randomly flipped batches for ever: a data set of uint8 [batch_size, H, W, 3].

        Every epoch is a new permutation of all images, and a batch may span two epochs. Batch t
        is a function of (seed, t) alone, so that `first_step` goes on where a run stopped: it
        equals `.skip(first_step)` but reads nothing of what is skipped.
        """
        first_epoch, offset = divmod(first_step * batch_size, self.num_images)

        def epoch(number):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.num_images, dtype=tf.int64), seed=[seed, 2 * number], alg="philox"
            )
            uniforms = tf.random.stateless_uniform(
                [self.num_images], seed=[seed, 2 * number + 1], alg="philox"
            )
            return order, uniforms < 0.5

        def read(index, flip):
            image = self._read(index)
            return tf.where(flip, image[:, ::-1], image)

        # Nothing is computed of the epochs before the first step's, and of its own only the order.
        # (`index_shuffle` would need no order at all, but knows only 256 of them per seed.)
        order = tf.data.Dataset.counter(first_epoch).map(epoch).unbatch().skip(offset)
        images = order.map(read, tf.data.AUTOTUNE, deterministic=True)
        images = images.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
        return images.with_options(_options())


def as_images(images):
    return images if isinstance(images, Images) else _in_memory(images)


def load(name, split, image_size=(32, 32), data_dir=None, image_dir=None):
    """Opens one split of a data set.

    Args:
      name: one of `DATASETS`.
      split: one of `SPLITS`.
      image_size: (H, W) of the images.
      data_dir: where TFDS keeps its data sets, for `cifar10` and `celeb_a`; None is TFDS's own
          default.
      image_dir: the folder of images, for `folder`, and for `celeb_a` where TFDS has not prepared
          it: that of the official aligned JPEGs.

    Returns:
      `Images`.

    Raises:
      ValueError: an unknown data set or split, an image size that the data set does not have,
          a missing or superfluous `image_dir`, a split with no image to use.
      FileNotFoundError: no such folder, or a data set that is neither here nor to be had.
      ImportError: `photos` without scikit-image.
    """
    if name not in DATASETS:
        raise ValueError(f"Expected a data set of {', '.join(DATASETS)}, received {name!r}.")
    if split not in SPLITS:
        raise ValueError(f"Expected a split of {', '.join(SPLITS)}, received {split!r}.")
    if name == "folder" and image_dir is None:
        raise ValueError(
            "Expected a folder of images for the data set 'folder', received none; give image_dir."
        )
    if name not in ("folder", "celeb_a") and image_dir is not None:
        raise ValueError(
            f"Expected no image_dir for the data set {name!r}, received {str(image_dir)!r}; "
            "leave it out, or choose the data set 'folder' or 'celeb_a'."
        )
    return _LOADERS[name](split, image_size, data_dir, image_dir)


def read_image(path, image_size):
    """The pixels of one image file, center-cropped and resized as those of the data set `folder`.

    Args:
      path: of a PNG or JPEG file.
      image_size: (H, W) of the image.

    Returns:
      uint8 [H, W, 3].

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that is no whole PNG or JPEG of at most 2**26 pixels.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected an image file, received {path}, which does not exist; give another path."
        )
    checked = _check(path, lambda image: _fit(image, image_size))
    if checked is None:
        raise ValueError(
            f"Expected a whole PNG or JPEG file of at most {_MAX_PIXELS} pixels, received {path}, "
            "which is none; give another file."
        )
    return checked[0]


def _options():
    """What all pipelines run with: tf.data's rewriting keeps a copy of every tensor they capture."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return options


def _in_memory(pixels, skipped=()):
    """`Images` of uint8 [N, H, W, 3], an array or a tensor, which the pipelines capture."""
    with tf.device("CPU"):  # where tf.data gathers from it
        pixels = tf.convert_to_tensor(pixels)
    return Images(len(pixels), pixels.shape[1:3], lambda index: pixels[index], skipped)


def _fits_in_memory(num_images, image_size):
    return num_images * math.prod(image_size) * 3 <= _MAX_KEPT


def _photos(split, image_size, data_dir, image_dir):
    """Crops, at two scales, of the photographs inside the installed scikit-image."""
    del data_dir, image_dir
    skimage = importlib.util.find_spec("skimage")
    if skimage is None:
        raise ImportError(
            "Expected scikit-image for its photographs, received no such package; "
            "do pip install 'pixelcnn_aux[photos]', or choose another data set."
        )
    if max(image_size) > min(_PHOTO_SIDES):
        raise ValueError(
            f"Expected an image size of at most {min(_PHOTO_SIDES)} x {min(_PHOTO_SIDES)} for the "
            f"data set 'photos', received {tuple(image_size)}; choose another data set."
        )
    folder = pathlib.Path(skimage.submodule_search_locations[0]) / "data"
    # Only training gains from crops that overlap; elsewhere each pixel counts once per scale.
    stride = [side // 4 if split == "train" else side for side in image_size]
    crops = []
    for name in _PHOTOS[split]:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"Expected the photograph {name} inside scikit-image, received none in {folder}; "
                "do pip install --upgrade 'pixelcnn_aux[photos]'."
            )
        photo = _decode((folder / name).read_bytes())
        for side in _PHOTO_SIDES:
            scale = side / min(photo.shape[:2])
            scaled = _resize(photo, [round(scale * length) for length in photo.shape[:2]]).numpy()
            windows = np.lib.stride_tricks.sliding_window_view(scaled, image_size, axis=(0, 1))
            windows = windows[:: stride[0], :: stride[1]]  # [rows, columns, 3, H, W]
            crops.append(np.moveaxis(windows, 2, -1).reshape(-1, *image_size, 3))
    return _in_memory(np.concatenate(crops))


def _cifar10(split, image_size, data_dir, image_dir):
    """CIFAR-10 through TFDS; validation is the last 1000 of the official training images."""
    del image_dir
    if tuple(image_size) != (32, 32):
        raise ValueError(
            f"Expected an image size of (32, 32) for the data set 'cifar10', received "
            f"{tuple(image_size)}; choose a preset of that size, or another data set."
        )
    import tensorflow_datasets as tfds  # here, since it is slow and the others need none of it

    builder = _prepared(tfds, data_dir)
    batches = _examples(tfds, builder, _CIFAR10_SPLITS[split], batch_size=1000)
    return _in_memory(np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()]))


def _examples(tfds, builder, split, **options):
    """The examples of a prepared TFDS data set, in its order. Options: of `as_dataset`."""
    # One file at a time and nothing shuffled: the order is that of the files.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))  # TFDS tells at length what it opens
    try:
        return builder.as_dataset(split=split, read_config=config, **options)
    finally:
        logging.set_verbosity(verbosity)


def _prepared(tfds, data_dir):
    """TFDS's CIFAR-10, downloaded first where it is not there yet."""
    builder = tfds.builder("cifar10", data_dir=data_dir)
    if builder.is_prepared():
        return builder
    import requests  # what TFDS downloads with

    target = pathlib.Path(builder.data_path)
    try:
        for url in builder.url_infos:
            requests.head(url, timeout=10)  # with no network TFDS itself retries for minutes
        # Prepared beside its place and moved there whole: a failure leaves nothing behind.
        beside = next(folder for folder in target.parents if folder.is_dir())
        with tempfile.TemporaryDirectory(dir=beside) as temporary:
            download = tfds.builder("cifar10", data_dir=temporary)
            download.download_and_prepare()
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(download.data_path, target)
    except Exception as error:  # whatever TFDS and the network come up with
        raise FileNotFoundError(
            f"Expected a prepared CIFAR-10 in {target}, received none, and its download failed "
            f"({type(error).__name__}: {error}); do tfds build cifar10 on a machine with a network "
            "and copy the folder here, give --data_dir where it is elsewhere, or do without: "
            "--dataset photos, --dataset folder."
        ) from error
    return tfds.builder("cifar10", data_dir=data_dir)


def _celeb_a(split, image_size, data_dir, image_dir):
    """CelebA, cropped as in the paper and halved: a folder of its aligned JPEGs, or TFDS's."""
    sizes = [(side, side) for side in _CELEB_A_SIDES]
    if tuple(image_size) not in sizes:
        raise ValueError(
            f"Expected an image size of {', '.join(map(str, sizes))} for the data set 'celeb_a', "
            f"received {tuple(image_size)}; choose a preset of such a size, or another data set."
        )

    def fit(image):
        images = tf.ensure_shape(image, [*_CELEB_A_SIZE, 3])[None, 50:-40, 25:-25]
        while images.shape[1] > image_size[0]:
            images = auxiliary.HalfResolution()(images)
        return images[0]

    if image_dir is not None:
        height, width = _CELEB_A_SIZE
        kind = f"of {width} x {height} pixels (width x height)"
        return _files(split, image_size, image_dir, fit, kind)

    import tensorflow_datasets as tfds  # here, as in `_cifar10`

    builder = tfds.builder("celeb_a", data_dir=data_dir)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"Expected a prepared CelebA in {builder.data_path}, received none, and its download "
            "is mostly over its quota; give --image_dir, a folder of the official aligned JPEGs "
            "(img_align_celeba), or do tfds build celeb_a and give --data_dir where it is "
            "elsewhere, or do without: --dataset photos, --dataset folder."
        )
    decoders = {"image": tfds.decode.SkipDecoding()}  # `_decode` is nearer to the original
    examples = _examples(tfds, builder, split, decoders=decoders)  # official splits, same names
    files = examples.map(lambda example: example["image"])
    num_images = builder.info.splits[split].num_examples
    if _fits_in_memory(num_images, image_size):
        images = files.map(lambda file: fit(_decode(file)), tf.data.AUTOTUNE)
        return _in_memory(images.batch(num_images).get_single_element())
    with tf.device("CPU"):
        files = files.batch(num_images).get_single_element()  # 1.4 GB, whatever the image size
    return Images(num_images, image_size, lambda index: fit(_decode(files[index])))


def _folder(split, image_size, data_dir, image_dir):
    """All PNG and JPEG files under a folder, center-cropped and resized, split by their names."""
    del data_dir
    kind = f"of at most {_MAX_PIXELS} pixels"
    return _files(split, image_size, image_dir, lambda image: _fit(image, image_size), kind)


def _files(split, image_size, image_dir, fit, kind):
    """All PNG and JPEG files under a folder that are of some kind, split by their names.

    Args:
      split, image_size, image_dir: as in `load`.
      fit: traced, uint8 [h, w, 3] -> uint8 [H, W, 3]; raises `tf.errors.OpError` for another
          kind of image.
      kind: str, how messages call the files that are used.
    """
    image_dir = pathlib.Path(image_dir).expanduser()
    if not image_dir.is_dir():
        raise FileNotFoundError(
            f"Expected a folder of images, received {image_dir}, which is none; "
            "give an image_dir that exists."
        )
    found = [path for path in image_dir.rglob("*") if path.suffix.lower() in _SUFFIXES]
    found = sorted(path for path in found if not path.is_dir())
    paths = [path for path in found if _percentile(path.name) in _PERCENT[split]]

    fit = tf.function(fit, [tf.TensorSpec([None, None, 3], tf.uint8)])  # half the time of eager
    # To check a file is to decode it, which costs more than to train a tiny network on it.
    in_memory = _fits_in_memory(len(paths), image_size)
    pixels = np.empty((len(paths) if in_memory else 0, *image_size, 3), np.uint8)
    good, skipped = [], []  # (path, fingerprint); names
    with multiprocessing.pool.ThreadPool() as pool:  # TensorFlow decodes without Python's lock
        checks = pool.imap(lambda path: _check(path, fit), paths, chunksize=16)
        for path, checked in zip(paths, checks):
            if checked is None:
                skipped.append(path.relative_to(image_dir).as_posix())
            else:
                image, fingerprint = checked
                if in_memory:
                    pixels[len(good)] = image
                good.append((os.fsencode(path), fingerprint))
            done = len(good) + len(skipped)
            logging.log_every_n_seconds(
                logging.INFO, "Checked %d of %d image files of %s", 5, done, len(paths), image_dir
            )
    if skipped:
        logging.warning(
            "Left out %d of %d %s files of %s, which are no whole PNG or JPEG %s: %s",
            *(len(skipped), len(paths), split, image_dir, kind, ", ".join(skipped)),
        )
    if not good:
        raise ValueError(
            f"Expected PNG or JPEG files {kind} in {image_dir} for the split {split!r}, which takes "
            f"{len(_PERCENT[split])} % of the file names, received {len(found)} files with "
            f"{len(paths)} in that split and {len(skipped)} of those left out; add images, or give "
            "another image_dir."
        )
    if in_memory:
        return _in_memory(pixels[: len(good)], skipped)
    with tf.device("CPU"):
        files, fingerprints = map(tf.constant, zip(*good))

    def read(index):
        contents = tf.io.read_file(files[index])
        # What is decoded here is what has been checked, or the run ends with the file's name.
        unchanged = tf.debugging.Assert(
            tf.equal(_fingerprint(contents), fingerprints[index]),
            ["Expected an image file as it was at the start, received another:", files[index]],
        )
        with tf.control_dependencies([unchanged]):
            return fit(_decode(contents))

    return Images(len(good), image_size, read, skipped)


def _percentile(name):
    """0 to 99 by a file's name alone: the same wherever its folder lies and Python runs."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % 100


def _check(path, fit):
    """(Pixels, fingerprint) of an image file that decodes to the end and fits, None of any other."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        contents = path.read_bytes()
        if contents.startswith(_PNG):
            height, width = contents[20:24], contents[16:20]
            num_pixels = int.from_bytes(height, "big") * int.from_bytes(width, "big")
        elif contents.startswith(_JPEG):
            height, width, _ = tf.image.extract_jpeg_shape(contents).numpy()
            num_pixels = int(height) * int(width)
        else:
            return None
        if num_pixels > _MAX_PIXELS:
            return None
        return fit(_decode(contents)).numpy(), _fingerprint(contents).numpy()
    except (OSError, tf.errors.OpError):
        return None


def _fingerprint(contents):
    return tf.strings.to_hash_bucket_fast(contents, 2**63 - 1)


def _decode(contents):
    """The bytes of a PNG or JPEG file of any kind -> uint8 [h, w, 3]; alpha is dropped."""
    # This reads PNG just as well. TensorFlow's default is a faster transform, up to 7 levels off.
    return tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")


def _fit(image, image_size):
    """uint8 [h, w, 3] -> uint8 [H, W, 3]: the largest centered crop of that aspect, resized."""
    height, width = image_size
    shape = tf.shape(image, tf.int64)
    crop_height = tf.clip_by_value(shape[1] * height // width, 1, shape[0])
    crop_width = tf.clip_by_value(shape[0] * width // height, 1, shape[1])
    top, left = (shape[0] - crop_height) // 2, (shape[1] - crop_width) // 2
    crop = image[top : top + crop_height, left : left + crop_width]
    return _resize(tf.ensure_shape(crop, [None, None, 3]), image_size)


def _resize(image, image_size):
    """Area resizing: every pixel is the mean of those that it covers."""
    return tf.cast(tf.round(tf.image.resize(image, image_size, "area")), tf.uint8)


_LOADERS = {"photos": _photos, "cifar10": _cifar10, "celeb_a": _celeb_a, "folder": _folder}
DATASETS = tuple(_LOADERS)
