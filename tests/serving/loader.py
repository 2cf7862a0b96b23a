"""Runs a SavedModel under the C++ loader of TensorFlow Serving, without TensorFlow's Python.

This file is also the process that does so: it reads requests and writes answers, and calls the C API of
TensorFlow's shared libraries.
"""

import ctypes
import pathlib
import pickle
import re
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
# Dtypes of outputs by protocol buffer number.
DTYPES = {1: np.float32, 3: np.int32, 4: np.uint8}
STRING = 7
CODES = {0: "OK", 3: "INVALID_ARGUMENT", 5: "NOT_FOUND"}


class Result(NamedTuple):
    """A request's answer. `outputs` are arrays, of objects for strings; empty unless `code` is OK."""

    code: str
    message: str
    seconds: float
    outputs: dict


class Served(NamedTuple):
    """A list of `Result`, and the time and memory of the process."""

    results: list
    load_seconds: float
    peak_bytes: int


def run(export_dir, requests):
    """Serves requests from a SavedModel, one after another, in one process: `Served`.

    `requests` has pairs of a signature's name and a dict, name of an input -> array. Arrays are fed as they
    are, and may differ from the signature in dtype and shape, or be too few.
    """
    import tensorflow as tf

    definitions = meta_graph(export_dir).signature_def
    fed = []
    for name, arrays in requests:
        inputs, outputs = definitions[name].inputs, definitions[name].outputs
        arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
        feeds = [
            (inputs[key].name, tf.as_dtype(array.dtype).as_datatype_enum, array)
            for key, array in arrays.items()
        ]
        fed.append((feeds, {key: info.name for key, info in outputs.items()}))
    libraries = [f"{tf.sysconfig.get_lib()}/{library}" for library in LIBRARIES]
    process = subprocess.run(
        [sys.executable, __file__],
        input=pickle.dumps((libraries, str(export_dir), fed)),
        capture_output=True,
    )
    if process.returncode:
        raise RuntimeError(process.stderr.decode()[-2000:])
    results, *costs = pickle.loads(process.stdout)
    return Served([Result(*result) for result in results], *costs)


def meta_graph(export_dir):
    """MetaGraphDef of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    contents = (pathlib.Path(export_dir) / "saved_model.pb").read_bytes()
    [found] = saved_model_pb2.SavedModel.FromString(contents).meta_graphs
    return found


def graph_ops(export_dir):
    """Types of all ops in a SavedModel's graph and its functions: set of str."""
    graph = meta_graph(export_dir).graph_def
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for body in bodies for node in body}


class Pointer(ctypes.c_void_p):
    """A pointer that ctypes does not convert to int."""


class Output(ctypes.Structure):
    """A TF_Output."""

    _fields_ = [("operation", Pointer), ("index", ctypes.c_int)]


class Session:
    """A loaded SavedModel."""

    def __init__(self, libraries, export_dir):
        self.libraries = [ctypes.CDLL(path, ctypes.RTLD_GLOBAL) for path in libraries]
        self.graph, self.status = self.call("NewGraph"), self.call("NewStatus")
        tags, options = (ctypes.c_char_p * 1)(b"serve"), self.call("NewSessionOptions")
        path, into = export_dir.encode(), (self.graph, None, self.status)
        self.session = self.call("LoadSessionFromSavedModel", options, None, path, tags, 1, *into)
        code, message = self.said()
        if code != "OK":
            raise RuntimeError(message)

    def call(self, name, *arguments, returns=Pointer):
        """Calls a function of the C API."""
        function = getattr(self.libraries[-1], f"TF_{name}")
        function.restype = returns
        return function(*arguments)

    def said(self):
        """(code, message) of the last call."""
        code = self.call("GetCode", self.status, returns=ctypes.c_int)
        message = self.call("Message", self.status, returns=ctypes.c_char_p).decode()
        return CODES.get(code, str(code)), message

    def tensors(self, names):
        """An array of `Output`."""
        found = (Output * len(names))()
        for output, name in zip(found, names):
            operation, _, index = name.partition(":")
            operation = self.call("GraphOperationByName", self.graph, operation.encode())
            output.operation, output.index = operation, int(index)
        return found

    def fed(self, dtype, array):
        """A TF_Tensor."""
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = self.call("AllocateTensor", dtype, shape, array.ndim, size)
        ctypes.memmove(self.call("TensorData", tensor), array.ctypes.data, array.nbytes)
        return tensor

    def fetched(self, tensor):
        """The array of a TF_Tensor."""
        dtype = self.call("TensorType", tensor, returns=ctypes.c_int)
        rank = self.call("NumDims", tensor, returns=ctypes.c_int)
        shape = [self.call("Dim", tensor, n, returns=ctypes.c_int64) for n in range(rank)]
        data = self.call("TensorData", tensor)
        size = self.call("TensorByteSize", tensor, returns=ctypes.c_size_t)
        if dtype != STRING:
            return np.frombuffer(ctypes.string_at(data, size), DTYPES[dtype]).reshape(shape)
        count = int(np.prod(shape))
        strings = [Pointer(data.value + size // count * n) for n in range(count)]
        starts = [self.call("StringGetDataPointer", string) for string in strings]
        sizes = [self.call("StringGetSize", x, returns=ctypes.c_size_t) for x in strings]
        values = [*map(ctypes.string_at, starts, sizes)]
        return np.array(values, object).reshape(shape)

    def run(self, feeds, fetches):
        """The `Result` of one request."""
        names, values = [name for name, *_ in feeds], [self.fed(*feed) for _, *feed in feeds]
        inputs, outputs = self.tensors(names), self.tensors(list(fetches.values()))
        fed = (Pointer * len(values))(*values)
        fetched = (Pointer * len(fetches))()
        start = time.perf_counter()
        arguments = [inputs, fed, len(inputs), outputs, fetched, len(outputs)]
        self.call("SessionRun", self.session, None, *arguments, None, 0, None, self.status)
        seconds = time.perf_counter() - start
        code, message = self.said()
        arrays = {}
        if code == "OK":
            arrays = {name: self.fetched(tensor) for name, tensor in zip(fetches, fetched)}
        for tensor in [*fed, *fetched]:
            self.call("DeleteTensor", tensor)
        return code, message, seconds, arrays


def main():
    libraries, export_dir, requests = pickle.load(sys.stdin.buffer)
    start = time.perf_counter()
    session = Session(libraries, export_dir)
    seconds = time.perf_counter() - start
    results = [session.run(*request) for request in requests]
    peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    assert "tensorflow" not in sys.modules
    pickle.dump((results, seconds, 1024 * int(peak[1])), sys.stdout.buffer)


if __name__ == "__main__":
    main()
