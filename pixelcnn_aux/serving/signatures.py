"""Functions of a model to serve, as graphs that run without this package."""

import copy
import functools

import tensorflow as tf

from pixelcnn_aux import sampling
from pixelcnn_aux.base import arguments, backend
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.factors.factor import in_bits_per_dim
from pixelcnn_aux.scanning.requests import DrawRequest
from pixelcnn_aux.serving.interface import DESCRIPTION, SIZES, Tensor, signatures_of_chain

# Names and prefixes of outputs that auxiliary images, which are named after their factors, cannot have.
RESERVED = ("image", "image_png_bytes", *DESCRIPTION)
_PREFIXES = ("log_prob", "bits_per_dim")


def check_names(model, names):
    """Returns `names`, or all of a model's signatures if None. Raises ValueError for unknown ones.

    Also raises ValueError for factors whose names clash with other outputs.
    """
    *auxiliaries, _ = model.factors
    clashing = [x for x in auxiliaries if x in RESERVED or x.startswith(_PREFIXES)]
    expected = (
        f"auxiliary images with other names than {', '.join(RESERVED)}, and without the prefixes "
        f"{' and '.join(_PREFIXES)} of other outputs"
    )
    expect(not clashing, expected, ", ".join(clashing), "Give the factor another name")
    available = [*signatures_of_chain(images_of(model), model.condition)]
    available.remove("serving_default")
    if not sampling.can_complete(model):
        available.remove("complete")
    if not all(factor.likelihood.has_density for factor in model.factors.values()):
        available.remove("log_density_and_gradient")
    names = available if names is None else names
    unknown = [name for name in names if name not in available]
    received = ", ".join(unknown) or "none"
    expected = f"signatures of {', '.join(available)}"
    expect(names and not unknown, expected, received, "Choose among them")
    return names


def signatures(model, names=None, *, max_batch=256, jit_compile=False):
    """Returns a tf.Module with a model's weights, and concrete functions: dict, name -> function.

    Row n of every output depends only on row n of the inputs. The graphs reject invalid inputs, and batches
    other than 1 <= N <= `max_batch`. XLA compiles draws once for each N. `serving_default` is `sample`, or
    the first function.
    """
    names = check_names(model, names)
    module = tf.Module()
    module.weights = []

    def variable(x):
        module.weights.append(tf.Variable(x, trainable=False))
        return module.weights[-1]

    model = copy.copy(model)
    model.factors = {
        name: factor.with_kernels({path: variable(x) for path, x in factor.kernels().items()})
        for name, factor in model.factors.items()
    }
    served = _served(model, max_batch, jit_compile)
    functions = {name: _concrete(*served[name], max_batch) for name in names}
    default = "sample" if "sample" in functions else names[0]
    return module, {"serving_default": functions[default], **functions}


def images_of(model):
    """dict, factor name -> `Tensor` of its image, in the order of sampling."""
    images = {}
    for name, size in model.sizes().items():
        likelihood = model.factors[name].likelihood
        dtype = tf.as_dtype(arguments.pixel_dtype(likelihood.num_values))
        images[name] = Tensor(dtype, (*size, likelihood.num_channels), likelihood.num_values)
    return images


def _served(model, max_batch, jit_compile):
    """dict, name -> (inputs, a dict name -> `Tensor`; function of checked inputs)."""
    *auxiliaries, full = model.factors
    specs = images_of(model)
    interface = signatures_of_chain(specs, model.condition)
    outputs = interface["auxiliaries"].outputs

    def draw(seed, log_scale_shift, condition=None, mode="sample", given=None, kept=None):
        request = DrawRequest(seed, log_scale_shift, condition, mode=mode, jit_compile=jit_compile)
        drawn = sampling.draw(model, request, given, kept)
        for name in given or ():
            del drawn[name]
        drawn["image"] = drawn.pop(full)
        if "image_png_bytes" in interface["sample"].outputs:
            drawn["image_png_bytes"] = tf.io.encode_png(drawn["image"])
        return drawn

    def draw_given(name):
        return lambda auxiliary, **options: draw(**options, given={name: auxiliary})

    def complete(image, mask, **options):
        return draw(**options, kept=sampling.kept_pixels(model, image, mask, batch=None))

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
        "sample": draw,
        "map": functools.partial(draw, mode="map"),
        "log_prob": functools.partial(log_prob, model),
        "log_density_and_gradient": functools.partial(log_density_and_gradient, bound),
        "auxiliaries": auxiliaries_of,
        **{f"given_{name}": draw_given(name) for name in auxiliaries},
        "complete": complete,
    }
    return {name: (interface[name].inputs, function) for name, function in functions.items()}


@backend.sums_in_order()
def log_prob(model, image, condition=None):
    """Outputs of the signature `log_prob`: dict, name -> float [N]."""
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
    """Outputs of `log_density_and_gradient`, for inexact models: dict, name -> float [N, ...]."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(image)
        nats = model.log_density(image, condition)
    return {"log_density": nats, "gradient": tape.gradient(nats, image)}


def _concrete(inputs, compute, max_batch):
    """Concrete function that checks these inputs and calls `compute`."""
    specs = [tf.TensorSpec([None, *x.shape], x.dtype, name) for name, x in inputs.items()]

    @tf.function(input_signature=specs, autograph=False)
    def function(*tensors):
        return compute(**_checked(dict(zip(inputs, tensors)), inputs, max_batch))

    return function.get_concrete_function()


def _checked(tensors, inputs, max_batch):
    """The tensors, with control dependencies on assertions that they fit."""
    # The server's session does not compare input shapes with the graph.
    tensors = {
        name: tf.ensure_shape(x, [None, *inputs[name].shape], name=f"expected_shape_of_{name}")
        for name, x in tensors.items()
    }
    first, *rest = tensors
    batch = tf.shape(tensors[first])[0]
    checks = []

    def check(condition, expected, *received):
        message = [f"Expected {expected}. Received:", *received, "Correct the request."]
        checks.append(tf.debugging.Assert(condition, message, summarize=8))

    fits = (1 <= batch) & (batch <= max_batch)
    check(fits, f"1 to {max_batch} rows of {first} in a request", batch)
    for name in rest:
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
