"""What is left out of a process is not there, and nothing else is missing."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from lake.lean import leave_out
leave_out("pandas")
import pyarrow as pa
pa.array([1])
import lake.compaction, lake.store, lake.wire.traces
print("pandas" in sys.modules)
"""


def test_pyarrow_makes_arrays_without_the_module_that_is_left_out():
    answer = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert answer.stdout == "False\n"


def test_the_module_that_is_left_out_says_so():
    program = "from lake.lean import leave_out; leave_out('pandas'); import pandas"
    answer = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert answer.returncode == 1
    assert "pandas is left out of this process" in answer.stderr


def test_a_server_that_compares_no_deploys_has_neither_polars_nor_scipy():
    program = "import sys, api.app, scheduler.process; print(sorted({'polars', 'scipy'} & sys.modules.keys()))"
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert answer.stdout == "[]\n"
