"""Checks of a Supabase project: which parts of its setup are missing.

Nothing in the project is changed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from imagen.adapters.supabase.client import (
    BUCKET,
    SupabaseAccess,
    TimedRow,
    migration_hint,
)
from imagen.adapters.system.pages import find_page
from imagen.domain.errors import (
    ImagenError,
    Misconfigured,
    Unauthorized,
    Unavailable,
)
from imagen.ports.backend import Readiness

# A path instead of importlib.resources, whose import takes 9 ms.
MIGRATIONS = Path(__file__).with_name("migrations")
"""The folder with the SQL files that create all of it."""

USAGE, REPORT = "mai.imagen_usage", "mai.imagen_usage_report()"
IMAGES, PRIVACY = "imagen.images", "imagen.imagen_privacy()"
CHECK_TIMEOUT = 5.0
"""Seconds for each request of a check."""

_POLICY_HINT = (
    "Run 0004_imagen_bucket_policies.sql of `imagen config migrations` in the project's"
    f" SQL editor, or see 'A policy by hand' in {find_page('supabase.md')}."
)


def check_project(access: SupabaseAccess, *, owner: str) -> Iterator[Readiness]:
    """Yield each part of the setup, and whether it exists and the key may use it.

    Without an owner of the copies of images, the parts for them are skipped.
    """
    try:
        _ = access.http  # a wrong URL or key ends it here
        yield from _run_checks(access, owner)
    except (Unavailable, Misconfigured) as error:
        yield Readiness(name="project", ready=False, note=error.explanation)
    finally:
        access.close()


def _run_checks(access: SupabaseAccess, owner: str) -> Iterator[Readiness]:
    if access.is_public:
        note = (
            "This key is public. Use a secret key (sb_secret_...) or the service_role"
            " key."
        )
        yield Readiness(name="key", ready=False, note=note)
        return
    try:
        _read_nothing(access, USAGE)
    except Unauthorized as error:
        yield Readiness(name="key", ready=False, note=error.explanation)
        return
    # Reported below, as a result of its own: the key itself is accepted.
    except Misconfigured:
        pass
    yield Readiness(name="key", ready=True)
    yield from _check_table(access, USAGE)
    empty: dict[str, object] = {"by": [], "since": "9999-12-31"}
    yield _run_check(REPORT, lambda: access.call(REPORT, empty, object))
    if not owner:
        note = "Not set in the config, so images are not copied."
        yield Readiness(name="owner_user_id", ready=True, note=note)
        return
    yield from _check_table(access, IMAGES)
    yield from _check_privacy(access)
    yield _run_check(f"bucket {BUCKET}", lambda: _check_bucket(access))
    yield _run_check("owner_user_id", lambda: _check_owner(access, owner))


def _check_table(access: SupabaseAccess, table: str) -> Iterator[Readiness]:
    yield _run_check(f"read {table}", lambda: _read_nothing(access, table))
    # PostgreSQL checks the permission to insert even for an empty list of rows.
    yield _run_check(f"add to {table}", lambda: access.insert(table, []))


def _run_check(what: str, check: Callable[[], object]) -> Readiness:
    try:
        check()
    except ImagenError as error:
        return Readiness(name=what, ready=False, note=error.explanation)
    return Readiness(name=what, ready=True)


def _read_nothing(access: SupabaseAccess, table: str) -> None:
    query = access.table(table).select("id,created_at").limit(1)
    access.read(table, query, TimedRow)


class _Privacy(msgspec.Struct):
    """The result of imagen_privacy(); see 0002_imagen_images.sql."""

    open: list[str]  # tables without row-level security
    images: bool  # whether owners can read their rows
    files: bool  # whether owners can read their files
    loose: list[str]  # policies that apply to every bucket


def _check_privacy(access: SupabaseAccess) -> Iterator[Readiness]:
    """Check that owners can read their rows and files, and that other users cannot."""
    try:
        privacy = access.call(PRIVACY, {}, _Privacy)
    except ImagenError as error:
        yield Readiness(name=PRIVACY, ready=False, note=error.explanation)
        return
    note = ""
    if privacy.open:
        tables = ", ".join(privacy.open)
        note = f"Disabled for {tables}. Run `imagen config migrations` again."
    yield Readiness(name="row-level security", ready=not note, note=note)
    note = "" if privacy.images else f"The policy is missing. {migration_hint(IMAGES)}"
    yield Readiness(name="policy: owners read their rows", ready=not note, note=note)
    note = "" if privacy.files else f"The policy is missing. {_POLICY_HINT}"
    yield Readiness(name="policy: owners read their files", ready=not note, note=note)
    if privacy.loose:
        loose = ", ".join(privacy.loose)
        note = f"These policies apply to every bucket: {loose}. {_POLICY_HINT}"
        yield Readiness(name="no policy for others", ready=False, note=note)


def _check_bucket(access: SupabaseAccess) -> None:
    with access.translate_errors(f"The bucket {BUCKET}"):
        bucket = access.storage().get_bucket(BUCKET)
    if bucket.public:
        raise Misconfigured(
            "The bucket is public: anyone can read it.", hint=migration_hint(BUCKET)
        )


def _check_owner(access: SupabaseAccess, owner: str) -> None:
    from supabase_auth import SyncGoTrueAdminAPI  # noqa: PLC0415 - only to look
    from supabase_auth.errors import AuthError  # noqa: PLC0415

    auth = SyncGoTrueAdminAPI(
        url=f"{access.url}/auth/v1",
        headers=access.headers(),
        http_client=access.http,
    )
    try:
        with access.translate_errors("auth.users"):
            auth.get_user_by_id(owner)
    except AuthError as error:
        if error.code != "user_not_found":
            raise access.to_error("auth.users", error.message) from error
        raise Misconfigured(
            "The owner_user_id is not a user of the project.",
            hint="Use the UID of a user under Authentication > Users.",
        ) from error
