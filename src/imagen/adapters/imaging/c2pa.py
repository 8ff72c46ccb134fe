"""Check C2PA manifests with `c2pa-python`, the library of the standard's authors."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, cast

import msgspec

from imagen.domain.content_credentials import ContentCredentials
from imagen.domain.metadata.foreign_json import as_object

# Checking a file must not contact the hosts that the file names.
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNTRUSTED = "signingCredential.untrusted"
_STATES = {"Valid": True, "Trusted": True, "Invalid": False}


def check_content_credentials(content: bytes, media_type: str) -> ContentCredentials:
    """Verify the hashes and the signature of the manifest, offline.

    A file that cannot be checked gives a result with `note` set; nothing is raised.
    """
    try:
        import c2pa  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        from imagen.adapters.system.installation import format_install_command  # noqa: PLC0415 - rare

        command = format_install_command("c2pa")
        return ContentCredentials(note=f"not checked; this needs: {command}")
    try:
        context = c2pa.Context.from_dict(_OFFLINE)
        reader: Any = c2pa.Reader(media_type, BytesIO(content), context=context)
        report = msgspec.json.decode(reader.json(), type=dict[str, object])
        state = str(reader.get_validation_state())
    # A hostile file can make the native library raise any exception.
    except Exception as error:  # noqa: BLE001 - see above
        return ContentCredentials(note=f"not checked: {' '.join(str(error).split())}")
    return parse_report(report, state)


def parse_report(report: Mapping[str, object], state: str) -> ContentCredentials:
    """Return the result for the active manifest of the library's report."""
    manifests = as_object(report.get("manifests"))
    active = as_object(manifests.get(str(report.get("active_manifest"))))
    signature = as_object(active.get("signature_info"))
    results = as_object(report.get("validation_results"))
    failures = _objects(as_object(results.get("activeManifest")).get("failure"))
    codes = [str(each.get("code")) for each in failures]
    generators = _objects(active.get("claim_generator_info"))
    first = as_object(next(iter(generators), None))
    words = (first.get("name"), first.get("version"))
    made_with = " ".join(str(word) for word in words if word)
    names = (signature.get("common_name"), signature.get("issuer"))
    return ContentCredentials(
        fits=_STATES.get(state),
        trusted=True if state == "Trusted" else None,
        signed_by=", ".join(dict.fromkeys(str(name) for name in names if name)),
        signed_at=str(signature.get("time") or ""),
        made_with=made_with or str(active.get("claim_generator") or ""),
        # The trust list is not consulted offline, so "untrusted" proves nothing.
        failures=tuple(code for code in codes if code != _UNTRUSTED),
        note="" if state == "Trusted" else "whether to trust them was not checked",
    )


def _objects(value: object) -> list[Mapping[str, object]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [as_object(item) for item in items]
