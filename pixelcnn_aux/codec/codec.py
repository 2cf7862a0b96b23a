"""Compresses images by a model, and gives them back to the last bit."""

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pixelcnn_aux.base import arguments, machine
from pixelcnn_aux.base.arguments import ArrayLike
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import check_images
from pixelcnn_aux.codec import container
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.tensors import fingerprint

# Images that are not as they were written: a file of 5 kB may have hundreds, of hours.
_MOST_NAMED = 16


class Codec:
    """A lossless codec of the images that a rounded model models, in about as many bits as it says they have.

    Everything is computed in whole numbers, so another codec with the same model reads the files of this one
    on any machine.

    Args:
      model: `AuxiliaryModel` of rounded factors, as `pixelcnn_aux.rounded` makes it, or of
        such a run. Images that contradict their auxiliary images are ruled out, where it can.
      name: str, the name of the model, which files contain.
      batch: int, how many images of one size are coded together, at most `container.MAX_BATCH`.

    Raises:
      ImportError: without constriction.
      ValueError: for a model that is not rounded, quantized or trained yet, and for another batch.
    """

    def __init__(self, model: AuxiliaryModel, name: str = "", batch: int = 64):
        arguments.instance("model", model, AuxiliaryModel).require(model.factors)
        factors = model.factors.values()
        floats = [factor.name for factor in factors if not factor.rounded]
        expect(
            not floats,
            "a model that computes with whole numbers, whose files decode anywhere",
            f"one with floats in {', '.join(floats)}",
            "Make one of a parallel pyramid by pixelcnn_aux.rounded, or take the trained model photographs",
        )
        expect(
            not (moved := [factor.name for factor in factors if not factor.quantized]),
            "factors whose weights are what they are rounded to",
            f"other weights of {', '.join(moved)}",
            "Call factor.quantize_weights() once they are trained",
        )
        from pixelcnn_aux.codec.coding import Coding  # with constriction

        self.model, self._name = model.with_exact(True), name  # exact where it can be
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
          images: uint8 [N, H, W, C] of the model's size; for a model of any size also a list of [H, W, C],
            each of its own.
          pictures: list of (name, H, W), if the images are pictures, or tiles of pictures as
            `container.cut` makes them: str and ints. The names are those of new files in one folder.
          progress: function that is called with the number of pixels done.
          extras: list of dict, one for each picture, of what else the file keeps: a kind of
            `container.EXTRAS` -> bytes.

        Raises:
          ValueError: for images of another dtype or shape, and for pictures or a name that no file can hold;
            before anything is coded, but for names that take far more bytes than that.
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
            pictures=list(pictures),
            streams=[],
            checksums=np.array([*map(_checksum, pixels)], np.uint32),
            extras=list(extras),
        )
        container.check(contents)
        sizes = [(height, width) for _, height, width in pictures]
        expect(
            size is not None or [image.shape[:2] for image in pixels] == sizes,
            "pictures (name, H, W) of the sizes of the images",
            "others",
            "Give one for each image",
        )
        done = _Progress(self.model, progress)
        for first in range(0, count, batch):
            part = np.stack(pixels[first : first + batch])
            words, bits = self._coding.encode(part, done.begin(len(part), part.shape[1:3]))
            contents.streams.append(words)
            for name in bits:
                contents.bits[name] += bits[name]
        return container.write(contents)

    def decompress(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> np.ndarray | list[np.ndarray]:
        """The images that `compress` was given, uint8 [N, H, W, C] or a list of [H, W, C]; as `decoded`."""
        return self.decompress_with_bits(data, progress)[0]

    def decompress_with_bits(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray | list[np.ndarray]]:
        """As `decompress`, and the bits of each pixel: float32 [N, H, W], or a list of [H, W]."""
        found, size = [*self.decoded(data, progress)], container.read(data).size
        images, bits = ([each[k] for each in found] for k in range(2))
        if size is None:
            return images, bits
        shape = (-1, *size)  # also of no image
        channels = self.model.likelihood.num_channels
        return (
            np.array(images, np.uint8).reshape(*shape, channels),
            np.array(bits, np.float32).reshape(shape),
        )

    def decoded(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields each image, uint8 [H, W, C], once it is decoded, and the bits of its pixels, float32 [H, W].

        These include their share of auxiliary pixels' bits. `progress` is called with the number of pixels
        done. Raises ValueError for a file that is damaged or of another model, and at the first image that is
        not as it was written: the machine that wrote it is described then.
        """
        contents = self._read(data)
        for number, found in enumerate(self._decoded(contents, progress)):
            if found is None:
                _refuse(contents, [number], "where decoding stops")
            yield found

    def verify(self, data: bytes, progress: Callable[[int], Any] = lambda count: None) -> None:
        """Raises ValueError as `decoded`, but names all images that are others, up to the first sixteen."""
        contents = self._read(data)
        found = enumerate(self._decoded(contents, progress))
        wrong = (number for number, image in found if image is None)
        if named := [*itertools.islice(wrong, _MOST_NAMED)]:
            more = ", where decoding stops" * (len(named) == _MOST_NAMED)
            _refuse(contents, named, f"{len(named)} of {contents.count}{more}")

    def _decoded(self, contents, progress):
        """Yields an image and its bits, as `decoded`, for each image of a file; None if it is another."""
        done = _Progress(self.model, progress)
        for position, words in enumerate(contents.streams):
            first = position * contents.batch
            expected = contents.checksums[first : first + contents.batch]
            count, size = len(expected), tuple(contents.size or contents.pictures[first][1:])
            found = self._coding.decode(words, count, size, done.begin(count, size))
            for checksum, each in itertools.zip_longest(expected, found):
                yield each if each and _checksum(each[0]) == checksum else None

    def _checked(self, images):
        """(images, the size that they share): an array and (H, W), or a list of arrays and None."""
        kind = self.model.likelihood.num_channels, self.model.likelihood.num_values
        model_size = self.model.image_size
        if model_size is None and isinstance(images, (list, tuple)):
            batches = [check_images(np.asarray(x)[np.newaxis], *kind) for x in images]
            return [np.asarray(batch)[0] for batch in batches], None
        images = np.asarray(check_images(images, *kind))
        size = images.shape[1:3]
        expected = f"images of the model's size, {model_size}"
        remedy = "Cut them into tiles of that size"
        expect(size == (model_size or size), expected, size, remedy)
        return images, size

    def _read(self, data):
        contents = container.read(data)
        size, found = self.model.image_size and list(self.model.image_size), contents.size
        name = contents.name or "unnamed"
        expect(
            contents.model == self.fingerprint and found == (size or found),
            f"a file of this model, {self.fingerprint[:12]}, of images of {size or 'any size'}",
            f"one of another, {name}, {contents.model[:12]}, of {found or 'any size'}",
            "Give the model that wrote it",
        )
        return contents


def _refuse(contents, numbers, what):
    names = [contents.pictures[k][0] if contents.size is None else f"number {k}" for k in numbers]
    raise ValueError(
        f"Expected images as they were written. Received: others on this machine, {what}: "
        f"{', '.join(names)}. This is an error of the package or of the machine: please report both.\n"
        f"Written by: {contents.machine}\nThis one:   {machine.describe()}"
    )


class _Progress:
    """Tells a function how many pixels of full images are done, batch after batch."""

    def __init__(self, model, function):
        self._model, self._function, self._before = model, function, 0

    def begin(self, count, size):
        """A function to be called with each number of pixels of factors that are coded of the next images."""
        before, pixels, coded = self._before, count * math.prod(size), 0
        total = count * sum(map(math.prod, self._model.sizes(size).values()))
        self._before += pixels

        def add(more):
            nonlocal coded
            coded += more
            self._function(before + round(pixels * coded / total))

        return add


def _checksum(image):
    """CRC-32 of the pixels of an image."""
    return zlib.crc32(np.ascontiguousarray(image))
