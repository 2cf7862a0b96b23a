"""Trains a model's factors one after another: initial weights, steps, epochs, validation and files.

Initial weights and each step's images are functions of the seed and the factor's name, and checkpoints store
the state of the dropout generators. So a stopped and resumed run ends with the weights of an unbroken one.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from pixelcnn_aux import batches, data
from pixelcnn_aux.base import arguments, backend, disk
from pixelcnn_aux.base.arguments import ImageSource, PathLike
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.progress import duration
from pixelcnn_aux.factors import checks
from pixelcnn_aux.model import AuxiliaryModel
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.training import devices, first_weights
from pixelcnn_aux.training.config import Preset, RunConfig, Stop, Training
from pixelcnn_aux.training.devices import Hosts
from pixelcnn_aux.training.metrics import EpochMeter, MetricsTable, mean_bits
from pixelcnn_aux.training.sample_pictures import Samples
from pixelcnn_aux.training.state import TrainingState, find_checkpoints

if backend.NAME == "tensorflow":
    import tensorflow as tf

    _start_trace, _stop_trace = tf.profiler.experimental.start, tf.profiler.experimental.stop
    _traced_step = functools.partial(tf.profiler.experimental.Trace, _r=1)
else:
    import jax

    _start_trace, _stop_trace = jax.profiler.start_trace, jax.profiler.stop_trace
    _traced_step = jax.profiler.StepTraceAnnotation

_SECONDS_BETWEEN_CHECKPOINTS = 600  # at most: an epoch may take hours
_VALIDATION_BATCH = 64
_TIMED = 10  # steps of each factor, for `minutes`
_PLANNED = 0.9  # share of these minutes, since files and samples take some time


def train(
    model: AuxiliaryModel,
    training: Training | dict[str, Training] | Preset,
    images: ImageSource,
    validation_images: ImageSource,
    workdir: PathLike,
    *,
    factors: list[str] | None = None,
    seed: int = 0,
    strategy: Any = None,
    remat: bool = False,
    stop: Stop | None = None,
    init: PathLike | None = None,
    profile: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    minutes: float | None = None,
) -> None:
    """Trains factors of a model in a workdir, each from its last checkpoint.

    Initial weights come from `init`; without it, from the run that `pa.load` read the model from, unless that
    is this workdir. All others are drawn from the seed, whatever weights the model has.

    Args:
      model: `AuxiliaryModel`; each factor is replaced by one with averaged weights once it is trained. Frozen
        weights stay as they are: see `Factor.with_frozen`.
      training: `Training` for every factor; a dict, name -> `Training`; or a `Preset`.
      images, validation_images: full images, uint8 or uint16 [N, H, W, C]; `data.Images`; or anything else
        that `data.as_images` accepts, such as a `tf.data.Dataset` or a sequence. Conditional models use their
        labels. A run resumes only with the same images in the same order, so do not shuffle them: training
        does.
      workdir: path of a new folder, or of an earlier run with the same arguments. Several hosts share it.
      factors: list of factor names; None for all.
      seed: int.
      strategy: `tf.distribute.Strategy`, or `keras.distribution.DataParallel` under JAX; None for
        `default_strategy()`.
      remat: bool, whether blocks are recomputed in the backward pass: less memory, more time, and the same
        weights up to rounding.
      stop: an entered `Stop`, checked after every step. On its signal training writes a checkpoint and stops;
        several hosts, which would have to agree on the step, stop without one.
      init: workdir of another run, or name of a `pretrained` model, to initialize all factors from whose
        weights have the same meaning there, and the same shapes or, in PixelCNN++, fewer filters.
      profile: bool, whether to trace a few steps of each factor into its logs (`Profile`).
      callbacks: `keras.callbacks.Callback`s, called on the chief for each factor. Their `model` is the Keras
        model with the weights in training, not the averages; they must not change it. `on_epoch_end` gets the
        row of metrics.csv, and its bits as "loss" and "val_loss", after the checkpoint is written;
        `on_train_batch_end` gets the step's "bits_per_dim" and "gradient_norm", up to eight steps later.
        `on_train_begin`, `on_train_end` and `on_epoch_begin` are called too. `stop_training` ends the factor
        after the epoch.
      minutes: float, about how long to train: all factors take the same multiple of their `Training`'s steps,
        over which the learning rate falls. It follows from the times of a few steps of each, whose weights
        are dropped, and is kept in training.json for runs that resume. None for the steps of `training`.

    Raises:
      Stopped: a BaseException, when `stop` has received a signal.
      FileNotFoundError: if `init` is no run.
      RuntimeError: if another process trains one of these factors in this folder, or if a loss, a weight or
        the validation bits are not finite. Files written before are kept.
      OSError: if the system refuses a file, as on a full disk: names the file and the reason. The same call
        resumes.
      ValueError: for an argument of the wrong type, images of another size than the model's, a factor without
        `Training` or with one that does not fit the devices, an `init` that fits no factor, a loaded model
        with changed weights, the workdir of another run or other images, damaged checkpoints, or hosts with
        different arguments. Nothing is overwritten.
    """
    arguments.instance("model", model, AuxiliaryModel)
    # Again, since graphs evaluate transforms now.
    checks.check_chain([*model.factors.values()], model.transforms, model.image_size)
    names = list(model.factors) if factors is None else arguments.instance("factors", factors, list)
    trainings = _trainings(training, model, names)
    hosts = Hosts(strategy)
    for settings in trainings.values():
        hosts.check_batch(settings)
    abstract: Any = Sequence
    callbacks = arguments.instance("callbacks", callbacks, abstract, optional=True) or ()
    for callback in callbacks:
        arguments.instance("a callback", callback, keras.callbacks.Callback)
    if minutes is not None:
        minutes = arguments.positive("minutes", minutes, 10**6)
    config = RunConfig(
        model=model,
        images=_checked_images(images, model, trainings),
        validation_images=_checked_images(validation_images, model, trainings),
        folder=RunFolder(workdir),
        seed=arguments.whole("seed", seed, -(2**63), 2**63 - 1),
        hosts=hosts,
        remat=arguments.flag("remat", remat),
        stop=arguments.instance("stop", stop, Stop, optional=True) or Stop(),
        init=first_weights.source(init, model, RunFolder(workdir), names),
        profile=arguments.flag("profile", profile),
        callbacks=tuple(callbacks),
    )
    new = [name for name in names if not find_checkpoints(config.folder[name].checkpoints)]
    initial = {}
    if config.init and new:
        options = {"new": new, "seed": config.seed, "as_loaded": init is None}
        initial = first_weights.fitting(config.init, model, names, **options)
    description = {"seed": config.seed, "model": model.description()}
    shared = {"factors": names, "init": config.init, "callbacks": len(config.callbacks)}
    shared["frozen"] = [model.factors[name].frozen for name in names]
    for field in dataclasses.fields(Training):
        shared[field.name] = [getattr(settings, field.name) for settings in trainings.values()]
    # Only the chief compares these with the folder.
    hosts.check_agree(**description, **config.recorded_images, **shared)
    if hosts.chief:
        config.folder.create({**config.images.source, **description})
    config.say(f"Training in {config.folder}: {config.images.num_images:,} images")
    if minutes is not None:
        config = dataclasses.replace(config, times=_times(config, minutes, trainings, initial))
        trainings = {x: old.lasting(config.times["times"]) for x, old in trainings.items()}
    for name in names:
        average = _train_factor(config, name, trainings[name], initial.get(name))
        model.factors[name] = average
        model.untrained = tuple(other for other in model.untrained if other != name)


def _trainings(training, model, names):
    trainings = training.training if isinstance(training, Preset) else training
    if isinstance(trainings, Training):
        trainings = dict.fromkeys(model.factors, trainings)
    arguments.instance("training", trainings, dict)
    for name in names:
        model.position(name)
        expected, received = f"a Training for each of {names}", f"one for each of {list(trainings)}"
        expect(name in trainings, expected, received, "Add the others")
    return {name: arguments.instance("training", trainings[name], Training) for name in names}


def _checked_images(images, model, trainings):
    """`data.Images` with the model's channels and values, of its size or large enough to crop."""
    images = data.as_images(images, with_labels=model.condition is not None)
    crops = {training.crop for training in trainings.values()}
    for crop in crops - {None}:
        images.check_side(crop)
    sizes = {images.image_size if crop is None else (crop, crop) for crop in crops}
    of_size = f"the model's size, {model.image_size}" if model.image_size else "one size"
    fits = None not in sizes and (not model.image_size or sizes == {model.image_size})
    received = ", ".join(str(size or "of several sizes") for size in sizes)
    remedy = "Load them in that size, or train on crops (Training.crop, --crop)"
    expect(fits, f"images of {of_size}", received, remedy)
    data.check_kind(images, model.likelihood.num_channels, model.likelihood.num_values)
    images.condition(model.condition)
    return images


def _times(config, minutes, trainings, initial):
    """What training.json keeps: the minutes, and the multiple of all steps that fits in them."""
    recorded = (config.folder[name].recorded_training() for name in trainings)
    if earlier := next(filter(None, recorded), None):
        times = arguments.positive("times in training.json", earlier.get("times", 1.0))
        return {"minutes": minutes, "times": times}
    config.say(f"Timing {_TIMED} steps of each factor")
    start = time.monotonic()
    seconds = sum(_timed(config, name, x, initial.get(name)) for name, x in trainings.items())
    # To build and to trace everything again takes as long.
    left = _PLANNED * (60 * minutes - 2 * (time.monotonic() - start))
    [times] = config.hosts.from_chief([np.float32(max(left / seconds, 1e-6))])
    return {"minutes": minutes, "times": float(times)}


def _timed(config, name, training, initial):
    """Seconds of all epochs of a factor, by a few steps of a state that is dropped."""
    policy = devices.policy_of(config, name, training.mixed_precision)
    state = TrainingState(config, name, training, policy, initial)
    batches, times = state.batches(0, config.hosts.rows(training.batch_size)), []
    with data.Prefetched(batches) as batches:
        for _ in range(1 + _TIMED):  # the first one compiles
            float(state.take(*next(batches))[0])
            times.append(time.monotonic())
    for _ in range(2 * config.hosts.chief):  # the first one may trace
        _validation_bits(state)
        times.append(time.monotonic())
    step = (times[_TIMED] - times[0]) / _TIMED
    return training.steps * step + training.epochs * (times[-1] - times[-2])


def _train_factor(config, name, training, initial):
    """Returns the `Factor` with averaged weights; `initial` are weights of another run, or None."""
    folder, hosts = config.folder[name], config.hosts
    policy = devices.policy_of(config, name, training.mixed_precision)
    # Before the policy is recorded, and before there are variables to mirror.
    hosts.check_agree(policy=policy)
    with folder.lock() if hosts.chief else contextlib.nullcontext():
        if hosts.chief:
            config.check_images(folder.recorded_training())
            settings = dataclasses.asdict(training) | {"mixed_precision": policy is not None}
            settings |= {"policy": policy, "init": config.init, **config.times}
            if frozen := config.model.factors[name].frozen:
                settings["frozen"] = list(frozen)
            folder.record_training(settings | config.recorded_images)
        state = TrainingState(config, name, training, policy, initial)
        config.say(
            f"{name}: {state.average.num_parameters:,} parameters, {state.keras_model.dtype_policy.name}, "
            f"step {state.step:,} of {training.steps:,}"
        )
        if state.step < training.steps:
            _run_epochs(state)
        elif config.profile:
            config.say(f"{name}: no steps are left to trace")
        if hosts.chief:
            folder.save_weights(state.average)
        config.say(f"{name}: {state.step:,} steps in {state.seconds:,.0f} s of training")
    return state.average


def _run_epochs(state):
    """Takes the remaining steps, with validation and a checkpoint after each epoch."""
    config, training, folder = state.config, state.training, state.folder
    hosts, stop = config.hosts, config.stop
    batches = state.batches(state.step, hosts.rows(training.batch_size))
    table = MetricsTable(folder, state.step) if hosts.chief else None
    samples = Samples(state)
    pace = None
    # Callbacks read and set these, as under Keras's own `fit`.
    state.keras_model.optimizer, state.keras_model.stop_training = state.optimizer, False
    config.call("set_params", {"epochs": training.epochs, "steps": training.steps_per_epoch})
    config.call("set_model", state.keras_model)
    config.call("on_train_begin")
    with (
        data.Prefetched(batches) as batches,
        Profile(folder.logs if config.profile and hosts.chief else None) as profile,
        contextlib.ExitStack() as signals,
    ):
        while state.step < training.steps and not _stopped_by_callback(state):
            stop.check()
            epoch = state.step // training.steps_per_epoch + 1
            left = pace and f", {duration(pace * (training.steps - state.step))} left"
            config.say(f"Epoch {epoch}/{training.epochs}{left or ''}")
            config.call("on_epoch_begin", epoch - 1)
            meter = _run_steps(state, batches, profile, signals)
            if not hosts.chief:
                continue
            bits = _validation_bits(state)
            row = {
                "epoch": epoch,
                "step": state.step,
                "images": state.step * training.batch_size,
                "seconds": state.seconds,
                "val_bits_per_dim": bits,
                "learning_rate": state.learning_rate,
                **meter.means(training.batch_size),
            }
            meter.show(row)
            # Before the checkpoint: resuming drops rows after the last one.
            table.add(row)
            # Before the checkpoint: a run that resumes from it never sees these weights.
            folder.save_if_best(state.average, state.step, bits)
            state.save()
            folder.save_weights(state.average)
            # Keras passes the epoch separately, and formats file names with both.
            logs = {name: value for name, value in row.items() if name != "epoch"}
            logs |= {"loss": row["bits_per_dim"], "val_loss": bits}  # less is better, for callbacks
            config.call("on_epoch_end", epoch - 1, logs)
            pace = meter.pace(training.steps_per_epoch)
            if not stop.signal:
                samples.draw(epoch)
    config.call("on_train_end")


def _stopped_by_callback(state):
    if not state.config.callbacks:
        return False
    (stops,) = state.config.hosts.from_chief([np.float32(state.keras_model.stop_training)])
    if stops:
        state.config.say(f"{state.name}: stopped by a callback after step {state.step:,}")
    return bool(stops)


def _run_steps(state, batches, profile, signals):
    """Takes the epoch's remaining steps; holds `signals` after the first. Returns their `EpochMeter`."""
    config, stop, earlier = state.config, state.config.stop, state.seconds
    length = state.training.steps_per_epoch

    def note(step, loss, norm):
        if not math.isfinite(loss):
            batch_size = state.training.batch_size
            indices = config.images.training_indices(batch_size, state.seed, step)
            received = f"{loss}, of the training images {', '.join(map(str, indices.tolist()))}"
            state.fail("a finite loss", f"at step {step + 1:,}", received)
        logs = {"bits_per_dim": loss, "gradient_norm": norm}
        config.call("on_train_batch_end", step % length, logs)

    count = length - state.step % length
    meter = EpochMeter(count, batches, note, config.hosts.chief)
    for _ in range(count):
        with profile.step(state.step):
            outcome = state.take(*next(batches))
        state.step += 1
        if not stop.is_held and config.hosts.num == 1:
            # Not before the first call, which compiles and has nothing to lose.
            signals.enter_context(stop.held())
        meter.add(state.step - 1, outcome)
        if profile.is_due:
            with meter.paused():
                profile.toggle()
        is_due = time.monotonic() - state.saved > _SECONDS_BETWEEN_CHECKPOINTS
        # An epoch's last step is saved after validation, which a resumed run would otherwise skip.
        if (stop.signal or is_due) and state.step % length:
            with meter.paused():
                state.update(earlier + meter.seconds)
                state.save()
            stop.check()
    meter.end()
    state.update(earlier + meter.seconds)
    return meter


def _validation_bits(state):
    """Mean bits per dimension of the factor's own validation images, under the averaged weights."""
    model, images = state.config.model, state.validation_images

    def inputs():
        for index, batch in enumerate(images.batches(_VALIDATION_BATCH)):
            rows = slice(index * _VALIDATION_BATCH, (index + 1) * _VALIDATION_BATCH)
            yield model.inputs(batch, images.condition(model.condition, rows))[state.name]

    height, width = model.sizes(images.take([0]).shape[1:3])[state.name]
    # All epochs use the same graph, so all their pixels decide whether to trace one.
    pixels = state.training.epochs * images.num_images * height * width
    bits = mean_bits(
        state.average, inputs(), "graph" if pixels >= batches.GRAPH_BREAK_EVEN else None
    )
    if not math.isfinite(bits):
        state.fail("finite bits of the validation images", f"after step {state.step:,}", bits)
    return bits


class Profile:
    """Traces `STEPS` steps after the first `WARM_UP` into plugins/profile of a folder; None: no trace."""

    WARM_UP, STEPS = 10, 5

    def __init__(self, folder):
        self._folder, self._taken, self._tracing = folder, 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._tracing:
            self.toggle()
        if self._folder and self._taken <= self.WARM_UP:
            expected = f"Expected more than {self.WARM_UP} steps, to trace the later ones."
            print(f"{expected} Received: {self._taken}", flush=True)

    def step(self, number):
        """Context of one step, which the trace labels by its number."""
        self._taken += 1
        return _traced_step("train", step_num=number)

    @property
    def is_due(self):
        """Whether the trace begins or ends now, once all steps so far are complete."""
        turn = self.WARM_UP + self.STEPS * self._tracing
        return self._folder is not None and self._taken == turn

    def toggle(self):
        """Begins the trace, or ends it and prints its path."""
        with disk.explained(f"to write a trace to {self._folder}", disk.RESUME):
            if not self._tracing:
                _start_trace(str(self._folder))
                self._tracing = True  # after the start, as a trace that failed to start has no end
                return
            self._tracing = False
            _stop_trace()
        if self._taken > self.WARM_UP:
            traced = f"Traced steps {self.WARM_UP + 1} to {self._taken} of this factor into"
            place = f"{self._folder / 'plugins' / 'profile'}; tensorboard --logdir {self._folder}"
            print(traced, place, flush=True)
