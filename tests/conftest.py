"""What every test rests on: times are UTC, whatever the machine says, and a check that fails says what it found."""

import os
import time

import pytest

os.environ["TZ"] = "UTC"
time.tzset()

pytest.register_assert_rewrite("tests.lake.checks")
