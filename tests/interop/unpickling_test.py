"""Tests of files of variables: pickles of Python 2 and 3, archives, and rejected contents."""

import os
import pickle
import struct
import zipfile
from unittest import mock

import numpy as np

import pixelcnn_aux as pa
from pixelcnn_aux.interop import unpickling
from tests import helpers
from tests.interop.published import Reduced, python_2_pickle


class ReadVariablesTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
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
        contents = contents if isinstance(contents, bytes) else pickle.dumps(contents, 2)
        with self.assertRaisesRegex(ValueError, f"model.pickle.*{message}"):
            self.read(contents)

    def assert_same(self, found, expected):
        self.assertEqual(list(found), list(expected))
        for name, array in expected.items():
            self.assertAllEqual(found[name], array)

    def test_pickles_of_both_pythons(self):
        little = {name: array.astype("<f4") for name, array in self.variables.items()}
        self.assertGreater(max(little["a/V"].tobytes()), 127)
        self.assert_same(self.read(python_2_pickle(little)), little)
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
        np.savez(file, a=np.array([None]))
        self.assert_refused(file.read_bytes(), "damaged.*allow_pickle=False")
        self.assert_refused(file.read_bytes()[:-30], "damaged")
        # These methods inflate everything at once.
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with zipfile.ZipFile(file, "w", method) as archive:
                archive.writestr("a.npy", b"")
            self.assert_refused(file.read_bytes(), f"ZIP's methods .{method}")

    def test_numbers_that_would_take_gigabytes_are_refused(self):
        memo = b"\x80\x02]r" + struct.pack("<I", 2**28) + b"."
        self.assertEqual(pickle.loads(b"\x80\x02]q\x00."), [])  # valid with an honest number
        self.assert_refused(memo, "a memo of at most 2 entries, received number 268435456")
        file = self.folder / "large.npz"
        np.savez_compressed(file, a=np.zeros(1000))
        with mock.patch.object(unpickling, "MAX_BYTES", 1000):
            self.assert_refused(file.read_bytes(), "at most 1,000 bytes of arrays")
            self.assert_refused(bytes(1001), "at most 1,000 bytes, received more")

    def test_objects_whose_representation_has_no_end_are_not_shown(self):
        nested = "x"
        for _ in range(40):
            nested = [nested] * 10  # the same object, which a pickle holds once
        self.assert_refused([("a", nested)], "expected an array in 'a', received list")
        self.assert_refused([(nested, np.zeros(1))], "expected a name, received list")
        scalar, _ = np.float32(0).__reduce__()
        array = Reduced(scalar, (Reduced(np.dtype, (nested,)), b"data"))
        self.assert_refused([("a", array)], "expected floats in 'a', received an array of ''")

    def test_keys_that_take_for_ever_to_hash_are_refused(self):
        key = 0
        for _ in range(60):
            key = (key, key)
        for contents in (b"}" + pickle.dumps(key, 2)[2:-1] + b"K\x01s.", b"\x8f."):
            self.assert_refused(b"\x80\x04" + contents, "dicts or sets")
        self.assert_refused([("a", np.array([(1, 2)], "f4,f4"))], "dicts or sets")  # in its dtype

    def test_one_array_under_many_names_is_refused(self):
        """A small file of repeated arrays would fill the memory."""
        array = np.zeros(1000, np.float32)
        self.read(python_2_pickle({str(name): array for name in range(99)}))  # its own bytes each
        self.assert_refused([(str(name), array) for name in range(99)], "each array once")
        data = pickle.dumps(array.tobytes().decode("latin1"), 2)[2:-1]
        array = b"cnumpy\nndarray\n)R(K\1M\xe8\x03\x85cnumpy\ndtype\nU\2f4\x85R\x89h\0tb"
        pairs = b"".join(b"X\2\0\0\0%02d" % name + array + b"\x86a" for name in range(99))
        self.assert_refused(b"\x80\2" + data + b"0]" + pairs + b".", "each array once")

    def test_what_a_pickle_names_is_not_called(self):
        marker = self.folder / "marker"
        for protocol in range(5):
            hostile = pickle.dumps([("a", Reduced(os.system, (f"touch {marker}",)))], protocol)
            self.assert_refused(hostile, f"refused '{os.system.__module__}.system'")
            self.assertFalse(marker.exists())
            pickle.loads(hostile)  # it would have run the code
            self.assertTrue(marker.exists())
            marker.unlink()
        for module, name in (
            *(("builtins", "eval"), ("numpy", "load"), ("numpy", "ndarray.tofile")),
            ("numpy.core.multiarray", "fromfile"),
        ):
            self.assert_refused(f"c{module}\n{name}\n.".encode(), f"refused '{module}.{name}'")

    def test_other_contents_are_refused(self):
        one = np.zeros(1)
        for array in (np.array([1.0, None]), np.array([b"ab"]), np.array([1])):
            self.assert_refused([("good", one), ("bad", array)], "expected floats in 'bad'")
        # Bytes that numpy would interpret as addresses of objects.
        for array in (
            b"cnumpy\nndarray\n(K\1\x85U\1OU\x08" + bytes(8) + b"tR",
            b"cnumpy\nndarray\n)R(K\1K\1\x85cnumpy\ndtype\nU\1O\x85R\x89U\x08" + bytes(8) + b"tb",
        ):
            self.assert_refused(b"\x80\2]U\3bad" + array + b"\x86a.", "expected floats in 'bad'")
        for contents, message in (
            ([("a", 1.0)], "expected an array in 'a', received float"),
            ([("a", one), (b"a:0", one)], "expected one variable 'a', received several"),
            ([(1, one)], "expected a name, received int"),
            ([one], "damaged"),
            (7, "damaged"),
            (b"Expected weights", "damaged"),
        ):
            self.assert_refused(contents, message)
        whole = pickle.dumps([*self.variables.items()], 2)
        for length in range(0, len(whole) - 1, 7):
            self.assert_refused(whole[:length], "damaged")
        with self.assertRaisesRegex(FileNotFoundError, "none.npz, which is no file"):
            pa.interop.read_variables(self.folder / "none.npz")
