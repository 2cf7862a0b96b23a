"""SavedModels for TensorFlow Serving: python -m pixelcnn_aux.export --workdir W --out DIR.

Writes DIR/MODEL/VERSION/ with the signatures of `signatures`, MODEL being the workdir's name, VERSION one
more than the largest there is. An export is made aside, loaded by a process that does not import this
package, compared with the model, and only then given its name. In its folder assets.extra/ there are

    tf_serving_warmup_requests   a request for each signature, which the server runs before it serves
    batching_parameters.txt      for --batching_parameters_file, where the server is to merge requests
    models.config                for --model_config_file: serves all versions in /models/MODEL
"""

import contextlib
import functools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import flags
from google.protobuf import text_format

from pixelcnn_aux import drawing, layers, program, sampling, workdir
from pixelcnn_aux.chain import in_bits_per_dim, load

try:
    from tensorflow_serving.apis import prediction_log_pb2
    from tensorflow_serving.config import model_server_config_pb2
except ImportError:
    prediction_log_pb2 = None  # `export` says so.

FLAGS = flags.FLAGS

# Compiled drawing is for these batch sizes, and the largest.
COMPILED_BATCH_SIZES = (1, 4, 16, 64)

# The share of draws that roundings may turn: to the next value, or to another component of a mixture.
MAX_MISMATCHED = 0.01


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
        given_NAME    seed, auxiliary uint8 [N, h, w, c] -> images, of what follows NAME in the chain
        complete      seed, image uint8 [N, H, W, C], mask uint8 [N, H, W, 1] -> images
        log_prob      image -> log_prob float32 [N], in nats, bits_per_dim float32 [N], and of each factor
                      log_prob_NAME, bits_per_dim_NAME

    where images are `image`, the full one, `image_png_bytes` string [N], and auxiliary images by their
    factors' names. The graphs refuse what does not fit, as an invalid argument.

    Args:
      model: `AuxiliaryModel`, newly loaded: graphs that it has would have other kernels.
      max_batch: int.
      jit_compile: bool, whether XLA compiles the drawing, anew for each N.

    Returns:
      (tf.Module that holds the weights, dict, name -> concrete function).
    """
    *auxiliaries, full = model.factors
    sizes = model.sizes()

    def images(seed, log_scale_shift=None, **kwargs):
        if log_scale_shift is None:
            log_scale_shift = tf.zeros(tf.shape(seed)[:1])
        drawn = drawing.draw(model, seed, log_scale_shift, jit_compile=jit_compile, **kwargs)
        for name in kwargs.get("given", ()):
            del drawn[name]
        drawn["image"] = drawn.pop(full)
        return {**drawn, "image_png_bytes": tf.io.encode_png(drawn["image"])}

    def given(name, seed, auxiliary):
        return images(seed, given={name: auxiliary})

    def complete(seed, image, mask):
        return images(seed, completed=drawing.completed(model, image, mask, batch=None))

    def log_prob(image):
        nats = model.log_probs(image)
        bits = in_bits_per_dim(nats, image.shape[1:])
        return {
            "log_prob": tf.add_n(list(nats.values())),
            "bits_per_dim": bits["total"],
            **{f"log_prob_{name}": nats[name] for name in nats},
            **{f"bits_per_dim_{name}": bits[name] for name in nats},
        }

    def image_of(name):
        head = model.factors[name].likelihood
        return Input(tf.uint8, (*sizes[name], head.num_channels), head.num_values)

    seed = {"seed": Input(tf.int32, (2,))}
    image = {"image": image_of(full)}
    shifted = {**seed, "log_scale_shift": Input(tf.float32, ())}
    mask = {"mask": Input(tf.uint8, (*model.image_size, 1), num_values=2)}
    served = {
        "sample": (shifted, images),
        "map": (shifted, functools.partial(images, mode="map")),
        "complete": ({**seed, **image, **mask}, complete),
        "log_prob": (image, log_prob),
    }
    for name in auxiliaries:
        inputs = {**seed, "auxiliary": image_of(name)}
        served[f"given_{name}"] = inputs, functools.partial(given, name)

    kernels = {
        layer: tf.Variable(layers.WeightNorm.kernel(layer), trainable=False)
        for factor in model.factors.values()
        for layer in layers.normalized_layers(factor)
    }
    module = tf.Module()
    module.weights = [*kernels.values(), *(layer.b.value for layer in kernels)]
    with layers.folded_kernels(kernels):
        functions = {name: _signature(*f, max_batch) for name, f in served.items()}
    return module, {"serving_default": functions["sample"], **functions}


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
    checks = [
        _check(
            (1 <= batch) & (batch <= max_batch),
            f"Expected 1 to {max_batch} rows of {first} in a request. Received so many:",
            batch,
        )
    ]
    for name in others:
        received = tf.shape(tensors[name])[0]
        checks.append(
            _check(
                received == batch,
                f"Expected as many rows of {name} as of {first}:",
                received,
                batch,
            )
        )
    for name, x in tensors.items():
        num_values = inputs[name].num_values
        if x.dtype.is_floating:
            expected = f"Expected finite values of {name}. Received:"
            checks.append(_check(tf.reduce_all(tf.math.is_finite(x)), expected, x))
        elif x.dtype == tf.uint8 and num_values < 256:
            largest = tf.reduce_max(tf.cast(x, tf.int32))
            expected = f"Expected values of {name} from 0 to {num_values - 1}. Received up to:"
            checks.append(_check(largest < num_values, expected, largest))
    with tf.control_dependencies(checks):
        return {name: tf.identity(x) for name, x in tensors.items()}


def _check(condition, *explanation):
    return tf.debugging.Assert(condition, list(explanation), summarize=8)


def export(folder, out, max_batch=256, jit_compile=False):
    """Writes the next version of a run's SavedModel.

    Args:
      folder: path of the workdir.
      out: path of the folder of all models.
      max_batch: int, the most images a request.
      jit_compile: bool, as for `signatures`.

    Returns:
      The path of the version.

    Raises:
      FileNotFoundError: if `folder` is no workdir.
      ImportError: without tensorflow-serving-api.
      RuntimeError: if the export, loaded again, does not compute what the model does.
      ValueError: if a factor is not trained yet, or as `load`.
    """
    if prediction_log_pb2 is None:
        raise ImportError(
            "Expected the package tensorflow-serving-api, which warm-up requests are written with. "
            "Install it: pip install 'pixelcnn_aux[serving]'."
        )
    model = load(folder)
    model.require(model.factors)
    base = pathlib.Path(out) / pathlib.Path(folder).absolute().name
    base.mkdir(parents=True, exist_ok=True)
    # The server looks for numbers alone.
    aside = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    try:
        aside.chmod(0o755)
        module, functions = signatures(model, max_batch, jit_compile)
        tf.saved_model.save(module, str(aside), functions)
        _write_extras(aside / "assets.extra", base.name, functions, max_batch, jit_compile)
        verify(aside, load(folder))
        return _give_number(aside, base)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _give_number(aside, base):
    """Renames a folder to the next version; one that another process makes meanwhile is left alone."""
    while True:
        versions = [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
        version = base / str(max(versions, default=0) + 1)
        try:
            return aside.rename(version)
        except OSError:
            if not version.exists():
                raise


def _write_extras(folder, name, functions, max_batch, jit_compile):
    """What the server takes besides the SavedModel: warm-up requests and configurations."""
    folder.mkdir()
    sizes = [size for size in COMPILED_BATCH_SIZES if size < max_batch] + [max_batch]
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for batch in sizes if jit_compile else [1]:
            for signature, function in functions.items():
                writer.write(_warm_up_request(name, signature, function, batch))
    # What is compiled anew for each batch size gets few of them: merged requests are padded.
    allowed = [f"allowed_batch_sizes: {size}" for size in sizes] if jit_compile else []
    parameters = [
        f"max_batch_size {{ value: {max_batch} }}",
        "batch_timeout_micros { value: 10000 }",
    ]
    (folder / "batching_parameters.txt").write_text("\n".join([*parameters, *allowed, ""]))
    config = model_server_config_pb2.ModelServerConfig()
    served = config.model_config_list.config.add(
        name=name, base_path=f"/models/{name}", model_platform="tensorflow"
    )
    served.model_version_policy.all.SetInParent()
    (folder / "models.config").write_text(text_format.MessageToString(config))


def _warm_up_request(name, signature, function, batch):
    """A request of zeros, serialized."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for spec in tf.nest.flatten(function.structured_input_signature):
        zeros = tf.make_tensor_proto(0, spec.dtype, [batch, *spec.shape[1:]])
        request.inputs[spec.name].CopyFrom(zeros)
    return log.SerializeToString()


# What a process that knows nothing of this package makes of an export: images, then their log-likelihoods.
_RUN_EXPORT = """
import sys
import numpy as np
import tensorflow as tf
export, inputs, outputs = sys.argv[1:]
tf.config.experimental.enable_tensor_float_32_execution(False)
signatures = tf.saved_model.load(export).signatures
seed = tf.constant(np.load(inputs))
drawn = signatures["sample"](seed=seed, log_scale_shift=tf.zeros(len(seed)))
drawn.pop("image_png_bytes")
log_prob = signatures["log_prob"](image=drawn["image"])["log_prob"]
assert not any(name.startswith("pixelcnn_aux") for name in sys.modules)
np.savez(outputs, log_prob=log_prob, **drawn)
"""


def verify(path, model):
    """Compares an export, loaded in a new process that does not import this package, with a model.

    Images cannot be compared whole: where a rounding turns a draw, all pixels after it are others. So each
    pixel is drawn again, given the export's own pixels before it.

    Args:
      path: of the export.
      model: `AuxiliaryModel`.

    Raises:
      RuntimeError: if the export cannot be run, draws more than `MAX_MISMATCHED` of a factor's pixels, or one
        pixel in every image, otherwise than the model does from the same seeds, or gives images another
        log-likelihood.
    """
    seeds = np.array([[0, index] for index in range(4)], np.int32)
    received = _run_export(path, seeds)
    *_, full = model.factors
    with _full_precision():
        mismatched = _mismatched(model, seeds, {**received, full: received["image"]})
        expected = model.log_prob(received["image"]).numpy()
    for name, pixels in mismatched.items():
        # Roundings are few, and do not meet at the same place of every image.
        if pixels.mean() > MAX_MISMATCHED or pixels.all(axis=0).any():
            raise RuntimeError(
                f"Expected an export that draws what the model does. Received images of {name!r} of which "
                f"the model draws {pixels.mean():.2%} of the pixels otherwise. Nothing was exported."
            )
    if not np.allclose(expected, received["log_prob"], rtol=1e-5, atol=0.0):
        raise RuntimeError(
            f"Expected an export with the model's log-likelihoods, {expected} nats. "
            f"Received: {received['log_prob']}. Nothing was exported."
        )


def _run_export(path, seeds):
    """What `_RUN_EXPORT` makes of seeds: dict, "log_prob" and names of images -> arrays."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/inputs.npy", f"{folder}/outputs.npz"
        np.save(inputs, seeds)
        command = [sys.executable, "-c", _RUN_EXPORT, str(path), inputs, outputs]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode:
            raise RuntimeError(
                f"Expected an export that a new process can run. Received: {child.stderr[-2000:]}"
            )
        return dict(np.load(outputs))


@contextlib.contextmanager
def _full_precision():
    """Products of float32 as such: by default some GPUs round their factors to ten bits."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _mismatched(model, seeds, images):
    """Which pixels each factor draws otherwise, given those before them: dict, name -> bool [N, h, w].

    The networks are evaluated over whole images, which holds the export's loops to them as well.
    """
    mismatched, given = {}, None
    for position, (name, factor) in enumerate(model.factors.items()):
        params = factor.params(images[name], given)
        noise = sampling.noise(factor, seeds, position, images[name].shape[1:3])
        drawn = factor.likelihood.draw(params, noise)
        mismatched[name] = np.any(drawn != images[name], axis=-1)
        given = images[name]
    return mismatched


def main():
    folder = pathlib.Path(FLAGS.workdir) if FLAGS.workdir else workdir.newest()
    print(f"Exporting {folder} ...", flush=True)
    start = time.perf_counter()
    version = export(folder, FLAGS.out, FLAGS.max_batch, FLAGS.jit)
    print(f"Wrote {version} in {time.perf_counter() - start:.0f} s, and compared it with the model")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "What training left; the newest run under runs/ if unset.")
    flags.DEFINE_string("out", None, "The folder of all models.", required=True)
    flags.DEFINE_integer(
        "max_batch", 256, "The most images that a request may ask for.", lower_bound=1
    )
    flags.DEFINE_bool("jit", False, "XLA compiles the drawing, anew for each batch size.")
    program.run(main)
