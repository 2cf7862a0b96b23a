"""The files that the package reads, and the outcome of reading a damaged one of each kind."""

import hashlib
import io
import pickle
import struct
import warnings
import zlib

import keras
import numpy as np
from PIL import Image

import pixelcnn_aux as pa
from pixelcnn_aux import data
from pixelcnn_aux.codec import Codec, container
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training.state import restore_checkpoint, save_checkpoint
from tests import helpers
from tests.codec import helpers as codec_helpers
from tests.data.helpers import encoded
from tests.fuzz import damage
from tests.interop.published import authors_variables, python_2_pickle
from tests.runs.tensors_test import resealed

EQUAL, OTHER, REFUSED, FAILED = OUTCOMES = ("equal", "other", "refused", "failed")
_CAUGHT = (ImportError, OSError, RuntimeError, ValueError)  # as programs do


class WrongError(Exception):
    """Reading a damaged file gave neither the intact content nor an error that names it."""


class File:
    """A file of one kind, in a folder of its own.

    A subclass defines `path`, below the folder; `make`, which returns whole files as a list of bytes; and
    `read`, by which the package reads `file`. Errors must contain the string `named`.
    """

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / self.path
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.named = str(self.file)
        self.honest = self.make()
        self.expected = []
        for contents in self.honest:
            self.file.write_bytes(contents)
            self.expected.append(self.read())

    def compare(self, found, expected):
        """`EQUAL` or `OTHER`. Raises WrongError if the damage must be found: here for any other arrays."""
        if len(found) != len(expected) or not all(map(np.array_equal, found, expected)):
            raise WrongError("other numbers")
        return EQUAL

    def untouched(self):
        """Whether nothing changed when the file was refused."""
        return True

    def damaged(self, contents, random):
        return damage.damaged(contents, random)

    def judge(self, random):
        """(outcome, details) of one damaged file."""
        which = random.integers(len(self.honest))
        self.file.write_bytes(self.damaged(self.honest[which], random))
        try:
            with warnings.catch_warnings(action="ignore"):
                found = self.read()
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            missing = [x for x in ("Expected ", "Received: ", self.named) if x not in str(error)]
            if not isinstance(error, _CAUGHT) or missing:
                return FAILED, f"an error of another kind, or without {missing}: {message:.2000}"
            return (REFUSED, message) if self.untouched() else (FAILED, "it is refused too late")
        try:
            return self.compare(found, self.expected[which]), ""
        except Exception as error:
            return FAILED, f"{type(error).__name__}: {error}"


class Config(File):
    """A run's description. Another one may be valid, but a run with the intact one refuses it."""

    path = "config.json"
    images = helpers.pictures(2)

    def make(self):
        self.named = str(self.folder)
        model = helpers.randomized(helpers.tiny_model(exact=True, centered=True))
        sources = {"dataset": "photos", "image_dir": None, "image_file": None}
        RunFolder(self.folder).save_model(model, **sources, seed=0)
        self.config = RunFolder(self.folder).config()
        return [self.file.read_bytes()]

    def damaged(self, contents, random):
        if random.integers(4) == 0:
            return super().damaged(contents, random)
        return damage.with_other_values(contents, random)

    def read(self):
        config, model = RunFolder(self.folder).config(), pa.load(self.folder)
        settings = {key: config.get(key) for key in self.config}  # others are nobody's
        nats = None if model.untrained else model.log_prob(self.images)
        return {**settings, "model": model.description()}, nats

    def compare(self, found, expected):
        config, nats = found
        if nats is not None and not np.isfinite(nats).all():
            raise WrongError("a model which has no finite likelihood")
        if config == expected[0]:
            return super().compare([nats], [expected[1]])
        try:
            RunFolder(self.folder).create(self.config)
        except ValueError as error:
            if "made with the same settings" in str(error):
                return OTHER
            raise
        raise WrongError("another description, with which the run resumes")


class Sealed(File):
    """A file of arrays. Half of the damaged ones get a new checksum, and may have other finite numbers."""

    def damaged(self, contents, random):
        contents = super().damaged(contents, random)
        self.resealed = random.integers(2) == 0
        return resealed(contents) if self.resealed else contents

    def compare(self, found, expected):
        if self.resealed and not all(map(np.array_equal, found, expected)):
            return OTHER
        return super().compare(found, expected)


class Weights(Sealed):
    """Averaged weights."""

    path = "image/average.safetensors"

    def make(self):
        self.file.parent.rmdir()
        RunFolder(self.folder).save_model(helpers.randomized(helpers.tiny_model()))
        return [self.file.read_bytes()]

    def read(self):
        return pa.load(self.folder).factors["image"].weights


class Checkpoint(Sealed):
    """A training state."""

    path = "checkpoints/step-7.safetensors"

    def make(self):
        random = np.random.default_rng(0)
        shapes = ([3, 3, 4, 8], [8], [4, 2], [], [17])
        self.variables = [keras.Variable(random.normal(size=shape)) for shape in shapes]
        self.kept = {f"network/{k}": variable for k, variable in enumerate(self.variables)}
        save_checkpoint(self.file.parent, 7, self.kept, {"factor": "image"})
        return [self.file.read_bytes()]

    def read(self):
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))
        step = restore_checkpoint(self.file.parent, self.kept, {"factor": "image"}, {})
        return [step, *(variable.numpy() for variable in self.variables)]

    def untouched(self):
        return not any(np.any(variable.numpy()) for variable in self.variables)


class Arrays(File):
    """The images of `--dataset arrays`: intact, or refused."""

    path = "images.npz"

    def make(self):
        made = []
        for save in (np.savez, np.savez_compressed):
            save(self.file, train=helpers.pictures(9), test=helpers.pictures(5, seed=1))
            made.append(self.file.read_bytes())
        return made

    def read(self):
        return np.array(data.load("arrays", "train", helpers.SIZE, image_file=self.file).pixels)


class Variables(File):
    """Weights of the reference implementations. A pickle has no checksum: finite weights may be others."""

    path = "model.pickle"

    def make(self):
        model = pa.pyramid((2, 4), (2, 4), filters=2, blocks=2, num_components=1, dropout=0.0)
        helpers.randomized(model)
        variables = authors_variables(model)
        np.savez(archive := io.BytesIO(), **variables)
        pickles = [pickle.dumps([*variables.items()], protocol) for protocol in (0, 2, 5)]
        return [python_2_pickle(variables), *pickles, archive.getvalue()]

    def read(self):
        keras.utils.clear_session()
        return pa.interop.read_variables(self.file)

    def compare(self, found, expected):
        same = {name: np.array_equal(found.get(name), x) for name, x in expected.items()}
        if len(found) == len(expected) and all(same.values()):
            return EQUAL
        try:
            model = pa.interop.authors_pyramid(found, (2, 4))
        except ValueError as error:
            if "Expected " in str(error) and "Received: " in str(error):
                return REFUSED
            raise WrongError(f"an error that explains nothing: {error}") from error
        for factor in model.factors.values():
            if not all(np.isfinite(weight).all() for weight in factor.weights.values()):
                raise WrongError("weights that are not finite")
        return OTHER


class Picture(File):
    """An image file: what still decodes has other pixels, which nothing tells, of the size asked for."""

    path = "picture"

    def make(self):
        pixels, exif = helpers.pictures(1, size=(24, 40))[0], Image.Exif()
        exif[274] = 6  # lies on a side
        jpeg = [encoded(pixels, "JPEG", **x) for x in ({}, {"progressive": True}, {"exif": exif})]
        others = [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"exif": exif})]
        return [encoded(pixels, "PNG"), *jpeg, *(encoded(pixels, x, **y) for x, y in others)]

    def read(self):
        return data.read_image(self.file, (8, 6))

    def compare(self, found, expected):
        if (found.dtype, found.shape) != (np.uint8, (8, 6, 3)):
            raise WrongError(f"an image of {found.dtype} {found.shape}")
        return EQUAL if np.array_equal(found, expected) else OTHER


class Compressed(File):
    """A file of the codec, given as bytes: pictures to the last bit, or none.

    Its checksum refuses all damage. Two of three are sealed again once damaged, for the checks behind it.
    """

    path = "compressed"

    def make(self):
        self.named = ""
        self.codec = Codec(codec_helpers.shared_model(), "tiny")
        image = codec_helpers.image()
        pictures = [image[:12, :9], image[:5, :7], image[:1, :1]]
        Image.fromarray(pictures[0][..., 0]).save(alpha := io.BytesIO(), "PNG")
        icc, exif = map(zlib.compress, (bytes(range(40)), b"exif"))
        extras = [{"alpha": alpha.getvalue(), "icc": icc}, {}, {"exif": exif}]
        return [self.codec.compress(pictures, extras=extras)]

    def read(self):
        return self.codec.decompress(self.file.read_bytes())

    def damaged(self, contents, random):
        which, whole = random.integers(3), contents[:-32]
        if which == 0:
            return super().damaged(contents, random)
        if which == 1:
            whole = super().damaged(whole, random)
        else:
            start = len(container.MAGIC) + 4
            (length,) = struct.unpack("<I", whole[start - 4 : start])
            header = zlib.decompress(whole[start : start + length])
            header = zlib.compress(damage.with_other_values(header, random))
            streams = whole[start + length :]
            whole = container.MAGIC + struct.pack("<I", len(header)) + header + streams
        return whole + hashlib.sha256(whole).digest()


KINDS = Config, Weights, Checkpoint, Arrays, Variables, Picture, Compressed
