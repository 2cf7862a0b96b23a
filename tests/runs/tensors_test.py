"""Tests of sealed files of arrays: damaged and hostile ones are rejected before they are interpreted."""

import json
from unittest import mock

import keras
import numpy as np
import safetensors.numpy
from absl.testing import parameterized

from pixelcnn_aux.run_files import tensors
from tests import helpers

ARRAYS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not in C order
    "half": np.array([1.5, -2.0], np.float16),
    "step": np.array(7, np.int64),
    "seed": np.array([1, 2], np.uint32),
    "none": np.zeros([0, 2]),
}
NOTES = {"factor": "image", "step": 7, "val_bits_per_dim": 2.5}
FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def sealed(header, data=bytes(8)):
    """Bytes of a file with this header, a dict or bytes, and the matching digest."""
    if isinstance(header, dict):
        notes = json.dumps({"sha256": "0" * 64, **NOTES})
        header = json.dumps({"__metadata__": {"pixelcnn_aux": notes}, **header}).encode()
    return resealed(len(header).to_bytes(8, "little") + header + data)


def resealed(contents):
    """A changed file's bytes with their digest updated, if they have one."""
    if not (seal := tensors._seal(contents)):
        return contents
    digest = tensors._digest(contents, *seal.span(1)).encode()
    return contents[: seal.start(1)] + digest + contents[seal.end(1) :]


class TensorsTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        self.file = helpers.temporary_folder(self) / "file"
        tensors.write(self.file, ARRAYS, NOTES)

    def test_what_is_written_is_read(self):
        for found in (tensors.read(self.file)[0], safetensors.numpy.load_file(self.file)):
            self.assertEqual({*found}, {*ARRAYS})
            for name, array in ARRAYS.items():
                self.assertAllEqual(found[name], array)
                self.assertEqual((found[name].dtype, found[name].shape), (array.dtype, array.shape))
        self.assertEqual((tensors.read(self.file)[1], tensors.notes(self.file)), (NOTES, NOTES))
        self.assertEqual(tensors.count(self.file), 6 + 2 + 1 + 2)
        first = self.file.read_bytes()
        tensors.write(self.file, ARRAYS, NOTES)
        self.assertEqual(self.file.read_bytes(), first)

    def test_what_belongs_to_another_is_refused(self):
        self.assertEqual(tensors.read(self.file, {"factor": "image"})[1], NOTES)
        with self.assertRaisesRegex(ValueError, 'another factor: factor: "image" instead of "8x8"'):
            tensors.read(self.file, {"factor": "8x8"})

    def test_every_changed_byte_and_every_length_is_found_out(self):
        whole = self.file.read_bytes()
        for position in range(len(whole)):
            damaged = bytearray(whole)
            damaged[position] ^= 0x10
            for contents in (damaged, whole[:position]):
                self.file.write_bytes(contents)
                for read in (tensors.read, tensors.notes):
                    with self.assertRaises(ValueError, msg=position):
                        read(self.file)

    def test_nothing_is_interpreted_of_a_file_whose_seal_differs(self):
        self.file.write_bytes(self.file.read_bytes()[:-1] + b"\1")
        with mock.patch.object(safetensors.numpy, "load", side_effect=AssertionError):
            with self.assertRaisesRegex(ValueError, "their checksum differs"):
                tensors.read(self.file)

    @parameterized.named_parameters(
        ("empty", b""),
        ("another format", b"\x89HDF\r\n\x1a\n" + bytes(600)),
        ("a header longer than all memory", (2**63).to_bytes(8, "little") + b"{}"),
        ("more than there is", sealed({"a": {**FLOATS, "data_offsets": [0, 2**40]}})),
        ("another size", sealed({"a": {**FLOATS, "shape": [3]}})),
        ("a shape that overflows", sealed({"a": {**FLOATS, "shape": [2**62, 2**62, 4]}})),
        ("a negative shape", sealed({"a": {**FLOATS, "shape": [-2]}})),
        ("overlapping arrays", sealed({"a": FLOATS, "b": FLOATS})),
        ("a gap", sealed({"a": FLOATS}, bytes(16))),
        ("no such dtype", sealed({"a": {**FLOATS, "dtype": "object"}})),
        ("a dtype that NumPy lacks", sealed({"a": {**FLOATS, "dtype": "BF16", "shape": [4]}})),
        ("no notes", sealed(b'{"__metadata__": {}, "a": "\\"sha256\\": \\"%s\\""}' % (b"0" * 64))),
        ("brackets", sealed(b'{"a": "\\"sha256\\": \\"%s\\"", "b": ' % (b"0" * 64) + b"[" * 10**6)),
    )
    def test_hostile_files_are_refused(self, contents):
        self.file.write_bytes(contents)
        with self.assertRaises(ValueError):
            tensors.read(self.file)
        self.assertIn(tensors.count(self.file), (None, 4))  # of the dtype that NumPy lacks, four

    def test_values_are_assigned_all_or_none(self):
        variables = {"a": keras.Variable([1.0, 2.0]), "b": keras.Variable(3.0)}
        a, b = np.array([5, 6], np.float16), np.array(7.0)
        for arrays, message in (
            ({"a": a}, r"nothing instead of \(\) as b"),
            ({"a": a, "b": b, "c": b}, r"\(\) instead of nothing as c"),
            ({"a": a, "b": a}, r"\(2,\) instead of \(\) as b"),
        ):
            with self.assertRaisesRegex(ValueError, f"another network: {message}"):
                tensors.assign(variables, arrays)
        self.assertAllEqual(variables["a"], [1.0, 2.0])
        tensors.assign(variables, {"a": a, "b": b})
        self.assertAllEqual(variables["a"], [5.0, 6.0])
        self.assertEqual(variables["b"].numpy(), np.float32(7.0))
