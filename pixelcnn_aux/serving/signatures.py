"""The served functions of a model, as graphs that run without this package."""

import copy
import functools

import tensorflow as tf

from pixelcnn_aux import sampling
from pixelcnn_aux.base import arguments, backend
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import DrawRequest
from pixelcnn_aux.factors.conditional import in_bits_per_dim
from pixelcnn_aux.serving.interface import DESCRIPTION, SIZES, Tensor, signatures_of_chain

# Outputs beside the auxiliary images, which have the names of their factors; and beginnings of others.
RESERVED = ("image", "image_png_bytes", *DESCRIPTION)
_BEGINNINGS = ("log_prob", "bits_per_dim")


def check_names(model, names):
    """The names of a model's signatures, or `names` of some, checked; auxiliary images are checked too."""
    *auxiliaries, _ = model.factors
    clashing = [x for x in auxiliaries if x in RESERVED or x.startswith(_BEGINNINGS)]
    expected = (
        f"auxiliary images with other names than {', '.join(RESERVED)}, and without the beginnings "
        f"{' and '.join(_BEGINNINGS)} of other outputs"
    )
    expect(not clashing, expected, ", ".join(clashing), "Give the factor another name")
    known = [*signatures_of_chain(images_of(model), model.condition)]
    known.remove("serving_default")
    if not sampling.can_complete(model):
        known.remove("complete")
    if not all(factor.likelihood.has_density for factor in model.factors.values()):
        known.remove("log_density_and_gradient")
    names = known if names is None else names
    unknown = [name for name in names if name not in known]
    received = ", ".join(unknown) or "none"
    expected = f"signatures of {', '.join(known)}"
    expect(names and not unknown, expected, received, "Choose among them")
    return names


def signatures(model, names=None, *, max_batch=256, jit_compile=False):
    """A tf.Module of a model's weights, and the concrete functions of `names` or all: dict, name -> function.

    Row n of every output depends on row n of the inputs alone. The graphs refuse inputs that do not fit, and
    batches other than 1 <= N <= `max_batch`. XLA compiles the drawing once for each N. `serving_default` is
    `sample`, or the first function.
    """
    names, module = check_names(model, names), tf.Module()
    module.weights = []

    def variable(x):
        module.weights.append(tf.Variable(x, trainable=False))
        return module.weights[-1]

    model = copy.copy(model)
    model.factors = {name: x.with_tensors(variable) for name, x in model.factors.items()}
    served = _served(model, max_batch, jit_compile)
    functions = {name: _concrete(*served[name], max_batch) for name in names}
    default = "sample" if "sample" in functions else names[0]
    return module, {"serving_default": functions[default], **functions}


def images_of(model):
    """dict, factor name -> `Tensor`, the image of each factor in the order of sampling."""
    sizes = model.sizes()
    kinds = {name: factor.likelihood for name, factor in model.factors.items()}
    return {
        name: Tensor(
            tf.as_dtype(arguments.pixel_dtype(kind.num_values)),
            (*sizes[name], kind.num_channels),
            kind.num_values,
        )
        for name, kind in kinds.items()
    }


def _served(model, max_batch, jit_compile):
    """dict, name -> (dict, name -> `Tensor` of inputs; function of checked inputs)."""
    *auxiliaries, full = model.factors
    specs = images_of(model)
    described = signatures_of_chain(specs, model.condition)
    outputs = described["auxiliaries"].outputs

    def images(seed, log_scale_shift, condition=None, mode="sample", given=None, kept=None):
        request = DrawRequest(seed, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        drawn = sampling.draw(model, request, given, kept)
        for name in given or ():
            del drawn[name]
        drawn["image"] = drawn.pop(full)
        if "image_png_bytes" in described["sample"].outputs:
            drawn["image_png_bytes"] = tf.io.encode_png(drawn["image"])
        return drawn

    def given(name):
        return lambda auxiliary, **how: images(**how, given={name: auxiliary})

    def complete(image, mask, **how):
        return images(**how, kept=sampling.kept_pixels(model, image, mask, batch=None))

    def auxiliaries_of(image):
        chain = model.auxiliaries(image)
        del chain[full]
        description = {
            "factors": tf.constant([list(specs)]),
            "num_values": tf.constant([[spec.num_values for spec in specs.values()]]),
            "max_batch": tf.constant([max_batch]),
            **{x: tf.constant([model.condition.size]) for x in SIZES if x in outputs},
        }
        rows = {name: tf.repeat(x, tf.shape(image)[0], axis=0) for name, x in description.items()}
        return {**chain, **rows}

    bound = model.with_exact(False)
    functions = {
        "sample": images,
        "map": functools.partial(images, mode="map"),
        "log_prob": functools.partial(log_prob, model),
        "log_density_and_gradient": functools.partial(log_density_and_gradient, bound),
        "auxiliaries": auxiliaries_of,
        **{f"given_{name}": given(name) for name in auxiliaries},
        "complete": complete,
    }
    return {name: (described[name].inputs, function) for name, function in functions.items()}


@backend.sums_in_order()
def log_prob(model, image, condition=None):
    """Outputs of the signature of this name: dict, name -> float [N]."""
    nats = model.log_probs(image, condition)
    bits = in_bits_per_dim(nats, image.shape[1:])
    return {
        "log_prob": sum(nats.values()),
        "bits_per_dim": bits["total"],
        **{f"log_prob_{name}": nats[name] for name in nats},
        **{f"bits_per_dim_{name}": bits[name] for name in nats},
    }


@backend.sums_in_order()
def log_density_and_gradient(model, image, condition=None):
    """Outputs of the signature of this name: dict, name -> float [N, ...]. Not for exact models."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        nats = model.log_density(image, condition)
    return {"log_density": nats, "gradient": tape.gradient(nats, image)}


def _concrete(inputs, compute, max_batch):
    """The concrete function of these inputs, which it checks."""
    specs = [tf.TensorSpec([None, *x.shape], x.dtype, name) for name, x in inputs.items()]

    @tf.function(input_signature=specs, autograph=False)
    def function(*tensors):
        return compute(**_checked(dict(zip(inputs, tensors)), inputs, max_batch))

    return function.get_concrete_function()


def _checked(tensors, inputs, max_batch):
    """The tensors, behind assertions that all of them fit."""
    # The server's session does not compare the shapes of inputs with those of the graph: this does.
    tensors = {
        name: tf.ensure_shape(x, [None, *inputs[name].shape], name=f"expected_shape_of_{name}")
        for name, x in tensors.items()
    }
    first, *others = tensors
    batch, checks = tf.shape(tensors[first])[0], []

    def check(condition, expected, *received):
        message = [f"Expected {expected}. Received:", *received, "Correct the request."]
        checks.append(tf.debugging.Assert(condition, message, summarize=8))

    fits = (1 <= batch) & (batch <= max_batch)
    check(fits, f"1 to {max_batch} rows of {first} in a request", batch)
    for name in others:
        rows = tf.shape(tensors[name])[0]
        check(rows == batch, f"as many rows of {name} as of {first}", rows, batch)
    for name, x in tensors.items():
        num_values = inputs[name].num_values
        if num_values is not None and num_values <= x.dtype.max:
            least, last = inputs[name].least, num_values - 1
            values = x if x.dtype.is_floating else tf.cast(x, tf.int32)
            fit = (least <= values) & (values <= last)
            wrong = values[~fit]
            check(tf.reduce_all(fit), f"values of {name} from {least} to {last}", wrong)
        elif x.dtype.is_floating:
            check(tf.reduce_all(tf.math.is_finite(x)), f"finite values of {name}", x)
    with tf.control_dependencies(checks):
        return {name: tf.identity(x) for name, x in tensors.items()}
