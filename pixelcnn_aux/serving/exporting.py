"""Exports SavedModels for TensorFlow Serving, each as its model's next version."""

import itertools
import json
import pathlib
import shutil
import tempfile

import tensorflow as tf

from pixelcnn_aux.base import arguments, backend, disk
from pixelcnn_aux.base.errors import expect
from pixelcnn_aux.base.progress import waiting
from pixelcnn_aux.batches import COMPILED_SIZES
from pixelcnn_aux.run_files.folder import RunFolder
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.serving.signatures import check_names, signatures
from pixelcnn_aux.serving.verify import verify

CONFIG = """model_config_list {{
  config {{
    name: {name}
    base_path: {base_path}
    model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
  }}
}}
"""
_ASIDE = ".writing-"  # prefix of unfinished exports, which the server ignores


def export(folder, out, *, max_batch=256, jit_compile=False, names=None, image_size=None):
    """Writes the next version of a run's SavedModel, OUT/MODEL/VERSION, and returns its path.

    MODEL is the name of the workdir `folder`, and VERSION one more than the largest so far, assigned once the
    export agrees with the model. Removes unfinished exports of killed processes.

    Other arguments are as in `signatures` and `with_image_size`. Raises OSError if another process exports to
    the same folder; raises RuntimeError and writes nothing if the export differs from the model.
    """
    backend.require_tensorflow("exports")
    base = arguments.path("out", out) / RunFolder(folder).name
    # Checks precede slow work and the creation of the folder.
    disk.writable(next(path for path in (base, *base.parents) if disk.exists(path)))
    model = load(folder).with_image_size(image_size)
    model.require(model.factors)
    names = check_names(model, names)
    with disk.explained(f"a folder to write exports to: {base}"):
        base.mkdir(parents=True, exist_ok=True)

    def busy():
        received, remedy = "a running one", "Wait for its end"
        expect(False, f"no other export to {base}", received, remedy, kind=OSError)

    with disk.locked(base / ".lock", busy):
        for unfinished in base.glob(f"{_ASIDE}*"):
            shutil.rmtree(unfinished)
        aside = pathlib.Path(tempfile.mkdtemp(prefix=_ASIDE, dir=base))
        try:
            aside.chmod(0o755)  # the server may run as another user
            options = {"max_batch": max_batch, "jit_compile": jit_compile}
            with waiting("Tracing the model"):
                module, functions = signatures(model, names, **options)
            with disk.explained(f"to write an export to {base}"):
                options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
                tf.saved_model.save(module, str(aside), functions, options)
                _write_extras(aside / "assets.extra", base.name, functions, max_batch, jit_compile)
            with waiting("Comparing the export with the model"):
                verify(aside, model, names, max_batch=max_batch)
            versions = [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
            return aside.rename(base / str(max(versions, default=0) + 1))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _write_extras(folder, name, functions, max_batch, jit_compile):
    """Writes warm-up requests of zeros, and server configurations for batching and all versions."""
    folder.mkdir()
    sizes = [size for size in COMPILED_SIZES if size < max_batch] + [max_batch]
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for batch, signature in itertools.product(sizes if jit_compile else [1], functions):
            specs = tf.nest.flatten(functions[signature].structured_input_signature)
            zeros = {x.name: tf.make_tensor_proto(0, x.dtype, [batch, *x.shape[1:]]) for x in specs}
            writer.write(_logged(name, signature, zeros))
    lines = [f"max_batch_size {{ value: {max_batch} }}", "batch_timeout_micros { value: 10000 }"]
    if jit_compile:  # XLA compiles each batch size: pad merged requests to a few
        lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    (folder / "batching_parameters.txt").write_text("\n".join([*lines, ""]))
    quoted = {"name": json.dumps(name), "base_path": json.dumps(f"/models/{name}")}
    (folder / "models.config").write_text(CONFIG.format(**quoted))


def _logged(model, signature, inputs):
    """Encodes a request, dict name -> TensorProto, as a PredictionLog: bytes.

    Field numbers replace tensorflow-serving-api: PredictionLog.predict_log = 6, PredictLog.request = 1,
    PredictRequest.model_spec = 1 and .inputs = 2, with keys = 1 and values = 2, ModelSpec.name = 1 and
    .signature_name = 3.
    """
    spec = _field(1, _field(1, model.encode()) + _field(3, signature.encode()))
    entries = (
        _field(2, _field(1, name.encode()) + _field(2, tensor.SerializeToString()))
        for name, tensor in inputs.items()
    )
    return _field(6, _field(1, spec + b"".join(entries)))


def _field(number, contents):
    """Encodes a length-delimited protocol buffer field: number and wire type, length, contents."""
    length, left = bytearray(), len(contents)
    while left >= 128:
        length.append(left % 128 + 128)
        left //= 128
    return bytes([8 * number + 2, *length, left]) + contents
