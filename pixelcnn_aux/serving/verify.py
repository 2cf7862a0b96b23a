"""Compares an export with the model that it was made of."""

import contextlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from pixelcnn_aux import sampling

# The share of draws that roundings may turn: to the next value, or to another component of a mixture.
MAX_MISMATCHED = 0.01

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
drawn.pop("image_png_bytes", None)
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
            raise _refusal(
                "that draws what the model does",
                f"images of {name!r} of which the model draws {pixels.mean():.2%} of the pixels otherwise",
            )
    if not np.allclose(expected, received["log_prob"], rtol=1e-5, atol=0.0):
        raise _refusal(f"with the model's log-likelihoods, {expected} nats", received["log_prob"])


def _refusal(expected, received):
    return RuntimeError(
        f"Expected an export {expected}. Received: {received}. Nothing was exported: try another device, or "
        "another version of TensorFlow."
    )


def _run_export(path, seeds):
    """What `_RUN_EXPORT` makes of seeds: dict, "log_prob" and names of images -> arrays."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/inputs.npy", f"{folder}/outputs.npz"
        np.save(inputs, seeds)
        command = [sys.executable, "-c", _RUN_EXPORT, str(path), inputs, outputs]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode:
            raise _refusal("that a new process can run", child.stderr[-2000:].strip())
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
        if factor.exact and not np.isfinite(factor.log_prob(images[name], given)).all():
            raise _refusal(
                f"that draws images of {name!r} that agree with their auxiliary images", "others"
            )
        params = factor.params(images[name], given)
        noise = sampling.noise(factor, seeds, position, images[name].shape[1:3])
        bounds = factor.fixed_sum and factor.fixed_sum.bounds_in(images[name], given)
        drawn = factor.likelihood.draw(params, noise, bounds=bounds)
        mismatched[name] = np.any(drawn != images[name], axis=-1)
        given = images[name]
    return mismatched
