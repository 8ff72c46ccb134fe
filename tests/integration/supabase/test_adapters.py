"""What the adapters promise, proven on the real parts."""

from collections.abc import Iterator

import pytest
from tests.integration.supabase.project import SupabaseProject

from imagen.adapters.cloud.supabase import SupabaseCloud
from imagen.adapters.ledger.supabase import SupabaseLedger
from imagen.adapters.supabase import SupabaseAccess
from imagen.testing import CloudContract, SharedLedgerContract

NOWHERE = SupabaseAccess("http://127.0.0.1:9", "sb_secret_canary")


@pytest.fixture
def access(project: SupabaseProject) -> SupabaseAccess:
    return SupabaseAccess(project.url, project.secret_key)


@pytest.fixture
def stranger(project: SupabaseProject) -> SupabaseAccess:
    return SupabaseAccess(project.url, project.anon_key)


@pytest.fixture
def ledger(access: SupabaseAccess) -> Iterator[SupabaseLedger]:
    ledger = SupabaseLedger(access)
    yield ledger
    ledger.close()


@pytest.fixture
def cloud(access: SupabaseAccess) -> Iterator[SupabaseCloud]:
    cloud = SupabaseCloud(access)
    yield cloud
    cloud.close()


class TestSupabaseLedger(SharedLedgerContract):
    @pytest.fixture
    def shared(self, access: SupabaseAccess) -> Iterator[SupabaseLedger]:
        ledger = SupabaseLedger(access)
        yield ledger
        ledger.close()

    @pytest.fixture
    def another_shared(self, project: SupabaseProject) -> Iterator[SupabaseLedger]:
        ledger = SupabaseLedger(SupabaseAccess(project.url, project.service_key))
        yield ledger
        ledger.close()

    @pytest.fixture
    def away(self) -> Iterator[SupabaseLedger]:
        ledger = SupabaseLedger(NOWHERE)
        yield ledger
        ledger.close()

    @pytest.fixture
    def closed(self, stranger: SupabaseAccess) -> Iterator[SupabaseLedger]:
        ledger = SupabaseLedger(stranger)
        yield ledger
        ledger.close()


class TestSupabaseCloud(CloudContract):
    @pytest.fixture
    def cloud(self, access: SupabaseAccess) -> Iterator[SupabaseCloud]:
        cloud = SupabaseCloud(access)
        yield cloud
        cloud.close()

    @pytest.fixture
    def owner(self, project: SupabaseProject) -> str:
        return project.user()

    @pytest.fixture
    def another(self, project: SupabaseProject) -> Iterator[SupabaseCloud]:
        cloud = SupabaseCloud(SupabaseAccess(project.url, project.service_key))
        yield cloud
        cloud.close()

    @pytest.fixture
    def away(self) -> Iterator[SupabaseCloud]:
        cloud = SupabaseCloud(NOWHERE)
        yield cloud
        cloud.close()

    @pytest.fixture
    def closed(self, stranger: SupabaseAccess) -> Iterator[SupabaseCloud]:
        cloud = SupabaseCloud(stranger)
        yield cloud
        cloud.close()
