"""Settings under which faults are tested: compaction runs all the time."""

import pytest

from tests.servers import PROC


@pytest.fixture(scope="session")
def settings():
    """Environment of a server that compacts every four landing files, and at least once a second."""
    if not (PROC / "self" / "environ").exists():
        pytest.skip("needs /proc, to find every process of a server")
    return {"TRACELAKE_COMPACTION_FILES": "4", "TRACELAKE_COMPACTION_INTERVAL_S": "1"}
