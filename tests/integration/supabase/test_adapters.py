"""What the adapters promise, proven on the real parts."""

from collections.abc import Iterator
from hashlib import sha256

import msgspec
import pytest
from tests.contract_internal.contracts.cloud import CloudContract, SharedLedgerContract
from tests.contract_internal.samples import sample_entry
from tests.integration.supabase.project import SupabaseProject

from imagen.adapters.supabase.client import SupabaseAccess
from imagen.adapters.supabase.images import SupabaseCloud
from imagen.adapters.supabase.ledger import SupabaseLedger
from imagen.domain.cloud import build_cloud_image
from imagen.testing import tiny_png

NOWHERE = SupabaseAccess("http://127.0.0.1:9", "sb_secret_canary")


@pytest.fixture
def access(project: SupabaseProject) -> SupabaseAccess:
    return SupabaseAccess(project.url, project.secret_key)


@pytest.fixture
def stranger(project: SupabaseProject) -> SupabaseAccess:
    return SupabaseAccess(project.url, project.anon_key)


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


MORE = 2_001
"""Images, which is more than two answers have."""
MORE_IMAGES = """
    insert into imagen.images
      (id, owner_user_id, created_at, prompt, prompt_sha256, backend, model, width,
       height, latency_ms, storage_path, mime_type, bytes, sha256, sidecar)
    select id, owner_user_id, created_at, prompt, prompt_sha256, backend, model, width,
           height, latency_ms, owner_user_id || '/' || id || '-a-fox.png', mime_type,
           bytes, sha256, jsonb_set(sidecar, '{id}', to_jsonb(id))
      from (
        select ('019b0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id,
               created_at + n %% 3 * interval '1 microsecond' as created_at,
               owner_user_id,
               prompt, prompt_sha256, backend, model, width, height, latency_ms,
               mime_type, bytes, sha256, sidecar
          from imagen.images, generate_series(2, %s) as n
      ) as more
"""


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

    def test_finds_more_images_than_an_answer_has(
        self, cloud: SupabaseCloud, owner: str, project: SupabaseProject
    ) -> None:
        content = tiny_png(8, 8)
        sidecar = msgspec.structs.replace(
            sample_entry().sidecar, sha256=sha256(content).hexdigest()
        )
        cloud.upload(build_cloud_image(sidecar, owner=owner), content)
        project.sql(MORE_IMAGES, MORE)

        found = [image.sidecar.id for image in cloud.find(owner)]

        newest_first = (
            "select id::text from imagen.images order by created_at desc, id desc"
        )
        assert found == [name for (name,) in project.sql(newest_first)]
        assert len(found) == MORE
        for limit in (1000, 1001):
            some = [image.sidecar.id for image in cloud.find(owner, limit=limit)]
            assert some == found[:limit]
