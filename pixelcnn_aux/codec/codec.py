"""Compresses images by a model, and gives them back to the last bit."""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pixelcnn_aux import arguments, backend, machine
from pixelcnn_aux.arguments import ArrayLike
from pixelcnn_aux.codec import container
from pixelcnn_aux.inputs import check_images
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.rounded_factor import RoundedFactor
from pixelcnn_aux.runs.tensors import fingerprint


class Codec:
    """A lossless codec of the images that a model models, by about as many bits as it says they have.

    Another codec with the same model reads the files of this one on a machine that computes alike, or refuses
    them. A model in float64 writes files that other processors agree on.

    Args:
      model: `AuxiliaryModel`. Images that contradict their auxiliary images are ruled out, where it can.
      name: str, what the model is called, which files tell.
      batch: int, how many images are coded together, at most `container.MAX_BATCH`.

    Raises:
      RuntimeError: under another backend than TensorFlow, for a model that is not rounded.
      ValueError: where a factor is not trained yet or in mixed precision, or for another batch; for a model
        of any size or in groups that is not rounded, or whose weights are not settled.
    """

    def __init__(self, model: AuxiliaryModel, name: str = "", batch: int = 64):
        arguments.instance("model", model, AuxiliaryModel).require(model.factors)
        for factor in model.factors.values():
            factor.check_scannable()
        self._size = model.image_size
        self.model, self._name = model.with_exact(True), name  # exact where it can be
        self._batch = arguments.whole("batch", batch, 1, container.MAX_BATCH)
        self.fingerprint = fingerprint(self.model)
        *_, full = self.model.factors.values()
        self._dtype, self._coding = full.variable_dtype, _coding(self.model)

    def compress(
        self,
        images: ArrayLike | Sequence[ArrayLike],
        condition: ArrayLike | None = None,
        pictures: Sequence[tuple[str, int, int]] = (),
        progress: Callable[[int], Any] = lambda count: None,
        extras: Sequence[dict[str, bytes]] = (),
    ) -> bytes:
        """Compresses images to the bytes of a file.

        Args:
          images: uint8 or uint16 [N, H, W, C] of the model's size; for a model of any size also a list of
            [H, W, C], each of its own.
          condition: as for `AuxiliaryModel.log_prob`. It is part of the file: a class takes log2(K + 1) bits,
            each number of a vector 32.
          pictures: list of (name, H, W) of the pictures that they are, or are tiles of, if they are: str and
            ints. The names are those of new files in one folder, each once.
          progress: function that is called with the number of pixels done.
          extras: list of dict, what else is kept of each of the pictures: a kind of `container.EXTRAS` ->
            bytes.

        Raises:
          ValueError: for images or a condition of another dtype or shape, and for pictures or a name that no
            file can hold; before anything is coded, but for names that take far more bytes than that.
          NotImplementedError: for a likelihood that does not tell the probabilities of a channel's values
            (`Likelihood.value_log_probs`).
        """
        pixels, size = self._checked(images)
        count = len(pixels)
        condition = self.model.checked_condition(condition, count)
        condition = None if condition is None else np.asarray(condition)
        batch = 1 if size is None else min(self._batch, max(count, 1))
        if size is None and not pictures:
            pictures = [(f"{k:05}.png", *image.shape[:2]) for k, image in enumerate(pixels)]
        contents = container.Contents(
            model=self.fingerprint,
            name=self._name,
            dtype=self._dtype,
            size=size and list(size),
            count=count,
            batch=batch,
            bits=dict.fromkeys(self._coding.names, 0),
            machine=machine.describe(),
            pictures=list(pictures),
            streams=[],
            checksums=checksums(pixels),
            extras=list(extras),
        )
        container.check(contents)
        if size is None and [x.shape[:2] for x in pixels] != [(h, w) for _, h, w in pictures]:
            raise ValueError(
                "Expected pictures (name, H, W) of the sizes of the images. Received: others. Give one for "
                "each image."
            )
        done = _Done(progress)
        for first in range(0, count, batch):
            which = slice(first, first + batch)
            part = pixels[which] if size else np.stack(pixels[which])
            known = None if condition is None else condition[which]
            words, bits = self._coding.encode(part, known, batch, done.begin(part.shape))
            contents.streams.append(words)
            for name in bits:
                contents.bits[name] += bits[name]
        return container.write(contents)

    def _checked(self, images):
        """(images, the size that they share): an array and (H, W), or a list of arrays and None."""
        kind = self.model.likelihood.num_channels, self.model.likelihood.num_values
        if self._size is None and isinstance(images, (list, tuple)):
            return [
                np.asarray(check_images(np.asarray(x)[np.newaxis], *kind))[0] for x in images
            ], None
        images = np.asarray(check_images(images, *kind))
        size = images.shape[1:3]
        if size != (self._size or size):
            raise ValueError(
                f"Expected images of the model's size, {self._size}. Received: {size}. "
                "Cut them into tiles of that size."
            )
        return images, size

    def decompress(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> np.ndarray | list[np.ndarray]:
        """The images of the bytes that `compress` gave, as it took them; `progress` likewise.

        They are uint8 or uint16 [N, H, W, C], or a list of [H, W, C].

        Raises:
          ValueError: for a file that is damaged, of another model, or that this machine cannot decode; the
            one that wrote it is described then. No image is returned that is not as it was.
          NotImplementedError: as `compress`.
        """
        return self.decompress_with_bits(data, progress)[0]

    def decompress_with_bits(
        self, data: bytes, progress: Callable[[int], Any] = lambda count: None
    ) -> tuple[np.ndarray | list[np.ndarray], np.ndarray | list[np.ndarray]]:
        """As `decompress`, and where the bits went.

        These are float32 [N, H, W], or a list of [H, W]: the bits of each pixel, and its share of those of
        the auxiliary images' pixels that it is part of.
        """
        contents, done = self._read(data), _Done(progress)
        images: list[Any] = []
        bits: list[Any] = []
        failed: list[int] = []
        for position, words in enumerate(contents.streams):
            first = position * contents.batch
            expected = contents.checksums[first : first + contents.batch]
            size = tuple(contents.size or contents.pictures[first][1:])
            report = done.begin((len(expected), *size))
            if decoded := self._coding.decode(words, len(expected), contents.batch, size, report):
                images += [*decoded[0]]
                bits += [*decoded[1]]
                wrong = checksums(decoded[0]) != expected
                failed += (first + np.flatnonzero(wrong)).tolist()
            else:
                failed += range(first, first + len(expected))
        if failed:
            shown = ", ".join(map(str, failed[:5])) + (", ..." if len(failed) > 5 else "")
            remedy = ", or write it in float64" if contents.dtype == "float32" else ""
            raise ValueError(
                f"Expected images as they were written. Received: {len(failed)} of {contents.count} that "
                f"decode otherwise on this machine ({shown}). Decode the file on one like that which wrote "
                f"it{remedy}.\nWritten by: {contents.machine}\nThis one:   {machine.describe()}"
            )
        if contents.size is None:
            return images, bits
        likelihood = self.model.likelihood
        dtype = arguments.pixel_dtype(likelihood.num_values)
        none = np.zeros([0, *contents.size, likelihood.num_channels], dtype)
        if not images:
            return none, none[..., 0].astype(np.float32)
        return np.stack(images), np.stack(bits)

    def condition(self, data: bytes) -> np.ndarray | None:
        """What `compress` was given beside the images, [N, ...]; None by a model without a condition.

        Raises ValueError for a file that is damaged or of another model.
        """
        contents, kind = self._read(data), self.model.condition
        if kind is None:
            return None
        parts = [kind.unknown(0)]
        for first, words in zip(range(0, contents.count, contents.batch), contents.streams):
            count = min(contents.batch, contents.count - first)
            parts.append(self._coding.condition(words, count))
        return np.concatenate(parts)

    def _read(self, data):
        """The `Contents` of a file. Raises ValueError for a damaged one, and one of another model."""
        contents = container.read(data)
        if contents.dtype != self._dtype:
            raise ValueError(
                f"Expected a file of a model in {self._dtype}. Received: one in {contents.dtype}. Give the "
                f'model in that dtype: pixelcnn_aux.load(..., dtype="{contents.dtype}").'
            )
        size = self._size and list(self._size)
        if contents.model != self.fingerprint or contents.size != (size or contents.size):
            raise ValueError(
                f"Expected a file of this model, {self.fingerprint[:12]}, of images of {size or 'any size'}. "
                f"Received: one of another, {contents.name or 'unnamed'}, {contents.model[:12]}, of "
                f"{contents.size or 'any size'}. Give the model that wrote it."
            )
        return contents


class _Done:
    """Tells how many pixels are done, batch after batch.

    Args:
      progress: function of that number.
    """

    def __init__(self, progress):
        self._progress, self._before = progress, 0

    def begin(self, shape):
        """A function of the part of the next images [N, H, W, ...] that is done, to be called up to 1."""
        before, pixels = self._before, math.prod(shape[:3])
        self._before += pixels
        return lambda part: self._progress(before + round(part * pixels))


def _coding(model):
    """What codes the images of a model."""
    rounded = [isinstance(factor, RoundedFactor) for factor in model.factors.values()]
    if all(rounded):
        moved = [factor.name for factor in model.factors.values() if not factor.settled]
        if moved:
            raise ValueError(
                "Expected factors whose weights are what they are rounded to. Received: other weights of "
                f"{', '.join(moved)}. Call factor.settle() once they are trained."
            )
        from pixelcnn_aux.codec.group_coding import GroupCoding  # with constriction

        return GroupCoding(model)
    in_groups = any(factor.network.side > 1 for factor in model.factors.values())
    if any(rounded) or in_groups or model.image_size is None:
        raise ValueError(
            "Expected a model of images of one size whose factors go pixel by pixel, or one of rounded "
            f"factors. Received: {model!r:.80}. Compress by another one, such as a pyramid, or by what "
            "pixelcnn_aux.rounded makes of it."
        )
    backend.require_tensorflow("the codec")
    from pixelcnn_aux.codec.coding import Coding  # with TensorFlow and constriction

    return Coding(model)


def checksums(images):
    """CRC-32 of the pixels of each image: uint32 [N]."""
    return np.array([zlib.crc32(np.ascontiguousarray(image)) for image in images], np.uint32)
