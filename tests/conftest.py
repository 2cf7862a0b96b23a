"""Speeds the tests up: the order of their files, and graphs without optimization."""

import gc
import os

# Imports create many long-lived objects, which the garbage collector would scan in vain.
gc.disable()
# Compiled code runs once here: XLA need not optimize it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Workers share the processor: busy-waiting threads of OpenBLAS would block the other workers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Long files come first, so that workers finish together.
LONG = (
    *("export_test.py", "agreement_test.py", "interrupted_test.py", "devices_test.py"),
    *("loop_test.py", "particles_test.py", "factor_test.py", "scans_test.py", "model_test.py"),
    *("exact_export_test.py", "process_test.py", "interface_test.py", "parallel_test.py"),
    *("documentation_test.py", "shards_test.py", "annotations_test.py", "precision_test.py"),
    *("sampling_test.py", "causality_test.py", "references_test.py", "sums_test.py"),
    *("conditions_test.py", "codec_test.py", "first_weights_test.py", "presets_test.py"),
)


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # the number of tests says little about their time


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish(session):
    from tests import helpers  # imports TensorFlow, which xdist's main process does not need

    # Programs started by tests, and exports in the server's C++ loader, still optimize their graphs.
    helpers.trace_quickly()
    gc.freeze()
    gc.enable()
