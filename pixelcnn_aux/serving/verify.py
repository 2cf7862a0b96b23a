"""Compares an export with its model."""

import signal
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from pixelcnn_aux import sampling
from pixelcnn_aux.base import arguments
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.conditions import Classes
from pixelcnn_aux.factors.inputs import Inputs
from pixelcnn_aux.sampling.any_size import upper_half
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.scanning.requests import DrawRequest
from pixelcnn_aux.serving.interface import signatures_of_chain
from pixelcnn_aux.serving.signatures import images_of, log_density_and_gradient, log_prob

# Share of pixels that rounding may change, to an adjacent value or another mixture component.
MAX_MISMATCHED = 0.01

# Inputs of every signature that draws, one per image.
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

    Whole images cannot be compared: after a pixel that rounding changes, all others differ. So each pixel is
    drawn again, given the export's own pixels before it. The signature `map`, which differs from `sample`
    only in its noise, is skipped next to `sample`. Raises RuntimeError for an export that fails or differs.
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
    """Requests with a row for each of `SEEDS`: dict, signature -> dict, input -> array."""
    *_, (_, size, num_values) = (images := images_of(model)).values()
    # Images of one color each, with a little noise.
    random = np.random.default_rng(0)
    rows = len(SEEDS)
    colors = random.integers(num_values, size=(rows, 1, 1, size[-1]))
    noisy = np.clip(colors + random.integers(-8, 9, (rows, *size)), 0, num_values - 1)
    chain = model.auxiliaries(noisy.astype(arguments.pixel_dtype(num_values)))
    *_, full = chain.values()
    arrays = {"seed": SEEDS, "log_scale_shift": SHIFTS, "image": full, "mask": upper_half(full)}
    if (condition := model.condition) is not None:
        # Different in each row if possible, the first unknown.
        offsets = np.arange(rows).reshape(-1, *(1 for _ in condition.shape))
        if isinstance(condition, Classes):
            offsets %= condition.num_classes + 1
        arrays["condition"] = condition.unknown(rows) + offsets.astype(condition.dtype)
    special = {f"given_{name}": {"auxiliary": image} for name, image in chain.items()}
    between = np.minimum(full + np.float32(0.25), np.float32(num_values - 1))
    special["log_density_and_gradient"] = {"image": between}
    served = signatures_of_chain(images, model.condition)
    return {
        name: {key: {**arrays, **special.get(name, {})}[key] for key in served[name].inputs}
        for name in names
        if name != "map" or "sample" not in names
    }


def _expect(fits, expected, received):
    remedy = (
        "Nothing was exported: try another device, one with more memory, or another version of "
        "TensorFlow"
    )
    expect(fits, f"an export {expected}", received, remedy, kind=RuntimeError)


def _run_export(path, max_batch, requests):
    """Answers to `_requests`: dict, signature -> dict, output -> array."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/inputs.npz", f"{folder}/outputs.npz"
        arrays = {f"{name}/{k}": x for name, given in requests.items() for k, x in given.items()}
        np.savez(inputs, **arrays)
        command = [sys.executable, "-c", _RUN_EXPORT, str(path), str(max_batch), inputs, outputs]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        message = child.stderr[-2000:].strip() or f"exit status {child.returncode}"
        if child.returncode == -signal.SIGKILL:
            message = "a killed process, possibly for lack of memory"
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
    tf.config.run_functions_eagerly(True)  # for one request, several times as fast as a graph
    try:
        results = log_density_and_gradient(model.with_exact(False), **request)
    finally:
        tf.config.run_functions_eagerly(before)
    for name, expected in results.items():
        largest = np.abs(expected).max()
        fits = np.allclose(expected, received[name], rtol=1e-4, atol=1e-4 * largest)
        _expect(fits, f"with the model's densities, {name} up to {largest}", "other ones")


def _compare_auxiliaries(model, signature, request, received):
    chain = model.auxiliaries(request["image"])
    for name in [*chain][:-1]:
        fits = np.array_equal(chain[name], received[name])
        _expect(fits, "with the model's auxiliary images", f"another one of {name!r}")


def _compare_draws(model, signature, request, drawn):
    """Evaluates the networks over whole images, which also checks the export's loops."""
    mode = "map" if signature == "map" else "sample"
    *auxiliaries, full = model.factors
    given, kept = {}, {}
    if "auxiliary" in request:
        given = {signature.removeprefix("given_"): request["auxiliary"]}
    if "mask" in request:
        kept = sampling.kept_pixels(model, request["image"], request["mask"], len(SEEDS))
    images = {**given, **drawn, full: drawn["image"]}
    for name in sampling.names_from(model, given):
        factor = model.factors[name]
        position = model.position(name)
        image = images[name]
        auxiliary = images[auxiliaries[position - 1]] if position else None
        inputs = Inputs(image, auxiliary, request.get("condition"))
        fits = not factor.exact or np.isfinite(factor.log_prob(inputs)).all()
        received = f"by {signature}, images of {name!r} that do not"
        _expect(fits, "that draws images that agree with their auxiliary images", received)
        known_pixels = kept.get(name, {})
        options = {"mode": mode, "bounded": "within" in known_pixels}
        noise = sampling.noise(factor, SEEDS, position, image.shape[1:3], **options)
        bounds = None
        if (fixed_sum := factor.fixed_sum) is not None:
            slack = fixed_sum.slack(*known_pixels["within"]) if known_pixels else None
            bounds = fixed_sum.channel_bounds(image, auxiliary, slack)
        # Each pixel as the factor draws it, given the export's pixels before it.
        draw = DrawRequest(log_scale_shift=SHIFTS, noise=noise, **known_pixels)
        decide = deciders.drawn_pixels(factor.likelihood, draw)
        expected = decide(factor.params(inputs), lambda x: x, bounds)
        different = np.any(np.asarray(expected) != image, axis=-1)
        share = different.mean()
        # Rounding changes few pixels, and not the same one in every image.
        fits = share <= MAX_MISMATCHED and not different.all(axis=0).any()
        received = f"by {signature}, images of {name!r} with {share:.2%} of the pixels different"
        _expect(fits, "that draws as the model does", received)


# Signatures that do not draw.
_COMPARISONS = {
    "log_prob": _compare_likelihoods,
    "log_density_and_gradient": _compare_densities,
    "auxiliaries": _compare_auxiliaries,
}
