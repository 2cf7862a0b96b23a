"""Tests of the files of variables: pickles of both Pythons, archives, and what is refused."""

import os
import pickle
import struct
import zipfile
from unittest import mock

import numpy as np
import tensorflow as tf

import pixelcnn_aux as pa
from pixelcnn_aux.interop import unpickling
from tests import helpers
from tests.interop.published import Command, python_2_pickle


class Reduced:
    """What a pickle has as a call of a function with arguments."""

    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


class ReadVariablesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = helpers.temporary_folder(self)
        random = np.random.default_rng(0)
        self.variables = {
            "a/V": random.normal(size=(2, 3, 5, 7)).astype(np.float32),  # of all bytes
            "a/g": np.asfortranarray(random.normal(size=(3, 4))),
            "a/b": np.array([1.5], ">f4"),
            "a/t": random.normal(size=(2, 3, 4)).transpose(0, 2, 1),  # in neither order in memory
        }

    def read(self, contents):
        file = self.folder / "model.pickle"
        file.write_bytes(contents)
        return pa.interop.read_variables(file)

    def assert_refused(self, contents, message):
        with self.assertRaisesRegex(ValueError, f"model.pickle.*{message}"):
            self.read(contents)

    def assert_same(self, found, expected):
        self.assertEqual(list(found), list(expected))
        for name, array in expected.items():
            self.assertAllEqual(found[name], array)

    def test_pickles_of_python_2(self):
        little = {name: array.astype("<f4") for name, array in self.variables.items()}
        self.assertGreater(max(little["a/V"].tobytes()), 127)
        self.assert_same(self.read(python_2_pickle(little)), little)

    def test_pickles_of_python_3(self):
        for protocol in range(6):
            pairs = [(name + ":0" * (protocol % 2), x) for name, x in self.variables.items()]
            self.assert_same(self.read(pickle.dumps(pairs, protocol)), self.variables)
        pairs = [(name.encode(), array) for name, array in self.variables.items()]
        self.assert_same(self.read(pickle.dumps(pairs, 2)), self.variables)
        scalar = self.read(pickle.dumps([("step", np.float32(3))], 2))
        self.assert_same(scalar, {"step": np.float32(3)})

    def test_npz(self):
        file = self.folder / "variables.npz"
        np.savez(file, **self.variables)
        self.assert_same(pa.interop.read_variables(file), self.variables)
        prefixed = {f"var/{name}": array for name, array in self.variables.items()}
        np.savez(file, **prefixed, image=np.zeros(3))
        self.assert_same(pa.interop.read_variables(file), self.variables)

    def test_numbers_that_would_take_gigabytes_are_refused(self):
        memo = b"\x80\x02]r" + struct.pack("<I", 2**28) + b"."
        self.assertEqual(pickle.loads(b"\x80\x02]q\x00."), [])  # the same with an honest number
        self.assert_refused(memo, "a memo of at most 2 entries, received number 268435456")
        file = self.folder / "large.npz"
        np.savez_compressed(file, a=np.zeros(1000))
        with mock.patch.object(unpickling, "MAX_BYTES", 1000):
            with self.assertRaisesRegex(ValueError, "large.npz.*at most 1,000 bytes of arrays"):
                pa.interop.read_variables(file)
            self.assert_refused(bytes(1001), "at most 1,000 bytes, received more")

    def test_what_has_no_end_of_a_representation_is_not_shown(self):
        nested = "x"
        for _ in range(40):
            nested = [nested] * 10  # the same object, which a pickle holds once
        for pairs, message in (
            ([("a", nested)], "expected an array in 'a', received list"),
            ([(nested, np.zeros(1))], "expected a name, received list"),
        ):
            self.assert_refused(pickle.dumps(pairs, 2), message)
        scalar, _ = np.float32(0).__reduce__()
        array = Reduced(scalar, (Reduced(np.dtype, (nested,)), b"data"))
        message = "expected floats in 'a', received an array of ''"
        self.assert_refused(pickle.dumps([("a", array)], 2), message)

    def test_keys_that_take_for_ever_to_hash_are_refused(self):
        key = 0
        for _ in range(60):
            key = (key, key)
        for contents in (b"}" + pickle.dumps(key, 2)[2:-1] + b"K\x01s.", b"\x8f."):
            self.assert_refused(b"\x80\x04" + contents, "dicts or sets")
        fields = np.array([(1, 2)], "f4,f4")  # whose dtype has a dict
        self.assert_refused(pickle.dumps([("a", fields)], 2), "dicts or sets")

    def test_one_array_under_many_names_is_refused(self):
        """A small file of them would fill the memory."""
        array = np.zeros(1000, np.float32)
        # Each with its own bytes.
        self.read(python_2_pickle({str(name): array for name in range(99)}))
        self.assert_refused(
            pickle.dumps([(str(name), array) for name in range(99)], 2), "each array once"
        )
        data = pickle.dumps(array.tobytes().decode("latin1"), 2)[2:-1]
        array = b"cnumpy\nndarray\n)R(K\1M\xe8\x03\x85cnumpy\ndtype\nU\2f4\x85R\x89h\0tb"
        pairs = b"".join(b"X\2\0\0\0%02d" % name + array + b"\x86a" for name in range(99))
        shared = b"\x80\2" + data + b"0]" + pairs + b"."
        self.assert_refused(shared, "each array once")

    def test_other_methods_of_compression_are_refused(self):
        """Those inflate whatever they hold at once."""
        file = self.folder / "variables.npz"
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with zipfile.ZipFile(file, "w", method) as archive:
                archive.writestr("a.npy", b"")
            with self.assertRaisesRegex(ValueError, f"variables.npz.*ZIP's methods .{method}"):
                pa.interop.read_variables(file)

    def test_what_a_pickle_names_is_not_called(self):
        marker = self.folder / "marker"
        for protocol in range(5):
            with self.subTest(protocol=protocol):
                hostile = pickle.dumps([("a", Command(f"touch {marker}"))], protocol)
                self.assert_refused(hostile, f"refused '{os.system.__module__}.system'")
                self.assertFalse(marker.exists())
                pickle.loads(hostile)  # It would have.
                self.assertTrue(marker.exists())
                marker.unlink()
        for module, name in (
            *(("builtins", "eval"), ("numpy", "load"), ("numpy", "ndarray.tofile")),
            ("numpy.core.multiarray", "fromfile"),
        ):
            self.assert_refused(f"c{module}\n{name}\n.".encode(), f"refused '{module}.{name}'")

    def test_arrays_of_anything_but_floats_name_the_variable(self):
        for array in (np.array([1.0, None]), np.array([b"ab"]), np.array([1])):
            pairs = [("good", self.variables["a/V"]), ("bad", array)]
            self.assert_refused(pickle.dumps(pairs, 2), "expected floats in 'bad'")
        # Bytes that numpy would take for the addresses of objects.
        for array in (
            b"cnumpy\nndarray\n(K\1\x85U\1OU\x08" + bytes(8) + b"tR",
            b"cnumpy\nndarray\n)R(K\1K\1\x85cnumpy\ndtype\nU\1O\x85R\x89U\x08" + bytes(8) + b"tb",
        ):
            self.assert_refused(b"\x80\2]U\3bad" + array + b"\x86a.", "expected floats in 'bad'")

    def test_other_contents(self):
        one = np.zeros(1)
        for contents, message in (
            ([("a", 1.0)], "expected an array in 'a', received float"),
            ([("a", one), (b"a:0", one)], "expected one variable 'a', received several"),
            ([(1, one)], "expected a name, received int"),
            ([one], "damaged"),
            (7, "damaged"),
        ):
            self.assert_refused(pickle.dumps(contents, 2), message)

    def test_damaged_files(self):
        whole = pickle.dumps([*self.variables.items()], 2)
        for length in range(0, len(whole) - 1, 7):
            self.assert_refused(whole[:length], "damaged")
        file = self.folder / "whole.npz"
        np.savez(file, a=np.array([None]))
        self.assert_refused(file.read_bytes(), "damaged.*allow_pickle=False")
        self.assert_refused(file.read_bytes()[:-30], "damaged")
        self.assert_refused(b"Expected weights", "damaged")
        with self.assertRaisesRegex(FileNotFoundError, "none.npz, which is no file"):
            pa.interop.read_variables(self.folder / "none.npz")
