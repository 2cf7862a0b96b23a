"""What a server answers is not trusted: how large it may be, and that it fits the signatures of an export."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# What exports take and return: of each dtype, the field of a TensorProto that has its values.
FIELDS = {
    tf.uint8: "int_val",
    tf.int32: "int_val",
    tf.float32: "float_val",
    tf.string: "string_val",
}

# Bytes, at most. A number takes most in the JSON of TensorFlow Serving, where each bracket and each value has
# a line, in an image of one pixel: 140, and with it its part of a PNG file. Of a string the rest, or a name.
NUMBER_BYTES = 192
STRING_BYTES = 1024
OVERHEAD_BYTES = 2**16  # names, and what a protocol adds
METADATA_BYTES = 2**22
# Enough for an image of 256 x 256. JSON of empty lists takes 1.5 GB of memory or so.
MAX_BYTES = 2**26

ROUNDING = 0.1  # nats or bits per dimension by which roundings may put a probability above one


class WrongAnswer(Exception):
    """An answer that an export in TensorFlow Serving does not give.

    Attributes:
      expected, received: str, parts of a message; what is received has any length and any characters.
    """

    def __init__(self, expected, received):
        super().__init__(expected, received)
        self.expected = expected
        self.received = str(received)


class Signature(NamedTuple):
    """What a served function takes and returns: dicts, name -> tf.TensorSpec, of [N, ...]."""

    inputs: dict
    outputs: dict


class ImageSpec(NamedTuple):
    """What the image of a factor is: its pixel values are below `num_values`."""

    shape: tuple  # (h, w, c)
    num_values: int


def most_bytes(specs, rows):
    """The most bytes that so many rows of these tensors take, in either protocol.

    Args:
      specs: dict, name -> tf.TensorSpec of [N, ...].
      rows: int.
    """
    sizes = {name: math.prod(spec.shape[1:]) for name, spec in specs.items()}
    strings = sum(sizes[name] for name, spec in specs.items() if spec.dtype == tf.string)
    numbers = sum(sizes.values()) - strings
    return rows * (NUMBER_BYTES * numbers + STRING_BYTES * strings) + OVERHEAD_BYTES


def signatures(definitions):
    """The signatures that a server says a model has.

    Args:
      definitions: dict, name -> SignatureDef.

    Returns:
      dict, name -> `Signature`, in the order of the names.

    Raises:
      WrongAnswer: for dtypes that exports do not use, shapes other than [N, ...], and rows of more than
        `MAX_BYTES`.
    """
    return {
        _printable(name): Signature(
            _specs(name, definition.inputs), _specs(name, definition.outputs)
        )
        for name, definition in sorted(definitions.items())
        if not name.startswith("__")  # what a server runs when it loads the model
    }


def _specs(signature, infos):
    """dict, name -> tf.TensorSpec, of a signature's inputs or outputs."""
    dtypes = {dtype.as_datatype_enum: dtype for dtype in FIELDS}
    specs = {}
    for name, info in infos.items():
        batch, *shape = [dim.size for dim in info.tensor_shape.dim] or [None]
        if info.dtype not in dtypes or batch != -1 or any(size < 1 for size in shape):
            raise WrongAnswer(
                f"tensors of {', '.join(dtype.name for dtype in FIELDS)} in [N, ...] in the signature "
                f"{signature!r}",
                f"{name!r} of dtype {info.dtype} in {[batch, *shape]}",
            )
        specs[_printable(name)] = tf.TensorSpec([None, *shape], dtypes[info.dtype])
    if not specs or most_bytes(specs, 1) > MAX_BYTES:
        raise WrongAnswer(
            f"tensors of at most {MAX_BYTES} bytes a row in the signature {signature!r}",
            {name: spec.shape.as_list() for name, spec in specs.items()} or "none",
        )
    return specs


def _printable(name):
    if not name.isprintable():
        raise WrongAnswer("names of printable characters", ascii(name))
    return name


def arrays(values, outputs, rows, decode):
    """The arrays of an answer.

    Args:
      values: dict, name -> what the protocol has of an output.
      outputs: dict, name -> tf.TensorSpec, of all outputs of the signature that was asked.
      rows: int, how many the inputs had.
      decode: function (name, what the protocol has, dtype) -> (tuple, the shape; list of as many numbers, or
        of bytes).

    Returns:
      dict, name -> array [rows, ...] of the output's dtype; bytes in an array of objects.

    Raises:
      WrongAnswer: for other outputs, shapes, dtypes and numbers than the signature has; for NaN; for infinite
        numbers that are no likelihoods of what is impossible; for likelihoods above one.
    """
    if values.keys() != outputs.keys():
        raise WrongAnswer(f"the outputs {sorted(outputs)}", sorted(values))
    found = {}
    for name, spec in outputs.items():
        expected = (rows, *spec.shape[1:])
        shape, flat = decode(name, values[name], spec.dtype)
        if shape != expected or len(flat) != math.prod(expected):
            raise WrongAnswer(f"{name} in {list(expected)}", f"{list(shape)} of {len(flat)} values")
        array = np.array(flat, object) if spec.dtype == tf.string else _numbers(name, flat, spec)
        found[name] = array.reshape(expected)
    return found


def _numbers(name, values, spec):
    """A list of numbers as an array of a spec's dtype, which has them all."""
    expected = f"{name} as numbers of {spec.dtype.name}"
    kinds = {int} if spec.dtype.is_integer else {int, float}
    others = {type(value) for value in values} - kinds
    if others:
        raise WrongAnswer(expected, " and ".join(sorted(kind.__name__ for kind in others)))
    try:
        with np.errstate(over="raise"):
            array = np.array(values, spec.dtype.as_numpy_dtype)
    except (OverflowError, FloatingPointError) as error:
        raise WrongAnswer(expected, error) from error
    if name.startswith("log_prob"):
        expected, right = f"{name} of at most 0 nats", array <= ROUNDING
    elif name.startswith("bits_per_dim"):
        expected, right = f"{name} of at least 0", array >= -ROUNDING
    else:
        expected, right = f"finite values of {name}", np.isfinite(array)
    if spec.dtype.is_floating and not right.all():
        raise WrongAnswer(expected, array[~right][0])
    return array


def full_shape(signature):
    """(H, W, C) of the image whose auxiliary images a signature computes.

    Raises WrongAnswer where it is none that an export has as `auxiliaries`.
    """
    if signature.inputs.keys() != {"image"}:
        raise WrongAnswer("auxiliaries of the input image alone", sorted(signature.inputs))
    described = {
        "image": (tf.uint8, 4),
        "factors": (tf.string, 2),
        "num_values": (tf.int32, 2),
        "max_batch": (tf.int32, 1),
    }
    for name, (dtype, rank) in described.items():
        spec = {**signature.outputs, **signature.inputs}.get(name)
        if spec is None or (spec.dtype, spec.shape.rank) != (dtype, rank):
            raise WrongAnswer(f"auxiliaries with {name}, {dtype.name} of {rank} dimensions", spec)
    return tuple(signature.inputs["image"].shape[1:])


def image_specs(signature, answer):
    """The images of a model's factors.

    Args:
      signature: `Signature`, of `auxiliaries`.
      answer: dict, name -> array, what it returned.

    Returns:
      dict, factor name -> `ImageSpec`, in the order of sampling.

    Raises:
      WrongAnswer: where the factors are not those of its images, or their pixels have no values of uint8.
    """
    try:
        names = [_printable(name.decode()) for name in answer["factors"][0]]
    except UnicodeDecodeError as error:
        raise WrongAnswer("names of factors in UTF-8", error.object) from error
    shapes = {
        name: tuple(spec.shape[1:])
        for name, spec in signature.outputs.items()
        if (spec.dtype, spec.shape.rank) == (tf.uint8, 4)
    }
    *auxiliaries, last = names
    others = signature.outputs.keys() - {"factors", "num_values", "max_batch"}
    if len(set(names)) != len(names) or not others == shapes.keys() == set(auxiliaries):
        raise WrongAnswer(f"factors of the images {sorted(others)} and of the full one", names)
    shapes[last] = full_shape(signature)
    counts = answer["num_values"][0].tolist()
    if len(counts) != len(names) or not all(1 <= count <= 256 for count in counts):
        raise WrongAnswer(f"1 to 256 values of the pixels of each of {names}", counts)
    return {name: ImageSpec(shapes[name], count) for name, count in zip(names, counts)}


def max_batch(answer):
    """The most rows that a model takes in a request: int.

    Args:
      answer: dict, name -> array, what `auxiliaries` returned.

    Raises:
      WrongAnswer: where it takes none.
    """
    rows = int(answer["max_batch"][0])
    if rows < 1:
        raise WrongAnswer("max_batch of 1 or more", rows)
    return rows


def check_signatures(served, images):
    """Raises WrongAnswer where signatures are not those of an export whose factors have these images.

    Args:
      served: dict, name -> `Signature`.
      images: dict, factor name -> `ImageSpec`, in the order of sampling.
    """
    *auxiliaries, full = images
    specs = {name: tf.TensorSpec([None, *spec.shape], tf.uint8) for name, spec in images.items()}
    specs["image"] = specs[full]
    mask = tf.TensorSpec([None, *images[full].shape[:2], 1], tf.uint8)
    likelihoods = [
        f"{kind}{factor}"
        for kind in ("log_prob", "bits_per_dim")
        for factor in ("", *(f"_{name}" for name in images))
    ]
    outputs = {**specs, **dict.fromkeys(likelihoods, tf.TensorSpec([None], tf.float32))}
    needed = {
        "sample": ["image", *auxiliaries],
        "map": ["image", *auxiliaries],
        "complete": ["image"],
        "log_prob": likelihoods,
        **{f"given_{name}": ["image"] for name in auxiliaries},
    }
    for name, signature in served.items():
        given = specs.get(name.removeprefix("given_"))
        inputs = {"image": specs["image"], "mask": mask, "auxiliary": given}
        _check_specs(name, signature.inputs, inputs, [])
        _check_specs(name, signature.outputs, outputs, needed.get(name, []))


def _check_specs(signature, received, expected, needed):
    """Compares tensors that are there with what those of their names are; the needed ones must be there."""
    for name in {*needed, *(received.keys() & expected.keys())}:
        if received.get(name) != expected[name]:
            raise WrongAnswer(
                f"{name} of the signature {signature} as {expected[name]}", received.get(name)
            )


def check_pixels(answer, images):
    """Raises WrongAnswer for pixels of values that their images do not have.

    Args:
      answer: dict, name -> array.
      images: dict, factor name -> `ImageSpec`, in the order of sampling; any where the answer has no pixels.
    """
    for name, array in answer.items():
        if array.dtype == np.uint8:
            *_, full = images.values()
            num_values = images.get(name, full).num_values
            if array.max() >= num_values:
                raise WrongAnswer(f"values of {name} from 0 to {num_values - 1}", array.max())
