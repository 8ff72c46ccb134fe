"""Looks what of a Supabase project is not set up yet; changes nothing in it."""

from collections.abc import Callable, Iterator

import msgspec

from imagen.adapters.supabase.client import (
    BUCKET,
    SupabaseAccess,
    SupabaseProject,
    sql_hint,
)
from imagen.domain.errors import (
    ImagenError,
    Misconfigured,
    Unauthorized,
    Unavailable,
)
from imagen.ports.backend import Readiness

USAGE, REPORT = "mai.imagen_usage", "mai.imagen_usage_report()"
IMAGES, PRIVACY = "imagen.images", "imagen.imagen_privacy()"
PATIENCE = 5.0
"""Seconds for one thing that is looked at."""

_POLICY_HINT = (
    "Run migrations/0004_imagen_bucket_policies.sql in the project's SQL editor, or see"
    " 'A policy by hand' in docs/supabase.md."
)


def check_project(access: SupabaseAccess, *, owner: str) -> Iterator[Readiness]:
    """Yield everything that is needed, and whether it is there and may be used.

    Args:
        access: The project.
        owner: Whose the copies of images are to be; "" leaves out what they need.
    """
    project = SupabaseProject(access, timeout=PATIENCE)
    try:
        project.open()
        yield from _findings(project, owner)
    except (Unavailable, Misconfigured) as error:
        yield Readiness(name="project", ready=False, note=_words(error))
    finally:
        project.close()


def _findings(project: SupabaseProject, owner: str) -> Iterator[Readiness]:
    if project.is_public:
        note = "It is the public one. Take a secret key, or service_role."
        yield Readiness(name="key", ready=False, note=note)
        return
    try:
        _read(project, USAGE)
    except Unauthorized as error:
        yield Readiness(name="key", ready=False, note=_words(error))
        return
    except Misconfigured:
        pass  # which is said below
    yield Readiness(name="key", ready=True)
    yield _found(f"read {USAGE}", lambda: _read(project, USAGE))
    yield _found(f"add to {USAGE}", lambda: _add_nothing(project, USAGE))
    yield _found(REPORT, lambda: _report(project))
    if not owner:
        note = "The config has none, so there is no copy of images."
        yield Readiness(name="owner_user_id", ready=True, note=note)
        return
    yield _found(f"read {IMAGES}", lambda: _read(project, IMAGES))
    yield _found(f"add to {IMAGES}", lambda: _add_nothing(project, IMAGES))
    yield from _privacy(project)
    yield _found(f"bucket {BUCKET}", lambda: _bucket(project))
    yield _found("owner_user_id", lambda: _owner(project, owner))


def _found(what: str, look: Callable[[], None]) -> Readiness:
    try:
        look()
    except ImagenError as error:
        return Readiness(name=what, ready=False, note=_words(error))
    return Readiness(name=what, ready=True)


def _read(project: SupabaseProject, table: str) -> None:
    schema, _, name = table.partition(".")
    with project.explained(table):
        project.table(schema).from_(name).select("id").limit(1).execute()
        project.check_rest()


def _add_nothing(project: SupabaseProject, table: str) -> None:
    """Insert no row: whether one might is looked at all the same."""
    schema, _, name = table.partition(".")
    with project.explained(table):
        project.table(schema).from_(name).insert(
            [],
            returning="minimal",  # type: ignore[arg-type]  # as its own enum has it
        ).execute()
        project.check_rest()


def _report(project: SupabaseProject) -> None:
    wish: dict[str, object] = {"by": [], "since": "9999-12-31"}
    with project.explained(REPORT):
        project.table("mai").rpc("imagen_usage_report", wish).execute()  # type: ignore[arg-type]  # it takes any JSON
        project.check_rest()


class _Privacy(msgspec.Struct):
    """What keeps others out; see migrations/0002_imagen_images.sql."""

    open: list[str]
    images: bool
    files: bool
    loose: list[str]


def _privacy(project: SupabaseProject) -> Iterator[Readiness]:
    """Look whether owners, and they alone, read what is theirs."""
    try:
        with project.explained(PRIVACY):
            found = project.table("imagen").rpc("imagen_privacy", {}).execute()
            project.check_rest()
            privacy = msgspec.convert(found.data, _Privacy)
    except ImagenError as error:
        yield Readiness(name=PRIVACY, ready=False, note=_words(error))
        return
    note = ""
    if privacy.open:
        tables = ", ".join(privacy.open)
        note = f"It is off for {tables}: run the files in migrations/ again."
    yield Readiness(name="row-level security", ready=not note, note=note)
    note = "" if privacy.images else f"There is none. {sql_hint(IMAGES)}"
    yield Readiness(name="policy: owners read their rows", ready=not note, note=note)
    note = "" if privacy.files else f"There is none. {_POLICY_HINT}"
    yield Readiness(name="policy: owners read their files", ready=not note, note=note)
    if privacy.loose:
        loose = ", ".join(privacy.loose)
        note = f"There are some for every bucket: {loose}. {_POLICY_HINT}"
        yield Readiness(name="no policy for others", ready=False, note=note)


def _bucket(project: SupabaseProject) -> None:
    with project.explained(f"The bucket {BUCKET}"):
        bucket = project.storage().get_bucket(BUCKET)
    if bucket.public:
        raise Misconfigured("It is public: anybody can read it.", hint=sql_hint(BUCKET))


def _owner(project: SupabaseProject, owner: str) -> None:
    from supabase_auth import SyncGoTrueAdminAPI  # noqa: PLC0415 - only to look
    from supabase_auth.errors import AuthError  # noqa: PLC0415

    auth = SyncGoTrueAdminAPI(
        url=f"{project.access.url}/auth/v1",
        headers=project.access.headers(),
        http_client=project.http,
    )
    try:
        with project.explained("auth.users"):
            auth.get_user_by_id(owner)
    except AuthError as error:
        if error.code != "user_not_found":
            raise project.failure("auth.users", error.message) from error
        raise Misconfigured(
            "It is no user of the project.",
            hint="Take the UID of one under Authentication > Users.",
        ) from error


def _words(error: ImagenError) -> str:
    return " ".join(filter(None, (error.message, error.hint)))
