"""Compares ONNX Runtime and OpenVINO with TensorFlow: python -m benchmarks.converted cifar10-pyramid.

Prints the largest difference of log-likelihoods for each factor of the named models, in nats per image.
Needs tf2onnx, onnxruntime and openvino.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import openvino

import pixelcnn_aux as pa
from benchmarks import tools
from pixelcnn_aux.commands import program
from pixelcnn_aux.serving.exporting import export

ARGUMENTS = ["MODEL..."]
PHOTOGRAPHS = 16
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # instead of bfloat16


def by_onnx(saved, arrays):
    file = saved / "model.onnx"
    convert = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved, "--output", file]
    subprocess.run(convert, check=True, capture_output=True)
    session = onnxruntime.InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays)))


def by_openvino(saved, arrays):
    model = openvino.convert_model(saved)
    results = openvino.compile_model(model, "CPU", FLOAT32)(arrays)
    return {name: x for output, x in results.items() for name in output.names}


def main(*names):
    columns = {"": "<18", "factor": "<9", "ONNX": "9.1e", "OpenVINO": "9.1e", "mean nats": "10.1f"}
    table = tools.Table(columns)
    for name in names:
        model = pa.load(name)
        images = pa.data.load("photos", "test", model.image_size).spread(PHOTOGRAPHS)
        arrays = {"image": images}
        if model.condition is not None:
            arrays["condition"] = model.condition.unknown(PHOTOGRAPHS)
        with tempfile.TemporaryDirectory() as folder:
            saved = pathlib.Path(export(name, folder, names=["log_prob"]))
            converted = by_onnx(saved, arrays), by_openvino(saved, arrays)
        for factor, nats in model.log_probs(*arrays.values()).items():
            errors = (np.abs(x[f"log_prob_{factor}"] - nats).max() for x in converted)
            table.add(name, factor, *errors, np.mean(nats))


def define_flags():
    """It has no flags of its own."""


if __name__ == "__main__":
    program.start()
