"""Trains the factors of a model in a workdir; can be stopped and goes on."""

import contextlib
import dataclasses
import zlib

from pixelcnn_aux import arguments, data
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.training import checkpoints, precision
from pixelcnn_aux.training.config import DEFAULTS, Preset, Training
from pixelcnn_aux.training.run import Run
from pixelcnn_aux.training.start import starts
from pixelcnn_aux.training.stopping import Stop
from pixelcnn_aux.training.strategy import Hosts, default_strategy


def train(
    model,
    training,
    images,
    validation_images,
    workdir,
    factors=None,
    seed=0,
    strategy=None,
    remat=False,
    stop=None,
    init=None,
    profile=False,
):
    """Trains factors of a model in a workdir, each from its last checkpoint on.

    The first weights are drawn from the seed, whatever those of `model` are, or are those of another run.

    Args:
      model: `AuxiliaryModel`; its factors are given their averaged weights as they are done.
      training: `Training` of every factor, a dict, name -> `Training`, or a `presets.Preset`.
      images, validation_images: uint8 [N, H, W, 3], full images, or `data.Images`.
      workdir: path of a folder, a new one or that of an earlier run with the same arguments. Several hosts
        share it.
      factors: list of names of factors; all where None.
      seed: int.
      strategy: `tf.distribute.Strategy`; `default_strategy()` where None.
      remat: bool, whether blocks are evaluated again in the backward pass, which takes less memory and more
        time, and gives the same weights but for rounding.
      stop: `Stop`, entered: asked after every step. Where it has received a signal, a checkpoint is written
        and training stops; several hosts, which would have to agree on the step, stop without one.
      init: the workdir of another run, or the name of a model of `pretrained`, to start from: all factors
        whose weights have the same shapes there, and mean the same.
      profile: bool, whether a few steps of each factor are traced into its logs (`profile.Profile`).

    Raises:
      Stopped: a BaseException, where `stop` has received a signal.
      FileNotFoundError: if `init` is no run.
      RuntimeError: if another process trains one of these factors in this folder, or if a loss, a weight or
        the bits of validation are not finite; what was written before stays.
      OSError: where the system refuses a file, as a full disk does: which, and why. The same call goes on.
      ValueError: for images of another size than the model's, a factor without `Training` or with one that is
        impossible, an `init` that fits no factor, the workdir of another run, damaged checkpoints, or hosts
        that were given different arguments; nothing is overwritten.
    """
    seed = arguments.whole("seed", seed, -(2**63), 2**63 - 1)
    settings = training.training if isinstance(training, Preset) else training
    if isinstance(settings, Training):
        settings = dict.fromkeys(model.factors, settings)
    names = list(model.factors) if factors is None else list(factors)
    strategy = strategy or default_strategy()
    hosts = Hosts(strategy)
    for name in names:
        model.position(name)
        if name not in settings:
            raise ValueError(
                f"Expected a Training for each of {names}. Received: one for each of {list(settings)}. "
                "Add the others."
            )
        hosts.check_batch(settings[name])
    images, validation_images = map(data.as_images, (images, validation_images))
    for split in (images, validation_images):
        if split.image_size != model.image_size:
            raise ValueError(
                f"Expected images of the model's size, {model.image_size}. Received: {split.image_size}. "
                "Load them in that size."
            )
    run = RunFolder(workdir)
    begun = [name for name in names if checkpoints.found(run[name].checkpoints)]
    first = {} if init is None else starts(model, names, init, begun)
    config = {"seed": seed, "model": model.description()}
    # The chief alone compares them with what the folder says.
    hosts.check_agree(
        **{"factors": names, **config, "init": init and str(init), "images": images.num_images},
        **{
            field.name: [getattr(settings[name], field.name) for name in names]
            for field in dataclasses.fields(Training)
        },
    )
    if hosts.chief:
        run.create({**images.source, **config})
        print(f"Training in {run}: {images.num_images:,} images", flush=True)
    for name in names:
        average = train_factor(
            *(model, name, images, validation_images, settings[name], run[name], seed),
            **{"strategy": strategy, "remat": remat, "stop": stop, "profile": profile},
            start=first.get(name),
        )
        model.factors[name].set_weights(average.get_weights())
        model.untrained = tuple(other for other in model.untrained if other != name)


def train_factor(
    model,
    name,
    images,
    validation_images,
    training,
    folder,
    seed=0,
    strategy=None,
    remat=False,
    stop=None,
    profile=False,
    start=None,
):
    """Trains one factor, from its last checkpoint on where there is one.

    The data's order, the weights drawn at the start and the dropout masks are functions of the seed,
    the factor's name and the step, so that a run that was stopped ends with the weights of one that
    was not.

    Args:
      model: `AuxiliaryModel`, for the chain that the factor is part of.
      name: str, the factor's name.
      images, validation_images: `data.Images`, full images.
      training: `Training`.
      folder: `FactorFolder`, where averaged weights, checkpoints and metrics go.
      seed, strategy, remat, stop, profile: as of `train`.
      start: `Start`, the first weights; drawn from the seed where it is None or has none.

    Returns:
      The factor, with averaged weights.

    Raises:
      Stopped, RuntimeError, OSError: as `train`.
      ValueError: for the folder of a run with other settings, or if no checkpoint of it is whole or of this
        network; nothing is overwritten.
    """
    strategy = strategy or default_strategy()
    hosts = Hosts(strategy)
    seed = zlib.crc32(f"{seed}/{name}".encode()) % 2**31
    policy = precision.policy_of(folder) if training.mixed_precision else None
    # Before one is recorded, and before there are variables to be mirrored.
    hosts.check_agree(policy=policy)
    with folder.lock() if hosts.chief else contextlib.nullcontext():
        if hosts.chief:
            settings = {
                **dataclasses.asdict(training),
                "policy": policy,
                "init": start and start.source,
            }
            # Which images a step takes depends on how many there are.
            counts = {
                "images": images.num_images,
                "validation_images": validation_images.num_images,
            }
            defaults = {**DEFAULTS, **counts}  # records of before do not tell
            folder.record_training({**settings, **counts}, defaults)
        run = Run(model, name, images, training, folder, seed, strategy, hosts, policy, start)
        if hosts.chief:
            parameters, computing = run.average.count_params(), run.factor.dtype_policy.name
            steps = f"step {run.step:,} of {run.steps:,}"
            print(f"{name}: {parameters:,} parameters, {computing}, {steps}", flush=True)
        if run.step < run.steps:
            run.train(images, validation_images, remat, stop or Stop(), profile)
        elif profile and hosts.chief:
            print(f"{name}: no steps are left to trace", flush=True)
        if hosts.chief:
            folder.save_weights(run.average)
            print(f"{name}: {run.steps:,} steps in {run.seconds:,.0f} s of training", flush=True)
    return run.average
