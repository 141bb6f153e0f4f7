"""What every test rests on: times are UTC, whatever the machine says."""

import os
import time

os.environ["TZ"] = "UTC"
time.tzset()
