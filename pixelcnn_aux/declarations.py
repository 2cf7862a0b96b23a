"""What transforms and likelihoods declare, and whether they keep to it: tried on a few images."""

import keras
import numpy as np
from keras import ops

from pixelcnn_aux import arguments, backend, blocks
from pixelcnn_aux.auxiliary import Transform
from pixelcnn_aux.bounds import Bounds
from pixelcnn_aux.sums import FixedSum


def check_declared(transform):
    """Raises ValueError, which names it, for a transform that declares what there is not."""
    if not isinstance(transform, Transform):
        raise ValueError(
            f"Expected objects of class auxiliary.Transform. Received: {transform!r}. Derive its class from "
            "that one."
        )

    def check(fits, what, received):
        if not fits:
            raise ValueError(
                f"Expected {type(transform).__name__} with {what}. Received: {arguments.shown(received)}. "
                "Correct what it declares."
            )

    ratio, channels, values = transform.ratio, transform.channels, transform.num_values
    whole, largest = arguments.is_whole, 2**arguments.MAX_HALVINGS
    power = whole(ratio, 1, largest) and not ratio & (ratio - 1)
    check(power, f"a ratio that is a power of two, of at most {largest}", ratio)
    fits = channels is None or whole(channels, 1, 256)
    check(fits, "channels from 1 to 256, or None", channels)
    fits = values is None or whole(values, 2, arguments.MAX_VALUES)
    check(fits, f"num_values from 2 to {arguments.MAX_VALUES:,}, or None", values)


def declared(transform, likelihood):
    """(channels, number of values) of what a transform gives of images with this likelihood."""
    channels = likelihood.num_channels if transform.channels is None else transform.channels
    num_values = likelihood.num_values if transform.num_values is None else transform.num_values
    return channels, num_values


def declared_sum(transform, likelihood):
    """The `FixedSum` that a transform declares of images with this likelihood; None for none.

    Raises ValueError, which names the transform, for a sum of other values, or what is none.
    """
    fixed_sum = transform.fixed_sum(likelihood.num_values)
    arguments.instance(f"{type(transform).__name__}.fixed_sum", fixed_sum, FixedSum, optional=True)
    if fixed_sum is not None and fixed_sum.num_values != likelihood.num_values:
        raise ValueError(
            f"Expected the fixed sum of {type(transform).__name__} to be of {likelihood.num_values} values. "
            f"Received: num_values={fixed_sum.num_values}. Build it with the num_values that `fixed_sum` is "
            "given."
        )
    channels = likelihood.num_channels
    if fixed_sum is not None and fixed_sum.num_channels not in (None, channels):
        raise ValueError(
            f"Expected the fixed sum of {type(transform).__name__} to be over all of {channels} channels of "
            f"images, or within each. Received: {fixed_sum.num_channels}. Correct it, or choose a transform "
            "of such images."
        )
    return fixed_sum


def known_sum(transform, likelihood, exact):
    """The sum that a factor is to know: `sums.FixedSum`; None for nothing.

    Args:
      transform: `auxiliary.Transform`, which gives its auxiliary images.
      likelihood: `Likelihood` of its images. It needs the sum if it is centered.
      exact: bool, whether to rule out what contradicts the sum, if the likelihood can.

    Raises:
      ValueError: for a transform whose sum is of other values than its images.
    """
    exact = exact and likelihood.bounded_noise_size is not None
    known = exact or likelihood.centered
    fixed_sum = declared_sum(transform, likelihood) if known else None
    return fixed_sum and fixed_sum.with_exact(exact and fixed_sum.exact)


def check_draws(likelihood):
    """Raises ValueError, which names it, for a likelihood whose draws are no pixel values, or out of bounds.

    Not under JAX, where nothing is drawn, and which would compile every operation.
    """
    if backend.NAME != "tensorflow":
        return
    random, last = np.random.default_rng(0), likelihood.num_values - 1
    # Some are large, so that draws are far out.
    params = random.normal(0, 4, (100, likelihood.num_params)).astype(np.float32)
    ends = random.integers(0, last, (2, 100, likelihood.num_channels), np.int32, endpoint=True)
    low, high = np.sort(ends, axis=0)
    known = Bounds(low, high, low.astype(np.float32))

    def bounds(channel, earlier):
        return Bounds(*(ops.convert_to_tensor(x[:, channel]) for x in known))

    for bounded, least, most in ((False, 0, last), (True, low, high)):
        size = likelihood.bounded_noise_size if bounded else likelihood.noise_size
        if size is None or (likelihood.centered and not bounded):
            continue
        noise = likelihood.noise(random.random((100, size), np.float32), bounded=bounded)
        drawn = likelihood.draw(params, noise, bounds=bounds if bounded else None)
        drawn = ops.convert_to_numpy(drawn)
        wrong = drawn != np.clip(np.round(drawn), least, most)
        if wrong.any() or drawn.dtype != np.int32:
            received = drawn[wrong][0] if wrong.any() else drawn.dtype
            raise ValueError(
                f"Expected {type(likelihood).__name__} to draw int32, whole numbers from 0 to {last}"
                f"{', within bounds' * bounded}. Received: {received}. Correct "
                f"{'_bounded_draw' if bounded else '_draw'}."
            )


def checked_output(transform, images, likelihood):
    """transform(images), which fits what the transform declares and a likelihood models."""
    name = type(transform).__name__

    def refuse(what, expected, received):
        raise ValueError(
            f"Expected the transform {name} to give {what} {expected}. Received: {received}. Correct "
            "what it declares, or what it gives."
        )

    height, width = transform.size(tuple(images.shape[1:3]))  # says itself which sizes it takes
    taken, dtype = images.dtype.name, arguments.pixel_dtype(likelihood.num_values)
    try:
        result = ops.convert_to_tensor(transform(images))
        masks = np.zeros((2, *images.shape[1:3], 1), np.uint8)
        masks[1] = 1
        known = ops.convert_to_tensor(transform.known(masks))
        traced = backend.traced_shape(transform, images.shape[1:], taken)
        backend.traced_shape(transform.known, masks.shape[1:], "uint8")
    except Exception as error:
        raise ValueError(
            f"Expected the transform {name} to take {taken} images of {list(images.shape[1:])}, any "
            f"number of them, also in a graph. Received: {type(error).__name__}: {str(error).rstrip('.')}. "
            "Write it in keras.ops or TensorFlow."
        ) from error
    shape = [height, width, likelihood.num_channels]
    if _kind(result) != (dtype, [len(images), *shape]):
        refuse(f"{dtype} images of shape", [len(images), *shape], "{} {}".format(*_kind(result)))
    if traced[1:] != shape:
        refuse("images of a shape known in a graph,", [None, *shape], traced or "an unknown one")
    if (height, width) != blocks.lattice(images.shape[1:3], transform.ratio):
        refuse("a height and width divided by its ratio,", transform.ratio, f"{height} x {width}")
    if _kind(known) != ("uint8", [2, height, width, 1]):
        refuse("uint8 masks of shape", [2, height, width, 1], "{} {}".format(*_kind(known)))
    nowhere, everywhere = ops.convert_to_numpy(known)
    if nowhere.any() or not (everywhere == 1).all():
        refuse("masks", "of 0 where nothing is known, and of 1 where all is", "others")
    result = ops.convert_to_numpy(result)
    if result.max() >= likelihood.num_values:
        refuse("values below", likelihood.num_values, result.max())
    return result


def check_known(transform, images, auxiliary):
    """Raises ValueError, which names it, for a transform that takes values for known that are not.

    Args:
      transform: `Transform`.
      images: [B, H, W, C], to try it on.
      auxiliary: [B, h, w, c], what the transform gives of them.
    """
    batch, height, width, _ = auxiliary.shape
    mask = np.random.default_rng(0).integers(0, 2, (batch, height, width, 1), np.uint8)
    mask = mask.repeat(transform.ratio, axis=1).repeat(transform.ratio, axis=2)
    mask = mask[:, : images.shape[1], : images.shape[2]]
    others = np.where(mask, images, np.roll(images, 1, axis=0))
    known = ops.convert_to_numpy(transform.known(mask))
    wrong = known * (ops.convert_to_numpy(transform(others)) != auxiliary)
    if wrong.any():
        raise ValueError(
            f"Expected {type(transform).__name__}.known to give 1 only where all pixels that a value is "
            "computed from are known. Received: 1 at values that change with others. Define `known`, as a "
            f"transform does that looks beyond its block of {transform.ratio} x {transform.ratio} pixels."
        )


def check_fixed_sum(transform, images, auxiliary, likelihood, below):
    """Raises ValueError, which names it, for a transform whose sum does not fix its auxiliary images.

    Args:
      transform: `Transform`; one that declares no sum passes.
      images: [B, H, W, C], to try it on.
      auxiliary: [B, h, w, c], what the transform gives of them.
      likelihood, below: `Likelihood` of the images, and of the auxiliary images.
    """
    fixed_sum = declared_sum(transform, likelihood)
    if fixed_sum is None:
        return

    def check(fits, what, received):
        if not fits:
            raise ValueError(
                f"Expected the fixed sum of {type(transform).__name__} {what}. Received: {received}. "
                "Correct it, or give None."
            )

    ratio, channels = fixed_sum.ratio, fixed_sum.num_channels
    check(ratio == transform.ratio, f"to be over blocks of side {transform.ratio}", ratio)
    models = likelihood.num_channels if channels is None else 1
    check(below.num_channels == models, f"to tell {models} channels", below.num_channels)
    # Each auxiliary value may be drawn, and then has to be of some image.
    lowest, highest = (fixed_sum.first, below.num_values * fixed_sum.step + fixed_sum.first)
    windows = (
        f"to have sums for the values 0 .. {below.num_values - 1}, from 0 to {fixed_sum.largest}"
    )
    check(
        lowest + fixed_sum.step > 0 and highest - fixed_sum.step <= fixed_sum.largest,
        windows,
        f"windows from {lowest} to {highest - 1}",
    )
    told = ops.convert_to_numpy(fixed_sum.auxiliary(images))
    wrong = told != ops.convert_to_numpy(auxiliary)
    check(not wrong.any(), "to tell its values", f"others for {wrong.mean():.1%} of them")


def _kind(tensor):
    """(dtype, shape) as plain values."""
    return keras.backend.standardize_dtype(tensor.dtype), list(tensor.shape)
