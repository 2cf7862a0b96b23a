"""The functions of a model that are served, as graphs with nothing of this package in them."""

import functools
from typing import NamedTuple

import tensorflow as tf

from pixelcnn_aux import backend, layers, sampling
from pixelcnn_aux.auxiliary_model import in_bits_per_dim

# Outputs beside the auxiliary images, which are called by their factors' names; and how others begin.
RESERVED = ("image", "image_png_bytes", "factors", "num_values", "max_batch")
_BEGINNINGS = ("log_prob", "bits_per_dim")


class Input(NamedTuple):
    """An input of a signature."""

    dtype: tf.DType
    shape: tuple  # after N
    num_values: int = 256  # of an image's pixels


def signatures(model, max_batch=256, jit_compile=False):
    """The functions that are served.

    Every input and output has the batch, 1 <= N <= `max_batch`, as its first dimension, and row n of every
    output depends on row n of the inputs alone:

        sample, map   seed int32 [N, 2], log_scale_shift float32 [N] -> images
        given_NAME    seed, log_scale_shift, auxiliary uint8 [N, h, w, c] -> images, of what follows NAME in
                      the chain
        complete      seed, log_scale_shift, image uint8 [N, H, W, C], mask uint8 [N, H, W, 1] -> images;
                      only of models that `sampling.can_complete`
        log_prob      image -> log_prob float32 [N], in nats, bits_per_dim float32 [N], and of each factor
                      log_prob_NAME, bits_per_dim_NAME
        auxiliaries   image -> its auxiliary images by their factors' names, and what describes the chain
                      of F factors, the same in every row: factors string [N, F], their names in the order
                      of sampling, num_values int32 [N, F], which pixel values of their images are below,
                      max_batch int32 [N]

    where images are `image`, the full one, and auxiliary images by their factors' names; and where PNG
    holds full images unchanged, of 1 or 3 channels of 256 values, `image_png_bytes` string [N]. The graphs
    refuse what does not fit, as an invalid argument.

    Args:
      model: `AuxiliaryModel`, newly loaded: graphs that it has would have other kernels.
      max_batch: int.
      jit_compile: bool, whether XLA compiles the drawing, anew for each N.

    Returns:
      (tf.Module that holds the weights, dict, name -> concrete function).

    Raises:
      ValueError: if an auxiliary image is called as another output, or as others begin.
    """
    *auxiliaries, _ = model.factors
    taken = [name for name in auxiliaries if name in RESERVED or name.startswith(_BEGINNINGS)]
    if taken:
        raise ValueError(
            f"Expected auxiliary images whose names are none of {', '.join(RESERVED)} and do not begin with "
            f"{' or '.join(_BEGINNINGS)}, as those of other outputs do. Received: {', '.join(taken)}. "
            "Give the factor another name."
        )
    kernels = {
        layer: tf.Variable(layer.kernel(), trainable=False)
        for factor in model.factors.values()
        for layer in layers.normalized_layers(factor)
    }
    module = tf.Module()
    module.weights = [*kernels.values(), *(layer.b.value for layer in kernels)]
    with layers.given_kernels(kernels):
        functions = {
            name: _signature(inputs, compute, max_batch)
            for name, (inputs, compute) in _served(model, max_batch, jit_compile).items()
        }
    return module, {"serving_default": functions["sample"], **functions}


def _served(model, max_batch, jit_compile):
    """dict, name -> (dict, name -> `Input`; function of as many tensors that are checked)."""
    *auxiliaries, full = model.factors
    sizes = model.sizes()
    likelihoods = {name: factor.likelihood for name, factor in model.factors.items()}

    def images(seed, log_scale_shift, **kwargs):
        drawn = sampling.draw(model, seed, log_scale_shift, jit_compile=jit_compile, **kwargs)
        for name in kwargs.get("given", ()):
            del drawn[name]
        drawn["image"] = drawn.pop(full)
        if likelihoods[full].num_values == 256 and likelihoods[full].num_channels in (1, 3):
            drawn["image_png_bytes"] = tf.io.encode_png(drawn["image"])
        return drawn

    def given(name, auxiliary, **how):
        return images(**how, given={name: auxiliary})

    def complete(image, mask, **how):
        return images(**how, kept=sampling.kept_pixels(model, image, mask, batch=None))

    def auxiliaries_of(image):
        chain = model.auxiliaries(image)
        del chain[full]
        num_values = [likelihood.num_values for likelihood in likelihoods.values()]
        described = {
            "factors": tf.constant([list(likelihoods)]),
            "num_values": tf.constant([num_values]),
            "max_batch": tf.constant([max_batch]),
        }
        rows = {name: tf.repeat(x, tf.shape(image)[0], axis=0) for name, x in described.items()}
        return {**chain, **rows}

    def image_of(name):
        likelihood = likelihoods[name]
        return Input(tf.uint8, (*sizes[name], likelihood.num_channels), likelihood.num_values)

    how = {"seed": Input(tf.int32, (2,)), "log_scale_shift": Input(tf.float32, ())}
    image = {"image": image_of(full)}
    mask = {"mask": Input(tf.uint8, (*model.image_size, 1), num_values=2)}
    completing = {"complete": ({**how, **image, **mask}, complete)}
    return {
        "sample": (how, images),
        "map": (how, functools.partial(images, mode="map")),
        **(completing if sampling.can_complete(model) else {}),
        "log_prob": (image, functools.partial(log_prob, model)),
        "auxiliaries": (image, auxiliaries_of),
        **{
            f"given_{name}": ({**how, "auxiliary": image_of(name)}, functools.partial(given, name))
            for name in auxiliaries
        },
    }


@backend.sums_in_order()
def log_prob(model, image):
    """What the signature of this name returns: dict, output -> float [N]."""
    nats = model.log_probs(image)
    bits = in_bits_per_dim(nats, image.shape[1:])
    return {
        "log_prob": sum(nats.values()),
        "bits_per_dim": bits["total"],
        **{f"log_prob_{name}": nats[name] for name in nats},
        **{f"bits_per_dim_{name}": bits[name] for name in nats},
    }


def _signature(inputs, compute, max_batch):
    """The concrete function that checks tensors of these `Input`s and computes with them."""
    specs = [tf.TensorSpec([None, *x.shape], x.dtype, name) for name, x in inputs.items()]

    def function(*tensors):
        return compute(**_checked(dict(zip(inputs, tensors)), inputs, max_batch))

    function = tf.function(function, input_signature=specs, autograph=False)
    return function.get_concrete_function()


def _checked(tensors, inputs, max_batch):
    """The tensors, of which nothing is computed where one of them does not fit."""
    # The server's session does not compare what it is fed with shapes that are known here: this does.
    tensors = {
        name: tf.ensure_shape(x, [None, *inputs[name].shape], name=f"expected_shape_of_{name}")
        for name, x in tensors.items()
    }
    first, *others = tensors
    batch = tf.shape(tensors[first])[0]
    expected = f"1 to {max_batch} rows of {first} in a request"
    checks = [_check((1 <= batch) & (batch <= max_batch), expected, batch)]
    for name in others:
        received = tf.shape(tensors[name])[0]
        expected = f"as many rows of {name} as of {first}"
        checks.append(_check(received == batch, expected, received, batch))
    for name, x in tensors.items():
        num_values = inputs[name].num_values
        if x.dtype.is_floating:
            finite = tf.reduce_all(tf.math.is_finite(x))
            checks.append(_check(finite, f"finite values of {name}", x))
        elif x.dtype == tf.uint8 and num_values < 256:
            largest = tf.reduce_max(tf.cast(x, tf.int32))
            expected = f"values of {name} from 0 to {num_values - 1}"
            checks.append(_check(largest < num_values, expected, largest))
    with tf.control_dependencies(checks):
        return {name: tf.identity(x) for name, x in tensors.items()}


def _check(condition, expected, *received):
    message = [f"Expected {expected}. Received:", *received, "Correct the request."]
    return tf.debugging.Assert(condition, message, summarize=8)
