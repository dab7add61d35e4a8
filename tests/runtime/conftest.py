"""A home of one's own, and a Temporal server for the tests that only use one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.laptop.temporal_server import LaptopTemporal


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: pytest closes its folders to other users, and as root PostgreSQL runs as one.
    folder = Path(tempfile.mkdtemp(prefix="sluice-home-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def temporal() -> Iterator[LaptopTemporal]:
    folder = Path(tempfile.mkdtemp(prefix="sluice-temporal-"))
    server = LaptopTemporal(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
