"""Runs an exported SavedModel in a process without Python, under the C++ loader of TensorFlow Serving.

The process is that of `run_signature.c`, which is compiled against the libraries of TensorFlow's wheel.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SOURCE = pathlib.Path(__file__).with_name("run_signature.c")
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


class Signature(NamedTuple):
    """What goes into a signature and comes out: dicts, name -> tf.TensorSpec named as the graph's tensor."""

    inputs: dict
    outputs: dict


class Result(NamedTuple):
    """The answer to a request; `outputs`, empty unless `code` is OK, has arrays: of objects if of strings."""

    code: str
    message: str
    seconds: float
    outputs: dict


class Served(NamedTuple):
    """A list of `Result`, and what the process took."""

    results: list
    load_seconds: float
    peak_bytes: int


def build(folder):
    """Compiles the program into a folder and returns its path. Raises RuntimeError where it cannot be."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise RuntimeError(
            "Expected gcc, to compile run_signature.c. Received: no such program. Install it."
        )
    headers, libraries = tf.sysconfig.get_include(), pathlib.Path(tf.sysconfig.get_lib())
    for library in LIBRARIES:
        if not (libraries / library).exists():
            raise RuntimeError(
                f"Expected a TensorFlow with {library}. Received: one without, in {libraries}. Install "
                "the package that has its shared libraries."
            )
    program = pathlib.Path(folder) / "run_signature"
    # -isystem, as the warnings in TensorFlow's headers are none of ours.
    command = [compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-isystem", headers, SOURCE]
    command += ["-o", program, f"-L{libraries}", f"-Wl,-rpath,{libraries}"]
    command += [f"-l:{library}" for library in LIBRARIES]
    subprocess.run(command, check=True)
    return program


def signature(export_dir, name="serving_default"):
    """The `Signature` of that name in a SavedModel."""
    # A dict, as the map of the protocol buffer would make up an empty signature for a name that it lacks.
    definition = dict(_meta_graph(export_dir).signature_def)[name]
    return Signature(_specs(definition.inputs), _specs(definition.outputs))


def graph_ops(export_dir):
    """set of str, the types of all ops in a SavedModel's graph and its functions."""
    graph = _meta_graph(export_dir).graph_def
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for body in bodies for node in body}


def run(program, export_dir, requests):
    """Serves requests from a SavedModel, one after another, in one process.

    Args:
      program: path of the program, from `build`.
      export_dir: path of the SavedModel.
      requests: list of pairs: a signature's name and a dict, name of an input -> array. The arrays are
        fed as they are, and may differ from the signature in dtype and shape, or be too few.

    Returns:
      A `Served` with a `Result` for each request.

    Raises:
      RuntimeError: if the SavedModel cannot be loaded, or the process dies.
    """
    signatures = {name: signature(export_dir, name) for name, _ in requests}
    with tempfile.TemporaryDirectory() as folder:
        folder, lines = pathlib.Path(folder), []
        for name, arrays in requests:
            inputs, outputs = signatures[name]
            for key, array in arrays.items():
                array = np.asarray(array)
                file = str(len(lines))
                (folder / file).write_bytes(array.tobytes())
                dtype = tf.as_dtype(array.dtype).as_datatype_enum
                words = ["input", inputs[key].name, dtype, file, array.ndim, *array.shape]
                lines.append(" ".join(map(str, words)))
            for spec in outputs.values():
                lines.append(f"output {spec.name} {len(lines)}")
            lines.append("run")
        process = subprocess.run(
            [os.path.abspath(program), os.path.abspath(export_dir)],  # as cwd is another
            input="\n".join(lines),
            cwd=folder,
            capture_output=True,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
        )
        if process.returncode:
            raise RuntimeError(
                "Expected a SavedModel and requests that the loader takes. "
                f"Received: exit status {process.returncode} ({process.stderr.strip()}). Correct them."
            )
        answers = (line.split(" ") for line in process.stdout.split("\n"))
        _, load_seconds = next(answers)
        results = []
        for name, _ in requests:
            _, code, seconds, *message = next(answers)
            arrays = {}
            for key in signatures[name].outputs if code == "OK" else ():
                _, file, dtype, _, *shape = next(answers)
                contents = (folder / file).read_bytes()
                arrays[key] = _array(contents, tf.as_dtype(int(dtype)), [int(n) for n in shape])
            results.append(Result(code, " ".join(message), float(seconds), arrays))
        _, peak_bytes = next(answers)
    return Served(results, float(load_seconds), int(peak_bytes))


def _meta_graph(export_dir):
    contents = (pathlib.Path(export_dir) / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(contents).meta_graphs
    return meta_graph


def _specs(infos):
    return {
        key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype, info.name)
        for key, info in sorted(infos.items())
    }


def _array(contents, dtype, shape):
    """The array in a file of the program's."""
    if dtype != tf.string:
        return np.frombuffer(contents, dtype.as_numpy_dtype).reshape(shape)
    strings, start = [], 0
    while start < len(contents):
        start += 8
        end = start + int.from_bytes(contents[start - 8 : start], sys.byteorder)
        strings.append(contents[start:end])
        start = end
    return np.array(strings, object).reshape(shape)
