"""Comparison of an export with its model."""

import signal
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from pixelcnn_aux import sampling
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.inputs import DrawRequest, Inputs, upper_half
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.serving.interface import signatures_of_chain
from pixelcnn_aux.serving.signatures import images_of, log_density_and_gradient, log_prob

# The share of pixels that rounding may change: to the next value, or to another component of a mixture.
MAX_MISMATCHED = 0.01

# Inputs of every signature that draws, one for each image.
SEEDS = np.array([[0, index] for index in range(4)], np.int32)
SHIFTS = np.array([0.0, -0.25, -0.5, -0.75], np.float32)

# A program that runs an export without this package, in requests of at most `max_batch` rows.
_RUN_EXPORT = """
import sys
import numpy as np
import tensorflow as tf
export, max_batch, inputs, outputs = sys.argv[1:]
tf.config.experimental.enable_tensor_float_32_execution(False)
signatures = tf.saved_model.load(export).signatures
requests, answers = {}, {}
for key, array in np.load(inputs).items():
    signature, name = key.split("/")
    requests.setdefault(signature, {})[name] = tf.constant(array)
for signature, arrays in requests.items():
    rows = range(0, len(next(iter(arrays.values()))), int(max_batch))
    slices = [{name: x[at : at + int(max_batch)] for name, x in arrays.items()} for at in rows]
    parts = [signatures[signature](**arrays) for arrays in slices]
    for name, x in parts[0].items():
        if x.dtype != tf.string:
            answers[f"{signature}/{name}"] = tf.concat([part[name] for part in parts], axis=0)
assert not any(name.startswith("pixelcnn_aux") for name in sys.modules)
np.savez(outputs, **answers)
"""


def verify(path, model, names, *, max_batch):
    """Compares the signatures `names` of an export, run in a process without this package, with a model.

    Images cannot be compared whole: after a pixel changed by rounding all others differ. So each pixel is
    drawn again, given the export's own pixels before it. The signature `map`, which differs from `sample` in
    its noise alone, is run only without `sample`. RuntimeError for an export that cannot be run, or differs.
    """
    requests = _requests(model, names)
    received = _run_export(path, max_batch, requests)
    # By default some GPUs round factors of float32 products to ten bits.
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        for signature, answer in received.items():
            compare = _COMPARISONS.get(signature, _compare_draws)
            compare(model, signature, requests[signature], answer)
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _requests(model, names):
    """Requests to signatures: dict, name -> dict, input -> array, with a row for each of `SEEDS`."""
    *_, (_, size, num_values) = (images := images_of(model)).values()
    # One color each, and a little noise.
    random, rows = np.random.default_rng(0), len(SEEDS)
    colors = random.integers(num_values, size=(rows, 1, 1, size[-1]))
    noisy = np.clip(colors + random.integers(-8, 9, (rows, *size)), 0, num_values - 1)
    chain = model.auxiliaries(noisy.astype(arguments.pixel_dtype(num_values)))
    *_, full = chain.values()
    arrays = {"seed": SEEDS, "log_scale_shift": SHIFTS, "image": full, "mask": upper_half(full)}
    if (kind := model.condition) is not None:
        # Different in each row if possible, the first unknown.
        known = np.arange(rows).reshape(-1, *(1 for _ in kind.shape))
        if isinstance(kind, Classes):
            known %= kind.num_classes + 1
        arrays["condition"] = kind.unknown(rows) + known.astype(kind.dtype)
    own = {f"given_{name}": {"auxiliary": image} for name, image in chain.items()}
    between = np.minimum(full + np.float32(0.25), np.float32(num_values - 1))
    own["log_density_and_gradient"] = {"image": between}
    served = signatures_of_chain(images, model.condition)
    return {
        name: {key: {**arrays, **own.get(name, {})}[key] for key in served[name].inputs}
        for name in names
        if name != "map" or "sample" not in names
    }


def _expect(fits, expected, received):
    """Raises RuntimeError unless an export fits."""
    remedy = "try another device, one with more memory, or another version of TensorFlow"
    remedy = f"Nothing was exported: {remedy}"
    expect(fits, f"an export {expected}", received, remedy, kind=RuntimeError)


def _run_export(path, max_batch, requests):
    """The answers to `_requests`: dict, signature -> dict, output -> array."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/inputs.npz", f"{folder}/outputs.npz"
        arrays = {f"{name}/{key}": x for name, one in requests.items() for key, x in one.items()}
        np.savez(inputs, **arrays)
        command = [sys.executable, "-c", _RUN_EXPORT, str(path), str(max_batch), inputs, outputs]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        message = child.stderr[-2000:].strip() or f"exit status {child.returncode}"
        if child.returncode == -signal.SIGKILL:
            message = "a process that was killed, as happens with too little memory for it"
        _expect(not child.returncode, "that a new process can run", message)
        answers = {}
        for key, array in np.load(outputs).items():
            signature, name = key.split("/")  # neither name has one
            answers.setdefault(signature, {})[name] = array
        return answers


def _compare_likelihoods(model, signature, request, received):
    for name, expected in log_prob(model, **request).items():
        fits = np.allclose(expected, received[name], rtol=1e-5, atol=0.0)
        text = f"with the model's log-likelihoods, {name} {np.asarray(expected)}"
        _expect(fits, text, received[name])


def _compare_densities(model, signature, request, received):
    request = {name: tf.constant(x) for name, x in request.items()}
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # A graph for one request takes several times as long.
    try:
        results = log_density_and_gradient(model.with_exact(False), **request)
    finally:
        tf.config.run_functions_eagerly(before)
    for name, expected in results.items():
        largest = np.abs(expected).max()
        fits = np.allclose(expected, received[name], rtol=1e-4, atol=1e-4 * largest)
        _expect(fits, f"with the model's densities, {name} up to {largest}", "others")


def _compare_auxiliaries(model, signature, request, received):
    chain = model.auxiliaries(request["image"])
    for name in [*chain][:-1]:
        fits = np.array_equal(chain[name], received[name])
        _expect(fits, "with the model's auxiliary images", f"another one of {name!r}")


def _compare_draws(model, signature, request, drawn):
    """Evaluates the networks over whole images, which checks the export's loops too."""
    mode = "map" if signature == "map" else "sample"
    given, kept, (*auxiliaries, full) = {}, {}, model.factors
    if "auxiliary" in request:
        given = {signature.removeprefix("given_"): request["auxiliary"]}
    if "mask" in request:
        kept = sampling.kept_pixels(model, request["image"], request["mask"], len(SEEDS))
    images = {**given, **drawn, full: drawn["image"]}
    for name in sampling.names_from(model, given):
        factor, position, image = model.factors[name], model.position(name), images[name]
        auxiliary = images[auxiliaries[position - 1]] if position else None
        inputs = Inputs(image, auxiliary, request.get("condition"))
        fits = not factor.exact or np.isfinite(factor.log_prob(inputs)).all()
        received = f"by {signature}, images of {name!r} that do not"
        _expect(fits, "that draws images that agree with their auxiliary images", received)
        known, fixed_sum, bounds = kept.get(name, {}), factor.fixed_sum, None
        how = {"mode": mode, "bounded": "within" in known}
        noise = sampling.noise(factor, SEEDS, position, image.shape[1:3], **how)
        if fixed_sum is not None:
            slack = fixed_sum.slack(*known["within"]) if known else None
            bounds = fixed_sum.channel_bounds(image, auxiliary, slack)
        # Each pixel as the factor draws it, given the export's pixels before it.
        own = DrawRequest(log_scale_shift=SHIFTS, noise=noise, **known)
        decide = deciders.drawn_pixels(factor.likelihood, own)
        again = decide(factor.params(inputs), lambda x: x, bounds)
        different = np.any(np.asarray(again) != image, axis=-1)
        share = different.mean()
        # Rounding changes few pixels, and not the same one of every image.
        fits = share <= MAX_MISMATCHED and not different.all(axis=0).any()
        text = f"of which the model draws {share:.2%} of the pixels otherwise"
        received = f"by {signature}, images of {name!r} {text}"
        _expect(fits, "that draws as the model does", received)


# Signatures that do not draw.
_COMPARISONS = {
    "log_prob": _compare_likelihoods,
    "log_density_and_gradient": _compare_densities,
    "auxiliaries": _compare_auxiliaries,
}
