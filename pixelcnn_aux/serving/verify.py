"""Compares an export with the model that it was made of."""

import signal
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from pixelcnn_aux import sampling
from pixelcnn_aux.inputs import Inputs
from pixelcnn_aux.scanning import deciders
from pixelcnn_aux.serving.signatures import log_prob

# The share of draws that roundings may turn: to the next value, or to another component of a mixture.
MAX_MISMATCHED = 0.01

# What every signature that draws is asked with, one for each image.
SEEDS = np.array([[0, index] for index in range(4)], np.int32)
SHIFTS = np.array([0.0, -0.25, -0.5, -0.75], np.float32)

# What a process that knows nothing of this package makes of an export: images, their log-likelihoods and
# auxiliary images, images given those that were drawn, and completions of each other's upper halves. No
# request has more rows than the export takes.
_RUN_EXPORT = """
import sys
import numpy as np
import tensorflow as tf
export, max_batch, inputs, outputs = sys.argv[1:]
tf.config.experimental.enable_tensor_float_32_execution(False)
signatures = tf.saved_model.load(export).signatures
how = {name: tf.constant(x) for name, x in np.load(inputs).items()}
mask = how.pop("mask")
rows = [slice(at, at + int(max_batch)) for at in range(0, len(mask), int(max_batch))]
def ask(signature, **inputs):
    parts = [signatures[signature](**{name: x[of] for name, x in inputs.items()}) for of in rows]
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}
drawn = ask("sample", **how)
answers = {"sample": drawn}
for name in "log_prob", "auxiliaries":
    answers[name] = ask(name, image=drawn["image"])
for name in signatures:
    if name.startswith("given_"):
        answers[name] = ask(name, **how, auxiliary=drawn[name.removeprefix("given_")])
if "complete" in signatures:
    answers["complete"] = ask("complete", **how, image=drawn["image"][::-1], mask=mask)
assert not any(name.startswith("pixelcnn_aux") for name in sys.modules)
np.savez(outputs, **{
    f"{signature}/{name}": x
    for signature, answer in answers.items()
    for name, x in answer.items()
    if x.dtype != tf.string
})
"""


def verify(path, model, max_batch):
    """Compares an export, loaded in a new process that does not import this package, with a model.

    Images cannot be compared whole: where a rounding turns a draw, all pixels after it are others. So each
    pixel is drawn again, given the export's own pixels before it. The signature `map` is not run: it differs
    from `sample` in its noise alone.

    Raises:
      RuntimeError: if the export cannot be run, draws more than `MAX_MISMATCHED` of a factor's pixels, or one
        pixel in every image, otherwise than the model does from the same seeds, with the same shifts, or
        gives images other log-likelihoods or auxiliary images. It names the signature.
    """
    mask = np.zeros([len(SEEDS), *model.image_size, 1], np.uint8)
    mask[:, : model.image_size[0] // 2] = 1
    received = _run_export(path, max_batch, mask)
    *auxiliaries, _ = model.factors
    drawn = received["sample"]
    # By default some GPUs round the factors of products of float32 to ten bits.
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        _compare(model, "sample", drawn)
        for name in auxiliaries:
            _compare(model, f"given_{name}", received[f"given_{name}"], {name: drawn[name]})
        if sampling.can_complete(model):
            kept = sampling.kept_pixels(model, drawn["image"][::-1], mask, len(SEEDS))
            _compare(model, "complete", received["complete"], kept=kept)
        expected = {name: x.numpy() for name, x in log_prob(model, drawn["image"]).items()}
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    for name, likelihoods in expected.items():
        if not np.allclose(likelihoods, found := received["log_prob"][name], rtol=1e-5, atol=0.0):
            raise _refusal(f"with the model's log-likelihoods, {name} {likelihoods}", found)
    chain = model.auxiliaries(drawn["image"])
    for name in auxiliaries:
        if not np.array_equal(chain[name], received["auxiliaries"][name]):
            raise _refusal("with the model's auxiliary images", f"another one of {name!r}")


def _refusal(expected, received):
    return RuntimeError(
        f"Expected an export {expected}. Received: {received}. Nothing was exported: try another device, one "
        "with more memory, or another version of TensorFlow."
    )


def _run_export(path, max_batch, mask):
    """What `_RUN_EXPORT` makes of a mask, uint8 [N, H, W, 1]: dict, signature -> dict, output -> array."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = f"{folder}/inputs.npz", f"{folder}/outputs.npz"
        np.savez(inputs, seed=SEEDS, log_scale_shift=SHIFTS, mask=mask)
        command = [sys.executable, "-c", _RUN_EXPORT, str(path), str(max_batch), inputs, outputs]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode:
            said = child.stderr[-2000:].strip() or f"exit status {child.returncode}"
            killed = "a process that was killed, as one is where there is too little memory for it"
            said = killed if child.returncode == -signal.SIGKILL else said
            raise _refusal("that a new process can run", said)
        answers = {}
        for key, array in np.load(outputs).items():
            signature, name = key.split("/")  # neither name has one
            answers.setdefault(signature, {})[name] = array
        return answers


def _compare(model, signature, drawn, given=None, kept=None):
    """Raises RuntimeError where a signature has drawn otherwise than the model: dict, uint8 [N, h, w, c].

    The networks are evaluated over whole images, which holds the export's loops to them as well. `given` is a
    dict of the auxiliary image that it was given, and `kept` is from `sampling.kept_pixels`.
    """
    given, (*auxiliaries, full) = given or {}, model.factors
    images = {**given, **drawn, full: drawn["image"]}
    for name in sampling.names_from(model, given):
        factor, position, image = model.factors[name], model.position(name), images[name]
        inputs = Inputs(image, images[auxiliaries[position - 1]] if position else None)
        if factor.exact and not np.isfinite(factor.log_prob(inputs)).all():
            raise _refusal(
                "that draws images that agree with their auxiliary images",
                f"by {signature}, images of {name!r} that do not",
            )
        known = kept[name] if kept else {}
        within, bounds = known.get("within"), None
        noise = sampling.noise(factor, SEEDS, position, image.shape[1:3], bounded=bool(within))
        if factor.fixed_sum is not None:
            slack = factor.fixed_sum.slack(*within) if within else None
            bounds = factor.fixed_sum.channel_bounds(*inputs[:2], slack)
        if within:
            bounds = deciders.within_both(bounds, *(tf.cast(x, tf.int32) for x in within))
        # What the factor draws at each pixel, given the export's pixels before it.
        again = factor.likelihood.draw(factor.params(inputs), noise, SHIFTS, bounds)
        if "completed" in known:
            pixels, mask = known["completed"]
            again = np.where(mask, pixels, again)
        different = np.any(again != image, axis=-1)
        # Roundings are few, and do not meet at the same place of every image.
        if different.mean() > MAX_MISMATCHED or different.all(axis=0).any():
            raise _refusal(
                "that draws what the model does",
                f"by {signature}, images of {name!r} of which the model draws {different.mean():.2%} of the "
                "pixels otherwise",
            )
