"""The run of one factor: its weights and what training needs beside them, and the loop over its steps."""

import collections
import contextlib
import math
import time

import keras
import numpy as np
from keras import ops

from pixelcnn_aux.data.prefetch import Prefetched
from pixelcnn_aux.programs import progress
from pixelcnn_aux.training import checkpoints, steps
from pixelcnn_aux.training.metrics import Metrics
from pixelcnn_aux.training.optimizer import AveragingAdam
from pixelcnn_aux.training.profile import Profile
from pixelcnn_aux.training.samples import Samples
from pixelcnn_aux.training.stopping import Stopped

_SECONDS_BETWEEN_CHECKPOINTS = 600  # at most: an epoch may take hours
# How many steps may be on their way before the loss of the first of them is waited for: enough for an
# accelerator never to wait for Python.
_STEPS_AHEAD = 8
_VALIDATION_BATCH = 64
_SHOWN = ("bits_per_dim", "images_per_s", "val_bits_per_dim")


def trainable(model, name, weights, training, strategy, policy=None):
    """A factor and its optimizer, as training has them.

    Args:
      model: `AuxiliaryModel`.
      name: str, the factor's.
      weights: list of arrays, the first ones.
      training: `Training`.
      strategy: `tf.distribute.Strategy`; None under JAX.
      policy: str, one of `dtypes.POLICIES`; the model's own where None.

    Returns:
      (`Factor`; `AveragingAdam`, built on its weights, in a `LossScaleOptimizer` under "mixed_float16").
    """
    with strategy.scope() if strategy else contextlib.nullcontext():
        factor = model.new_factor(name, policy)
        factor.set_weights(weights)
        optimizer = AveragingAdam(learning_rate(training))
        if factor.dtype_policy.name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(factor.trainable_variables)
    return factor, optimizer


def learning_rate(training):
    """The schedule of a `Training`: the learning rate of each step."""
    schedules, first = keras.optimizers.schedules, training.learning_rate
    if training.decay is not None:
        return schedules.ExponentialDecay(first, decay_steps=1, decay_rate=training.decay)
    steps = training.epochs * training.steps_per_epoch
    return schedules.PolynomialDecay(first, decay_steps=steps, end_learning_rate=0.0)


class Run:
    """A factor's weights and what training needs beside them: at the start, or as of the last checkpoint."""

    def __init__(
        self, model, name, images, training, folder, seed, strategy, hosts, policy=None, start=None
    ):
        self.model, self.name, self.training, self.seed = model, name, training, seed
        self.folder, self.strategy, self.hosts = folder, strategy, hosts
        self.steps = training.epochs * training.steps_per_epoch
        keras.utils.set_random_seed(seed)
        # In the precision of the model's weights, whatever a step computes in. The first weights too.
        self.average = model.new_factor(name, model.factors[name].variable_dtype)
        kept = folder.checkpoints
        anew = not checkpoints.found(kept)
        if anew and start and start.weights:
            self.average.set_weights(start.weights)
        elif anew:
            batches = images.training_batches(training.batch_size, seed, flip=training.flip)
            self.average.initialize_from_data(*model.pair(name, next(iter(batches))))
        weights = hosts.of_chief(self.average.get_weights())
        self.factor, self.optimizer = trainable(model, name, weights, training, strategy, policy)
        self.adam = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        self._seconds = keras.Variable(0.0, dtype="float32", trainable=False)
        self.kept = {
            "factor": self.factor.variables,
            "optimizer": self.optimizer.variables,
            "seconds": [self._seconds],
        }
        self.step = 0 if anew else checkpoints.restore(kept, self.kept)
        hosts.check_agree(step=self.step)
        self._saved, self._saved_step = time.monotonic(), None if anew else self.step
        self._copy_averages()

    @property
    def seconds(self):
        return float(ops.convert_to_numpy(self._seconds))

    def _copy_averages(self):
        for mean, average in zip(self.average.trainable_variables, self.adam.averages, strict=True):
            mean.assign(ops.convert_to_numpy(average.value))

    def train(self, images, validation_images, remat, stop, profile):
        """Takes the steps that are left; a validation and a checkpoint end each epoch."""
        training, hosts, name = self.training, self.hosts, self.name
        take = steps.make(
            *(self.model, name, self.factor, self.optimizer, self.strategy),
            *(training.accumulate, remat),
        )
        rows = hosts.rows(training.batch_size)
        batches = images.training_batches(
            training.batch_size, self.seed, self.step, training.flip, rows
        )
        metrics = hosts.chief and Metrics(self.folder.metrics, self.folder.logs, self.step)
        folders = [self.folder.samples, self.folder.logs]
        samples = Samples(self.model, name, self.average, validation_images, self.seed, *folders)
        pace = None
        with (
            Prefetched(batches) as batches,
            Profile(folders[1], profile and hosts.chief) as profile,
            contextlib.ExitStack() as stack,
        ):
            while self.step < self.steps:
                if stop.signal:
                    raise Stopped
                first = self.step
                epoch, done = divmod(first, training.steps_per_epoch)
                if hosts.chief:
                    left = pace and f", {progress.duration(pace * (self.steps - first))} left"
                    print(f"Epoch {epoch + 1}/{training.epochs}{left or ''}", flush=True)
                bar = progress.bar(training.steps_per_epoch - done, names=_SHOWN)
                row = self._epoch(take, batches, images, bar, stop, stack, profile)
                self._finish(take)
                if not hosts.chief:
                    continue
                row["learning_rate"] = float(ops.convert_to_numpy(self.adam.learning_rate))
                row["val_bits_per_dim"] = bits = self._validate(validation_images)
                if not math.isfinite(bits):
                    raise RuntimeError(
                        f"Expected finite bits of the validation images under factor {name!r} after step "
                        f"{self.step:,}. Received: {bits}. {self._what_is_left()}"
                    )
                bar.update(bar.target, [(key, row[key]) for key in _SHOWN], finalize=True)
                # The row first: one that is of steps after the last checkpoint is dropped again.
                metrics.add(epoch=epoch + 1, **row)
                # Before the checkpoint: a run that goes on from it does not come by these again.
                self.folder.save_if_best(self.average, self.step, bits)
                self._save()
                self.folder.save_weights(self.average)
                pace = self._pace(self.step - first)
                if not stop.signal:
                    samples.draw(epoch + 1, self.step)

    def _pace(self, count):
        """Seconds a step, with its share of what ends an epoch; None of an epoch of which one step was left.

        Args:
          count: int, the steps of this epoch in this process. The first one may have compiled.
        """
        if count == 1:
            return None
        steps_alone = (self._last_step_done - self._first_step_done) / (count - 1)
        ending = time.monotonic() - self._last_step_done
        return steps_alone + ending / self.training.steps_per_epoch

    def _epoch(self, take, batches, images, bar, stop, stack, profile):
        """Takes the steps up to the end of an epoch. Returns its figures, a dict as of `metrics.FIELDS`."""
        count, waited = bar.target, batches.waited
        bits, norms, ahead = [], [], collections.deque()
        start, elapsed, earlier = time.perf_counter(), 0.0, self.seconds

        def wait_for_all_but(most):
            """Reads the losses of the earliest steps."""
            while len(ahead) > most:
                step, (loss, norm) = ahead.popleft()
                bits.append(float(loss))
                norms.append(float(norm))
                if not math.isfinite(bits[-1]):
                    self._raise_not_finite(bits[-1], step, images)
                if self.hosts.chief and len(bits) < count:
                    bar.update(len(bits), [("bits_per_dim", np.mean(bits))])

        @contextlib.contextmanager
        def paused():
            """Between steps, of which none is on its way. The time within it does not count as training."""
            nonlocal elapsed, start
            wait_for_all_but(0)
            elapsed += time.perf_counter() - start
            yield
            start = time.perf_counter()

        for index in range(count):
            with profile.step(self.step):
                ahead.append((self.step, take(next(batches))))
            self.step += 1
            if not stop.is_held and self.hosts.num == 1:
                # Not before: the first call compiles, and has nothing to lose.
                stack.enter_context(stop.held())
            # The first step at once: it may have compiled, and the bar times those after it.
            wait_for_all_but(_STEPS_AHEAD if index else 0)
            if index == 0:
                self._first_step_done = time.monotonic()
            if profile.turns:
                with paused():
                    profile.turn()
            is_due = time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS
            # An epoch's last step is saved once it is validated, which a run that goes on would leave out.
            if (stop.signal or is_due) and self.step % self.training.steps_per_epoch:
                with paused():
                    self._finish(take)
                    self._seconds.assign(earlier + elapsed)
                    self._save()
                if stop.signal:
                    raise Stopped
        wait_for_all_but(0)
        self._last_step_done = time.monotonic()
        elapsed += time.perf_counter() - start
        self._seconds.assign(earlier + elapsed)
        return {
            "step": self.step,
            "images": self.step * self.training.batch_size,
            "seconds": self.seconds,
            "bits_per_dim": float(np.mean(bits)),
            "images_per_s": count * self.training.batch_size / elapsed,
            "waiting": (batches.waited - waited) / elapsed,
            "gradient_norm": float(np.nanmean(norms)),
        }

    def _finish(self, take):
        """Gives all variables the values that they have after the last step."""
        take.sync()
        self._copy_averages()
        for mean in self.average.trainable_variables:
            if not np.isfinite(ops.convert_to_numpy(mean.value)).all():
                raise RuntimeError(
                    f"Expected finite weights of factor {self.name!r} after step {self.step:,}. Received: "
                    f"others in {mean.path}. {self._what_is_left()}"
                )

    def _save(self):
        if self.hosts.chief:
            folder = self.folder.checkpoints
            checkpoints.save(folder, self.step, self.kept, self._saved_step)
        self._saved, self._saved_step = time.monotonic(), self.step

    def _raise_not_finite(self, loss, step, images):
        training = self.training
        indices = images.training_indices(training.batch_size, self.seed, step).tolist()
        raise RuntimeError(
            f"Expected a finite loss of factor {self.name!r}. Received: {loss} at step {step + 1:,}, of the "
            f"training images {', '.join(map(str, indices))}. {self._what_is_left()}"
        )

    def _what_is_left(self):
        last = "There is no checkpoint yet."
        if self._saved_step is not None:
            folder = self.folder.checkpoints
            # The others' clocks, by which hosts save in the middle of an epoch, may differ by a step.
            where = (
                checkpoints.file(folder, self._saved_step) if self.hosts.chief else f"in {folder}"
            )
            last = f"The last good checkpoint is {where}."
        return (
            f"{last} Nothing was overwritten. Choose a lower --learning_rate and another --workdir, or look "
            "at the images."
        )

    def _validate(self, images):
        batches = images.batches(_VALIDATION_BATCH)
        return mean_bits(self.average, (self.model.pair(self.name, batch) for batch in batches))


def mean_bits(factor, pairs):
    """Mean bits per own dimension over (image, auxiliary) batches of any sizes: each image counts once.

    Args:
      factor: `Factor`.
      pairs: iterable of what `factor.log_prob` takes.

    Returns:
      float, summed in double precision.
    """
    bits, dimensions = 0.0, 0
    for image, auxiliary in pairs:
        nats = ops.convert_to_numpy(factor.log_prob(image, auxiliary)).astype(np.float64)
        bits -= nats.sum() / math.log(2.0)
        dimensions += math.prod(image.shape)
    return bits / dimensions
