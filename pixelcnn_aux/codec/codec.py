"""Compresses images by a model, and gives them back to the last bit."""

import hashlib
import json
import zlib

import numpy as np

from pixelcnn_aux import arguments, backend, machine
from pixelcnn_aux.auxiliary_model import AuxiliaryModel
from pixelcnn_aux.codec import container
from pixelcnn_aux.inputs import check_images

# `coding` and `entropy` are imported where they are needed: with them come TensorFlow and constriction.


class Codec:
    """A lossless codec of the images that a model models, by about as many bits as it says they have.

    What one has written, another with the same model reads on a machine that computes alike. On one that
    computes otherwise, that is noticed. A model in float64 writes files that other processors agree on.

    Args:
      model: `AuxiliaryModel`. Images that contradict their auxiliary images are ruled out, where it can.
      name: str, what the model is called, which files tell.
      batch: int, how many images are coded together, at most `container.MAX_BATCH`.

    Raises:
      RuntimeError: under another backend than TensorFlow.
      ValueError: where a factor is not trained yet or in mixed precision, or for another batch.
    """

    def __init__(self, model, name="", batch=64):
        backend.require_tensorflow("the codec")
        arguments.instance("model", model, AuxiliaryModel)
        model.require(model.factors)
        for factor in model.factors.values():
            factor.check_scannable()
        self._model, self._name = model.with_exact(True), name
        self._batch = arguments.whole("batch", batch, 1, container.MAX_BATCH)
        self.fingerprint = fingerprint(self._model)
        self._coding = {}  # by batch

    def compress(self, images, pictures=(), progress=lambda count: None):
        """Compresses images.

        Args:
          images: uint8 [N, H, W, C] of the model's size.
          pictures: list of (name, H, W) of the pictures that they are tiles of, if they are: str and ints.
            The names are those of new files in one folder, each once.
          progress: function that is called with the number of images done.

        Returns:
          bytes, a file's contents.

        Raises:
          ValueError: for images of another dtype or shape, and for pictures or a name that no file can hold;
            before anything is coded, but for names that take far more bytes than what is coded.
          NotImplementedError: for a likelihood that does not tell the probabilities of a channel's values
            (`Likelihood.value_log_probs`).
        """
        from pixelcnn_aux.codec.entropy import Encoder

        images = np.asarray(
            check_images(images, self.likelihood.num_channels, self.likelihood.num_values)
        )
        if images.shape[1:3] != self.image_size:
            raise ValueError(
                f"Expected images of the model's size, {self.image_size}. Received: "
                f"{images.shape[1:3]}. Cut them into tiles of that size."
            )
        batch = min(self._batch, max(len(images), 1))
        streams, bits = [], dict.fromkeys(self._model.factors, 0)
        contents = container.Contents(
            model=self.fingerprint,
            name=self._name,
            dtype=self._full.variable_dtype,
            size=list(self._model.image_size),
            count=len(images),
            batch=batch,
            bits=bits,
            machine=machine.describe(),
            pictures=list(pictures),
            streams=[],
            checksums=checksums(images),
        )
        container.check(contents)
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            known = {name: np.asarray(x) for name, x in self._model.auxiliaries(part).items()}
            encoder = Encoder(known)
            self._run(encoder, batch)
            streams.append(encoder.words())
            bits = {name: bits[name] + encoder.bits[name] for name in bits}
            progress(first + len(part))
        return container.write(contents._replace(bits=bits, streams=streams))

    @property
    def image_size(self):
        """(H, W) of the images."""
        return self._model.image_size

    @property
    def likelihood(self):
        """`Likelihood` of the images, which says how many channels and values their pixels have."""
        return self._full.likelihood

    def decompress(self, data, progress=lambda count: None):
        """The images that were compressed.

        Args:
          data: bytes, from `compress`.
          progress: function that is called with the number of images done.

        Returns:
          uint8 [N, H, W, C].

        Raises:
          ValueError: for a file that is damaged, of another model, or that this machine cannot decode; the
            one that wrote it is described then. No image is returned that is not as it was.
          NotImplementedError: as `compress`.
        """
        return self.decompress_with_bits(data, progress)[0]

    def decompress_with_bits(self, data, progress=lambda count: None):
        """`decompress`, and where the bits went.

        Returns:
          The images, and float32 [N, H, W]: the bits of each pixel, and its share of those of the auxiliary
          images' pixels that it is part of.
        """
        contents = container.read(data)
        if contents.dtype != (dtype := self._full.variable_dtype):
            raise ValueError(
                f"Expected a file of a model in {dtype}. Received: one in {contents.dtype}. Give the model "
                f'in that dtype: pixelcnn_aux.load(..., dtype="{contents.dtype}").'
            )
        if contents.model != self.fingerprint:
            raise ValueError(
                f"Expected a file of this model. Received: one of another, {contents.name or 'unnamed'} "
                f"({contents.model[:12]}, not {self.fingerprint[:12]}). Give the model that wrote it."
            )
        if tuple(contents.size) != self.image_size:
            raise ValueError(
                f"Expected images of {self.image_size}. Received: {contents.size}. "
                "Decode with the model that wrote the file."
            )
        shape = (*self.image_size, self.likelihood.num_channels)
        images, failed = [np.zeros([0, *shape], np.uint8)], []
        bits = [np.zeros([0, *self.image_size], np.float32)]
        for position, words in enumerate(contents.streams):
            first = position * contents.batch
            expected = contents.checksums[first : first + contents.batch]
            decoded = self._decoded(words, contents.batch, len(expected))
            if decoded is None:
                failed += range(first, first + len(expected))
            else:
                failed += (first + np.flatnonzero(checksums(decoded[0]) != expected)).tolist()
                images.append(decoded[0])
                bits.append(decoded[1])
            progress(first + len(expected))
        if failed:
            shown = ", ".join(map(str, failed[:5])) + (", ..." if len(failed) > 5 else "")
            remedy = ", or write it in float64" if contents.dtype == "float32" else ""
            raise ValueError(
                f"Expected images as they were written. Received: {len(failed)} of {contents.count} that "
                f"decode otherwise on this machine ({shown}). Decode the file on one like that which wrote "
                f"it{remedy}.\nWritten by: {contents.machine}\nThis one:   "
                f"{machine.describe()}"
            )
        return np.concatenate(images), np.concatenate(bits)

    @property
    def _full(self):
        return list(self._model.factors.values())[-1]

    def _run(self, coder, batch):
        """The full images that a coder decides: uint8 [batch, H, W, C]."""
        from pixelcnn_aux.codec.coding import Coding

        if batch not in self._coding:
            self._coding[batch] = Coding(self._model, batch)
        return list(self._coding[batch].run(coder).values())[-1].numpy()

    def _decoded(self, words, batch, count):
        """Images uint8 [count, H, W, C] and bits [count, H, W]; None where this machine loses its way."""
        import tensorflow as tf

        from pixelcnn_aux.codec.entropy import Decoder

        decoder = Decoder(words, count)
        try:
            images = self._run(decoder, batch)[:count]
        except (tf.errors.InvalidArgumentError, tf.errors.UnknownError):
            return None  # The decoder met values that no encoder wrote.
        height, width = self.image_size
        bits = np.zeros([count, height, width], np.float32)
        for name, (h, w) in self._model.sizes().items():
            taken = np.array(decoder.bits[name], np.float32).reshape(h, w, -1, count)
            of_pixels = np.moveaxis(taken.sum(axis=2), -1, 0) * (h * w / (height * width))
            bits += of_pixels.repeat(height // h, axis=1).repeat(width // w, axis=2)
        return images, bits


def checksums(images):
    """CRC-32 of the pixels of each image: uint32 [N]."""
    return np.array([zlib.crc32(np.ascontiguousarray(image)) for image in images], np.uint32)


def fingerprint(model):
    """What tells a model from others: a SHA-256 of its description and its weights, hexadecimal."""
    digest = hashlib.sha256(json.dumps(model.description(), sort_keys=True).encode())
    for factor in model.factors.values():
        for array in factor.get_weights():
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
