"""Makes the tests take less time: the order of their files, and graphs without optimization."""

import gc
import os

# Imports make many objects that last: looking through them for those that do not takes a while.
gc.disable()
# What is compiled here runs once: XLA need not optimize it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Workers share the processor: threads of OpenBLAS that wait for each other would keep it from the others.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# First those that take long, so that workers end together.
LONG = (
    *("tutorial_test.py", "agreement_test.py", "export_test.py", "incremental_test.py"),
    *("codec_test.py", "fuzz_test.py", "parallel_test.py"),
    *("documentation_test.py", "plugin_test.py", "speed_test.py", "precision_test.py"),
    *("saving_test.py", "devices_test.py", "interrupted_test.py", "loop_test.py"),
    *("bpd_test.py", "process_test.py", "exact_export_test.py", "exact_test.py", "cost_test.py"),
    *("checks_test.py", "causality_test.py", "recorded_test.py"),
)


def pytest_configure(config):
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # by how many tests they have, which says little


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


def pytest_collection_finish(session):
    from tests import helpers  # TensorFlow, which xdist's own process need not wait for

    # Programs that tests start, and exports in the server's C++ loader, still have their graphs optimized.
    helpers.trace_quickly()
    gc.freeze()
    gc.enable()
