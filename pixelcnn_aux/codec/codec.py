"""Lossless compression of images with a model."""

import functools
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, machine
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.image_checks import check_images
from pixelcnn_aux.codec import container
from pixelcnn_aux.codec.picture_files import check_extras
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files.tensors import fingerprint

# Differing images that `verify` names: a 5 kB file may hold hundreds, and take hours.
_MAX_NAMED = 16


class Codec:
    """Compresses images losslessly to about as many bits as a rounded model assigns them.

    All computations use integers, so files decode on any machine with the same model.

    Args:
      model: `AuxiliaryModel` of rounded factors, from `pixelcnn_aux.rounded` or a run of one. If possible,
        images that contradict their auxiliary image are ruled out.
      name: str, the model's name, stored in files.
      batch: int, the number of equally sized images coded together, at most `container.MAX_BATCH`.

    Raises:
      ImportError: without constriction.
      ValueError: for a model that is not rounded and trained, and for a batch out of range.
    """

    def __init__(self, model: AuxiliaryModel, name: str = "", batch: int = 64):
        arguments.instance("model", model, AuxiliaryModel).require(model.factors)
        factors = model.factors.values()
        floats = [factor.name for factor in factors if not factor.rounded]
        expect(
            not floats,
            "a model that computes with integers, whose files decode anywhere",
            f"floats in {', '.join(floats)}",
            "Make one from a parallel pyramid by pixelcnn_aux.rounded, or use the trained model photographs",
        )
        unrounded = [factor.name for factor in factors if not factor.has_rounded_weights]
        expect(
            not unrounded,
            "factors with weights of whole numbers",
            f"others, such as training leaves, in {', '.join(unrounded)}",
            "Call pixelcnn_aux.rounded(model), which rounds them",
        )
        from pixelcnn_aux.codec.coding import Coding  # needs constriction

        self.model = model.with_exact(True)  # if possible
        self._name = name
        self._batch = arguments.whole("batch", batch, 1, container.MAX_BATCH)
        self.fingerprint = fingerprint(self.model)
        self._coding = Coding(self.model)

    def compress(
        self,
        images: ArrayLike | Sequence[ArrayLike],
        *,
        pictures: Sequence[tuple[str, int, int]] = (),
        progress: Callable[[int], Any] = lambda count: None,
        extras: Sequence[dict[str, bytes]] = (),
    ) -> bytes:
        """Compresses images to the bytes of a file.

        Args:
          images: uint8, or uint16 above 8 bits, [N, H, W, C] of the model's size; for a model of any size
            also a list of [H, W, C] with different sizes.
          pictures: list of (name, H, W), str and ints, if the images are pictures, or tiles of pictures from
            `container.cut`. The names must be valid and unique as files in one folder.
          progress: function, called with the number of finished pixels.
          extras: list of dict, one per picture, with data to keep in the file: kind, one of
            `container.EXTRAS`, -> bytes.

        Raises:
          ValueError: for images of a wrong dtype or shape, and for pictures or a name that no file can hold;
            before coding, except for names that take far more bytes than the images.
        """
        pixels, size = self._checked(images)
        count = len(pixels)
        batch = 1 if size is None else min(self._batch, max(count, 1))
        if size is None and not pictures:
            pictures = [(f"{k:05}.png", *image.shape[:2]) for k, image in enumerate(pixels)]
        contents = container.Contents(
            model=self.fingerprint,
            name=self._name,
            size=size and list(size),
            count=count,
            batch=batch,
            bits=dict.fromkeys(self.model.factors, 0),
            machine=machine.describe(),
            pictures=list(pictures) if isinstance(pictures, Sequence) else pictures,
            streams=[],
            checksums=np.array([*map(_checksum, pixels)], np.uint32),
            extras=list(extras) if isinstance(extras, Sequence) else extras,
        )
        container.check(contents)
        for (_, *shape), each in zip(pictures, extras):
            check_extras(each, tuple(shape))
        sizes = [(height, width) for _, height, width in pictures]
        expect(
            size is not None or [image.shape[:2] for image in pixels] == sizes,
            "pictures (name, H, W) with the images' sizes",
            "other sizes",
            "Give one for each image",
        )
        tracker = _Progress(self.model, progress)
        for first in range(0, count, batch):
            part = np.stack(pixels[first : first + batch])
            words, bits = self._coding.encode(part, tracker.of_size(part.shape[1:3]))
            contents.streams.append(words)
            for name in bits:
                contents.bits[name] += bits[name]
        return container.write(contents)

    def decompress(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> np.ndarray | list[np.ndarray]:
        """Restores the images passed to `compress`: uint8 or uint16 [N, H, W, C] or a list of [H, W, C].

        Arguments and errors are those of `decoded`.
        """
        return self.decompress_with_bits(data, progress)[0]

    def decompress_with_bits(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray | list[np.ndarray]]:
        """Like `decompress`, plus the bits of each pixel: float32 [N, H, W] or a list of [H, W]."""
        decoded = [*self.decoded(data, progress)]
        images = [image for image, _ in decoded]
        bits = [pixel_bits for _, pixel_bits in decoded]
        size = container.read(data).size
        if size is None:
            return images, bits
        shape = (-1, *size)  # there may be no images
        channels = self.model.likelihood.num_channels
        dtype = arguments.pixel_dtype(self.model.likelihood.num_values)
        return (
            np.array(images, dtype).reshape(*shape, channels),
            np.array(bits, np.float32).reshape(shape),
        )

    def decoded(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields each decoded image, uint8 or uint16 [H, W, C], with the bits of its pixels, float32 [H, W].

        A pixel's bits include its share of auxiliary images' bits. `progress` is called with the number of
        finished pixels. Raises ValueError for a file that is damaged or of another model, and at the first
        image that fails its checksum; the message describes the machine that wrote the file.
        """
        contents = self._read(data)
        for number, decoded in enumerate(self._decoded(contents, progress)):
            if decoded is None:
                _raise_mismatch(contents, [number], "where decoding stops")
            yield decoded

    def verify(self, data: bytes, progress: Callable[[int], Any] = lambda count: None) -> None:
        """Decodes a file; raises ValueError as `decoded`, naming up to 16 images that fail their checksum."""
        contents = self._read(data)
        decoded = enumerate(self._decoded(contents, progress))
        failed = (number for number, image in decoded if image is None)
        if named := [*itertools.islice(failed, _MAX_NAMED)]:
            more = ", where decoding stops" * (len(named) == _MAX_NAMED)
            _raise_mismatch(contents, named, f"{len(named)} of {contents.count}{more}")

    def _decoded(self, contents, progress):
        """Yields (image, bits) like `decoded`, or None for an image that fails its checksum."""
        tracker = _Progress(self.model, progress)
        for position, words in enumerate(contents.streams):
            first = position * contents.batch
            checksums = contents.checksums[first : first + contents.batch]
            count = len(checksums)
            size = tuple(contents.size or contents.pictures[first][1:])
            decoded = self._coding.decode(words, count, size, tracker.of_size(size))
            for checksum, pair in itertools.zip_longest(checksums, decoded):
                yield pair if pair and _checksum(pair[0]) == checksum else None

    def _checked(self, images):
        """Checks images: (array, their size (H, W)), or (list of arrays, None)."""
        depth = self.model.likelihood.num_channels, self.model.likelihood.num_values
        model_size = self.model.image_size
        if model_size is None and isinstance(images, (list, tuple)):
            batches = [check_images(np.asarray(x)[np.newaxis], *depth) for x in images]
            return [np.asarray(batch)[0] for batch in batches], None
        images = np.asarray(check_images(images, *depth))
        size = images.shape[1:3]
        expected = f"images of the model's size, {model_size}"
        remedy = "Cut them into tiles of that size"
        expect(size == (model_size or size), expected, size, remedy)
        return images, size

    def _read(self, data):
        contents = container.read(data)
        size = self.model.image_size and list(self.model.image_size)
        name = contents.name or "unnamed"
        expect(
            contents.model == self.fingerprint and size in (None, contents.size),
            f"a file of this model, {self.fingerprint[:12]}, of images of {size or 'any size'}",
            f"one of {name}, {contents.model[:12]}, of {contents.size or 'any size'}",
            "Give the model that wrote it",
        )
        return contents


def _raise_mismatch(contents, numbers, extent):
    names = [contents.pictures[k][0] if contents.size is None else f"number {k}" for k in numbers]
    raise ValueError(
        "Expected images as they were written. Received: decoded pixels that fail their checksum, "
        f"{extent}: {', '.join(names)}. This is an error of the package or of the machine: please report "
        f"both.\nWritten by: {contents.machine}\nThis one:   {machine.describe()}"
    )


class _Progress:
    """Reports the number of finished pixels of full images."""

    def __init__(self, model, report):
        self._model, self._report, self._pixels = model, report, 0.0

    def of_size(self, size):
        """A function to call with numbers of coded pixels of factors, for images of a size."""
        factor_pixels = sum(map(math.prod, self._model.sizes(size).values()))
        return functools.partial(self._add, math.prod(size) / factor_pixels)

    def _add(self, share, coded):
        self._pixels += share * coded
        self._report(round(self._pixels))


def _checksum(image):
    """The CRC-32 of an image's pixels."""
    return zlib.crc32(np.ascontiguousarray(image))
