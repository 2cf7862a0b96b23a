"""Settings: a factor's hyper-parameters, presets, the arguments of a run, and how it is asked to stop."""

import contextlib
import dataclasses
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

from pixelcnn_aux import data
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.runs.folder import RunFolder

if TYPE_CHECKING:  # which import Keras
    from pixelcnn_aux.model import AuxiliaryModel
    from pixelcnn_aux.training.devices import Hosts

CONDITION_DROPOUT = 0.1  # so that one model knows images with a condition and without
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; schedulers send the second before they kill
# The check of each setting of a `Training`, and its limits.
_CHECKS: dict[str, Any] = {
    "epochs": (arguments.whole, 1, 10**6),
    "steps_per_epoch": (arguments.whole, 1, 10**9),
    "batch_size": (arguments.whole, 1, 2**16),
    "accumulate": (arguments.whole, 1, 2**16),
    "learning_rate": (arguments.positive,),
    "muon_ratio": (arguments.positive,),
    "crop": (arguments.whole,),
    "condition_dropout": (arguments.rate, 1),
    "decay": (arguments.positive, 1),
    "fall": (arguments.positive, 1),
    "vary": (arguments.flag,),
    "flip": (arguments.flag,),
    "mixed_precision": (arguments.flag,),
}
_OPTIONAL = ("muon_ratio", "crop", "condition_dropout", "decay", "fall")  # or None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How a factor is trained: plain Python values, which JSON can hold; NumPy's are converted.

    The learning rate falls linearly, to zero after the last step: from the first one on, or over the last
    share `fall` of the steps. With a `decay` it falls by that factor each step, as in the paper. Adam's
    moments are those of PixelCNN++: 0.95 and 0.9995. With a `muon_ratio`, Muon moves the kernels of hidden
    layers, as `optimizer.AveragingMuon`.

    Raises ValueError for values that no run can have.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int  # of all devices and hosts together
    learning_rate: float
    muon_ratio: float | None = None  # Muon's rate over Adam's; None for Adam alone
    decay: float | None = None  # factor on the learning rate after each step
    fall: float | None = None  # share of the steps over which the rate falls to zero; None for all
    flip: bool = True  # whether images are flipped left to right at random
    # The side of random squares that are cut from images, in pixels of the full image; None for whole images.
    crop: int | None = None
    vary: bool = False  # whether these squares are as other cameras and programs leave them
    accumulate: int = 1  # micro-batches per device
    mixed_precision: bool = False  # whether the networks' streams compute in 16 bits
    # The share of images whose condition is hidden from a conditional model; CONDITION_DROPOUT where None.
    condition_dropout: float | None = None

    def __post_init__(self) -> None:
        for name, (kind, *limits) in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                object.__setattr__(self, name, kind(name, value, *limits))
        fits = None in (self.decay, self.fall)
        expect(fits, "a decay or a fall of the learning rate", "both", "Leave one out")

    @property
    def steps(self) -> int:
        """int, of all epochs."""
        return self.epochs * self.steps_per_epoch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A data set, a model's constructor and its arguments, and each factor's training."""

    dataset: str
    constructor: "Callable[..., AuxiliaryModel]"
    model: dict[str, Any]
    training: dict[str, Training]


class Stopped(BaseException):
    """Training has stopped on a signal. Its last checkpoint has all steps that were taken.

    Like KeyboardInterrupt no `Exception`: the signal may come while a file is read or downloaded, where any
    exception is taken for damage of that file.
    """


class Stop:
    """Graceful shutdown on `SIGNALS`: while entered, the first one asks training to stop.

        with Stop() as stop:
            pa.train(..., stop=stop)   # raises Stopped

    Before the first step and between factors `Stopped` is raised at once; in between, training asks after
    every step. A second signal ends the process. `signal` is the one that was received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_held = False  # whether a signal is only noted
        # Whether `Stopped` was raised, of which TensorFlow makes another error while it traces.
        self.has_raised = False

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        expected = "to be in the main thread, which alone receives signals"
        expect(is_main, expected, "another one", "Train without `stop`", kind=RuntimeError)
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Context in which a signal is only noted. Raises `Stopped` at its end if one was."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
        self.check()

    def check(self) -> None:
        """Raises `Stopped` if a signal was received."""
        if self.signal is not None:
            self.has_raised = True
            raise Stopped

    def _receive(self, number, frame):
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        if not self.is_held:
            self.check()
        # Not by print, which may be at work.
        os.write(2, b"\nStopping with a checkpoint, after this step; Ctrl-C again ends at once.\n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The checked arguments of `train`, which all factors of a run share."""

    model: "AuxiliaryModel"
    images: data.Images
    validation_images: data.Images
    folder: RunFolder
    seed: int
    hosts: "Hosts"
    remat: bool
    stop: Stop
    init: str | None
    profile: bool
    callbacks: tuple = ()  # of `keras.callbacks.Callback`

    @property
    def recorded_images(self):
        """dict, the number of images of each kind, and their checksums, which stay the same in a run."""
        both = {"images": self.images, "validation_images": self.validation_images}
        found = {name: images.num_images for name, images in both.items()}
        found |= {f"{name}_crc32": images.crc32 for name, images in both.items()}
        if (kind := self.model.condition) is not None:
            conditions = [images.condition(kind) for images in both.values()]  # of one dtype
            found["labels_crc32"] = list(map(zlib.crc32, conditions))
        return found

    def check_images(self, before):
        """Raises ValueError if the run began, by its settings, with as many images that were others."""
        now = self.recorded_images
        before = before or now
        remedy = (
            "Give them in one order, without shuffle, since training shuffles them by itself, or choose "
            "another --workdir"
        )
        for name in ("images", "validation_images"):
            checksum = f"{name}_crc32"
            same = before.get(name) != now[name] or before.get(checksum) == now[checksum]
            expected = f"the {name} of the run in {self.folder}, in the same order"
            expect(same, expected, "as many, but others or in another order", remedy)

    def call(self, event, *args):
        """Calls the method of all callbacks that Keras calls at an event, on one of the hosts."""
        for callback in self.callbacks if self.hosts.chief else ():
            getattr(callback, event)(*args)

    def say(self, line: str) -> None:
        """Prints a line, on one of the hosts."""
        if self.hosts.chief:
            print(line, flush=True)
