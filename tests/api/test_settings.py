"""Settings of the server from the environment."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from api.settings import ServerSettings
from lake.errors import SettingError
from lake.settings import LakeSettings


def test_without_an_environment_everything_has_its_default():
    assert ServerSettings.from_env({}) == ServerSettings()
    assert ServerSettings() == ServerSettings(
        Path("data"), None, "127.0.0.1", 3000, 1, 200, 1000, "default", "", "", LakeSettings()
    )


def test_an_empty_variable_is_an_absent_one():
    names = (
        "CONTROL_URL",
        "PORT",
        "WORKERS",
        "INGEST_SUCCESS_STATUS",
        "LAB_URL",
        "BODY_MAX_BYTES",
        "SQL_TIMEOUT_S",
        "SQL_WITHOUT_LANDLOCK",
    )
    assert ServerSettings.from_env({f"TRACELAKE_{name}": "" for name in names}) == ServerSettings()


def test_every_variable_is_read():
    settings = ServerSettings.from_env(
        {
            "TRACELAKE_DATA": "/srv/lakes",
            "TRACELAKE_CONTROL_URL": "sqlite:////srv/keys.db",
            "TRACELAKE_HOST": "192.0.2.1",
            "TRACELAKE_PORT": "8080",
            "TRACELAKE_WORKERS": "4",
            "TRACELAKE_INGEST_SUCCESS_STATUS": "202",
            "TRACELAKE_RATE_LIMIT_PER_MINUTE": "500",
            "TRACELAKE_CLUSTER": "prod-eu",
            "TRACELAKE_REGION": "eu-west-1",
            "TRACELAKE_LAB_URL": "http://lab",
            "TRACELAKE_BODY_MAX_BYTES": "1000",
            "TRACELAKE_SQL_TIMEOUT_S": "5",
            "TRACELAKE_SQL_WITHOUT_LANDLOCK": "1",
        }
    )
    assert settings == ServerSettings(
        Path("/srv/lakes"),
        "sqlite:////srv/keys.db",
        "192.0.2.1",
        8080,
        4,
        202,
        500,
        "prod-eu",
        "eu-west-1",
        "http://lab",
        LakeSettings(body_max_bytes=1000),
        5,
        sql_without_landlock=True,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "-1"),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("WORKERS", "1.5"),
        ("RATE_LIMIT_PER_MINUTE", "0"),
        ("RATE_LIMIT_PER_MINUTE", "10001"),
        ("INGEST_SUCCESS_STATUS", "201"),
        ("INGEST_SUCCESS_STATUS", "ok"),
        ("BODY_MAX_BYTES", "0"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(name, value):
    with pytest.raises(SettingError, match=f"TRACELAKE_{name} must be .*'{value}'"):
        ServerSettings.from_env({f"TRACELAKE_{name}": value})


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        ServerSettings().port = 1  # type: ignore[misc]
