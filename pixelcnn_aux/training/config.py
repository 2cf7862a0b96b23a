"""What is asked of training: a factor's hyper-parameters, presets, and what all factors of a run share."""

import contextlib
import dataclasses
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Self

from pixelcnn_aux import arguments, data
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training.devices import Hosts

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what schedulers send before they kill


class Stopped(BaseException):
    """Training has stopped since it was asked to. What it has done is in its last checkpoint.

    No `Exception`, as KeyboardInterrupt is none: a signal may come while a file is read or downloaded, where
    whatever goes wrong is taken for damage of that file.
    """


class Stop:
    """While entered, the first signal of `SIGNALS` asks training to stop; a second one ends the process.

        with Stop() as stop:
            pa.train(..., stop=stop)   # raises Stopped

    Before the first step and between factors `Stopped` is raised at once. In between, training asks after
    every step whether it is to stop.

    Attributes:
      signal: int, the signal that was received; None so far, and of one that is not entered.
      is_held: bool, whether a signal is only noted.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_held = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "Expected to be in the main thread, which alone receives signals. Received: another one. "
                "Train without `stop`."
            )
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within it, a signal is only noted. Raises `Stopped` at its end if one was."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
        if self.signal is not None:
            raise Stopped

    def _receive(self, number, frame):
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        if not self.is_held:
            raise Stopped


CONDITION_DROPOUT = 0.1  # so that one model knows images with a condition and without
_MOST = {"epochs": 10**6, "steps_per_epoch": 10**9, "batch_size": 2**16, "accumulate": 2**16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How a factor is trained: plain Python values, which JSON can hold, also where NumPy's are given.

    The learning rate falls linearly, to zero after the last step; with a `decay` by that factor a step, as in
    the paper. Adam's moments are those of PixelCNN++: 0.95 and 0.9995. With a `muon_ratio`, Muon moves the
    kernels of hidden layers, as `muon.AveragingMuon`.

    Raises ValueError for values that no run can have.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int  # of all devices and hosts together
    learning_rate: float
    muon_ratio: float | None = None  # Muon's rate over Adam's; None for Adam alone
    decay: float | None = None  # what the learning rate is multiplied by after each step
    flip: bool = True  # whether images are flipped left to right at random
    # The side of random squares that are cut from images, in pixels of the full image; None for whole ones.
    crop: int | None = None
    accumulate: int = 1  # in how many parts a device takes its images of a batch
    mixed_precision: bool = False  # whether the networks' streams compute in 16 bits
    # The share of images whose condition is unknown to a conditional model; CONDITION_DROPOUT where None.
    condition_dropout: float | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            name: arguments.whole(name, getattr(self, name), 1, _MOST[name]) for name in _MOST
        }
        checked["learning_rate"] = arguments.positive("learning_rate", self.learning_rate)
        if self.muon_ratio is not None:
            checked["muon_ratio"] = arguments.positive("muon_ratio", self.muon_ratio)
        if self.crop is not None:
            checked["crop"] = arguments.whole("crop", self.crop)
        if self.condition_dropout is not None:
            rate = arguments.rate("condition_dropout", self.condition_dropout, 1)
            checked["condition_dropout"] = rate
        if self.decay is not None:
            checked["decay"] = arguments.positive("decay", self.decay, 1)
        for name in ("flip", "mixed_precision"):
            checked[name] = arguments.flag(name, getattr(self, name))
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def steps(self) -> int:
        """int, of all epochs."""
        return self.epochs * self.steps_per_epoch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A data set, a model's constructor and its arguments, and each factor's training."""

    dataset: str
    constructor: Callable[..., AuxiliaryModel]
    model: dict[str, Any]
    training: dict[str, Training]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What all factors of a run share: the arguments of `train`, checked."""

    model: AuxiliaryModel
    images: data.Images
    validation_images: data.Images
    folder: RunFolder
    seed: int
    hosts: Hosts
    remat: bool
    stop: Stop
    init: str | None
    profile: bool
    callbacks: tuple = ()  # of `keras.callbacks.Callback`

    @property
    def recorded_images(self):
        """dict, how many images there are of each kind, and their checksums: what a run goes on with."""
        both = {"images": self.images, "validation_images": self.validation_images}
        checksums = {f"{name}_crc32": images.crc32 for name, images in both.items()}
        if (kind := self.model.condition) is not None:
            conditions = [images.condition(kind) for images in both.values()]  # of one dtype
            checksums["labels_crc32"] = list(map(zlib.crc32, conditions))
        return {**{name: images.num_images for name, images in both.items()}, **checksums}

    def check_images(self, before):
        """Raises ValueError for as many images as a run began with, by its settings, that are others."""
        now = self.recorded_images
        before = before or now
        for name in ("images", "validation_images"):
            checksum = f"{name}_crc32"
            if before.get(name) == now[name] and before.get(checksum) != now[checksum]:
                raise ValueError(
                    f"Expected the {name} of the run in {self.folder}, in the same order. Received: as many, "
                    "but others or in another order. Give them in one order, without shuffle, since training "
                    "shuffles them by itself, or choose another --workdir."
                )

    def call(self, event, *args):
        """Calls the method of all callbacks that Keras calls at an event, on one of the hosts."""
        for callback in self.callbacks if self.hosts.chief else ():
            getattr(callback, event)(*args)

    def say(self, line: str) -> None:
        """Prints a line, on one of the hosts."""
        if self.hosts.chief:
            print(line, flush=True)
