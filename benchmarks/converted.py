"""How far ONNX Runtime and OpenVINO are from TensorFlow: python -m benchmarks.converted cifar10-pyramid.

For each factor of the models that are named: the largest difference of its parameters, over the largest one,
and of its log-likelihoods in nats an image. Needs tf2onnx, onnxruntime and openvino.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import openvino
from absl import flags

import pixelcnn_aux as pa
from pixelcnn_aux.commands import program
from pixelcnn_aux.serving.exporting import export

FLAGS = flags.FLAGS
ARGUMENTS = ["MODEL..."]
FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}  # by default bfloat16


def by_onnx(file, arrays):
    session = onnxruntime.InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays)))


def by_openvino(model, arrays):
    results = openvino.compile_model(model, "CPU", FLOAT32)(arrays)
    return {name: x for output, x in results.items() for name in output.names}


def nats(name, arrays, folder):
    """The outputs of the signature `log_prob`, converted: dicts, name -> float [N], of both."""
    saved = export(name, folder, names=["log_prob"])
    file = folder / f"{name}.onnx"
    convert = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved, "--output", file]
    subprocess.run(convert, check=True, capture_output=True)
    model = openvino.convert_model(saved)
    return by_onnx(file, arrays), by_openvino(model, arrays)


def params(factor, arrays, folder):
    """The outputs of a factor and of its conversion: float [N, H, W, P] each."""
    file = folder / factor.name
    factor.export(f"{file}.onnx", format="onnx", verbose=False)
    factor.export(f"{file}.xml", format="openvino", verbose=False)
    [one] = by_onnx(f"{file}.onnx", arrays).values()
    return one, by_openvino(f"{file}.xml", arrays)["Identity:0"]


def main(*names):
    print(f"{'':26} {'parameters, relative':>22} {'nats an image':>22} {'mean nats':>10}")
    for name in names:
        model = pa.load(name)
        images = pa.data.load("photos", "test", model.image_size).spread(FLAGS.num)
        arrays, condition = {"image": images}, None
        if model.condition is not None:
            arrays["condition"] = condition = model.condition.unknown(len(images))
        expected, inputs = model.log_probs(images, condition), model.inputs(images, condition)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            both = nats(name, arrays, folder)
            for key, factor in model.factors.items():
                arrays = {
                    k: np.asarray(x) for k, x in inputs[key]._asdict().items() if x is not None
                }
                own = np.asarray(factor.params(inputs[key]))
                found = [
                    np.abs(x - own).max() / np.abs(own).max()
                    for x in params(factor, arrays, folder)
                ]
                found += [np.abs(x[f"log_prob_{key}"] - expected[key]).max() for x in both]
                text = " ".join(f"{x:11.1e}" for x in found)
                print(f"{name:17} {key:9} {text} {np.mean(expected[key]):9.1f}", flush=True)


def define_flags():
    flags.DEFINE_integer("num", 16, "Photographs.", lower_bound=1)


if __name__ == "__main__":
    program.start()
