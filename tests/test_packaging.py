"""The house: import names are ours, and what was built once stays out of the repository."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_name_is_our_package(package):
    module = importlib.import_module(package)
    assert Path(str(module.__file__)).parent == ROOT / package


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_ships_its_types(package):
    assert (ROOT / package / "py.typed").exists()


def test_the_tests_folders_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))  # tests/lake/__init__.py would shadow lake


def test_no_registry_takes_the_distribution():
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


def test_every_locked_package_has_a_hash_and_none_an_address():
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(r"^\S+==.*(?:\n .*)*", lock, re.MULTILINE)
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock


def test_every_direct_dependency_is_locked():
    lock = (ROOT / "requirements.lock").read_text()
    wanted = PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["dev"]
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted}
    assert names <= {match.lower() for match in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
