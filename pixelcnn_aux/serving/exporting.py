"""Writes SavedModels for TensorFlow Serving, each as the next version of its model."""

import itertools
import pathlib
import shutil
import tempfile

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from pixelcnn_aux import arguments
from pixelcnn_aux.runs import disk
from pixelcnn_aux.runs.folder import RunFolder
from pixelcnn_aux.runs.loading import load
from pixelcnn_aux.serving.signatures import signatures
from pixelcnn_aux.serving.verify import verify

# Compiled drawing is for these batch sizes, and the largest.
COMPILED_BATCH_SIZES = (1, 4, 16, 64)
_ASIDE = ".writing-"  # begins the names of exports that are not finished: the server looks for numbers alone


def export(folder, out, max_batch=256, jit_compile=False):
    """Writes the next version of a run's SavedModel.

    It is OUT/MODEL/VERSION/, MODEL being the workdir's name, VERSION one more than the largest there is. An
    export is made aside, compared with the model, and only then given its number. What exports that were
    killed have left is removed. In its folder assets.extra/ there are

        tf_serving_warmup_requests   a request for each signature, which the server runs before it serves
        batching_parameters.txt      for --batching_parameters_file, where the server is to merge requests
        models.config                for --model_config_file: serves all versions in /models/MODEL

    Args:
      folder: path of the workdir.
      out: path of the folder of all models.
      max_batch: int, the most images a request.
      jit_compile: bool, as for `signatures`.

    Returns the path of the version.

    Raises:
      FileNotFoundError: if `folder` is no workdir.
      OSError: if the export cannot be written, or another process exports to the same place.
      RuntimeError: if the export, loaded again, does not compute what the model does; nothing is written.
      ValueError: if a factor is not trained yet, or as `load` and `signatures`.
    """
    base = arguments.path("out", out) / RunFolder(folder).name
    model = load(folder)
    model.require(model.factors)
    with disk.explained(f"a folder to write exports to: {base}"):
        base.mkdir(parents=True, exist_ok=True)

    def busy():
        raise OSError(
            f"Expected no other export to {base}. Received: one that is running. Wait for its end."
        )

    with disk.locked(base / ".lock", busy):
        for unfinished in base.glob(f"{_ASIDE}*"):
            shutil.rmtree(unfinished)
        aside = pathlib.Path(tempfile.mkdtemp(prefix=_ASIDE, dir=base))
        try:
            aside.chmod(0o755)  # a server has a user of its own
            module, functions = signatures(model, max_batch, jit_compile)
            with disk.explained(f"to write an export to {base}"):
                tf.saved_model.save(module, str(aside), functions)
                _write_extras(aside / "assets.extra", base.name, functions, max_batch, jit_compile)
            # Another model than the one that was traced; the same weights, as a run may still be training.
            other = load(folder)
            for name, factor in model.factors.items():
                other.factors[name].set_weights(factor.get_weights())
            verify(aside, other, max_batch)
            versions = [int(path.name) for path in base.iterdir() if path.name.isdecimal()]
            return aside.rename(base / str(max(versions, default=0) + 1))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _write_extras(folder, name, functions, max_batch, jit_compile):
    """Writes what the server takes besides the SavedModel: warm-up requests of zeros and configurations."""
    folder.mkdir()
    sizes = [size for size in COMPILED_BATCH_SIZES if size < max_batch] + [max_batch]
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for batch, signature in itertools.product(sizes if jit_compile else [1], functions):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for spec in tf.nest.flatten(functions[signature].structured_input_signature):
                zeros = tf.make_tensor_proto(0, spec.dtype, [batch, *spec.shape[1:]])
                request.inputs[spec.name].CopyFrom(zeros)
            writer.write(log.SerializeToString())
    # What is compiled once for each batch size gets few of them: merged requests are padded.
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
