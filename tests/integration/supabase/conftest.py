"""The project that the tests of this folder share; each finds it empty and whole."""

from collections.abc import Iterator

import pytest
from tests.integration.supabase.project import SupabaseProject, missing_parts


@pytest.fixture(scope="session")
def _shared_project() -> Iterator[SupabaseProject]:
    missing = missing_parts()
    if missing:
        pytest.skip(missing)
    with SupabaseProject() as project:
        yield project


@pytest.fixture
def project(_shared_project: SupabaseProject) -> Iterator[SupabaseProject]:
    yield _shared_project
    _shared_project.reset()
