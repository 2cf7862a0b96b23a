"""Settings: a factor's hyper-parameters, presets, the arguments of a run, and graceful shutdown."""

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
from pixelcnn_aux.run_files.folder import RunFolder

if TYPE_CHECKING:  # which import Keras
    from pixelcnn_aux.model import AuxiliaryModel
    from pixelcnn_aux.training.devices import Hosts

CONDITION_DROPOUT = 0.1  # one model learns conditional and unconditional images
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; schedulers send the second before they kill
# The check of each `Training` field, and its limits.
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Hyper-parameters of a factor's training. NumPy scalars become Python values, which JSON can hold.

    The learning rate falls linearly to zero, over all steps or the last share `fall` of them. With `decay`,
    it is multiplied by that factor after each step instead, as in the paper. Adam's moments are those of
    PixelCNN++: 0.95 and 0.9995. With `muon_ratio`, Muon updates the kernels of hidden layers
    (`optimizer.AveragingMuon`).

    Raises ValueError for values out of range.
    """

    epochs: int  # each ends with a validation and a checkpoint
    steps_per_epoch: int
    batch_size: int  # over all devices and hosts
    learning_rate: float
    muon_ratio: float | None = None  # Muon's learning rate over Adam's; None for Adam alone
    decay: float | None = None  # factor on the learning rate after each step
    fall: float | None = None  # share of the steps over which the rate falls to zero; None for all
    flip: bool = True  # random left-right flips
    # Side of random square crops, in pixels of the full image; None for whole images.
    crop: int | None = None
    vary: bool = False  # augment the crops as other cameras and programs would (`data.variation`)
    accumulate: int = 1  # micro-batches per device
    mixed_precision: bool = False  # whether the networks' streams compute in 16 bits
    # Share of images whose condition is hidden from a conditional model; None for CONDITION_DROPOUT.
    condition_dropout: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check, *limits = _CHECKS[field.name]
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, check(field.name, value, *limits))
        is_one_schedule = None in (self.decay, self.fall)
        expect(is_one_schedule, "decay or fall of the learning rate", "both", "Leave one out")

    @property
    def steps(self) -> int:
        """Total number of steps over all epochs."""
        return self.epochs * self.steps_per_epoch

    def lasting(self, times: float) -> Self:
        """These settings with a multiple of the steps, in a multiple of the epochs, at least one step."""
        epochs = max(1, int(times * self.epochs))
        steps = max(1, int(times * self.steps / epochs))
        return dataclasses.replace(self, epochs=epochs, steps_per_epoch=steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A data set, a model's constructor and its arguments, and each factor's training."""

    dataset: str
    constructor: "Callable[..., AuxiliaryModel]"
    model: dict[str, Any]
    training: dict[str, Training]


class Stopped(BaseException):
    """Training stopped on a signal. The last checkpoint includes every step taken.

    Like KeyboardInterrupt, not an `Exception`: a signal may arrive while a file is read or downloaded, where
    any exception counts as a damaged file.
    """


class Stop:
    """Context that shuts training down gracefully on the first of `SIGNALS`.

        with Stop() as stop:
            pa.train(..., stop=stop)   # raises Stopped

    `Stopped` is raised at once before the first step and between factors, and after the current step
    otherwise. A second signal ends the process. `signal` is the signal received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_held = False  # whether a signal is only recorded
        # Whether `Stopped` was raised: TensorFlow replaces it by another error while tracing.
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
        """Context in which signals are only recorded; raises `Stopped` on exit if there was one."""
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
        # Not `print`, which the signal may have interrupted.
        os.write(2, b"\nStopping with a checkpoint, after this step; Ctrl-C again ends at once.\n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Validated arguments of `train`, shared by all factors of a run."""

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
    times: dict = dataclasses.field(default_factory=dict)  # for `minutes`: see `loop._times`

    @property
    def recorded_images(self):
        """dict of the numbers of images and their checksums, which stay the same throughout a run."""
        both = {"images": self.images, "validation_images": self.validation_images}
        record = {name: images.num_images for name, images in both.items()}
        record |= {f"{name}_crc32": images.crc32 for name, images in both.items()}
        if (condition := self.model.condition) is not None:
            values = [images.condition(condition) for images in both.values()]  # of one dtype
            record["labels_crc32"] = list(map(zlib.crc32, values))
        return record

    def check_images(self, recorded):
        """Raises ValueError if the recorded settings have as many images with another checksum."""
        now = self.recorded_images
        recorded = recorded or now
        remedy = (
            "Give them in a fixed order, without shuffle, since training shuffles them itself, or choose "
            "another --workdir"
        )
        for name in ("images", "validation_images"):
            checksum = f"{name}_crc32"
            changed = recorded.get(name) == now[name] and recorded.get(checksum) != now[checksum]
            expected = f"the {name} of the run in {self.folder}, in the same order"
            expect(not changed, expected, "as many, but different or reordered", remedy)

    def call(self, event, *args):
        """Calls the method `event` of all Keras callbacks, on the chief alone."""
        for callback in self.callbacks if self.hosts.chief else ():
            getattr(callback, event)(*args)

    def say(self, line: str) -> None:
        """Prints a line, on the chief alone."""
        if self.hosts.chief:
            print(line, flush=True)
