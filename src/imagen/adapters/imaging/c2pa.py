"""Checks C2PA manifests with the library of those who wrote the standard."""

from io import BytesIO
from typing import Any, cast

import msgspec

from imagen.domain.content_credentials import ContentCredentials

_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNTRUSTED = "signingCredential.untrusted"
_STATES = {"Valid": True, "Trusted": True, "Invalid": False}


def check_content_credentials(content: bytes, media_type: str) -> ContentCredentials:
    """Hash what the manifest covers, and check the signature; all on this machine."""
    try:
        import c2pa  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        return ContentCredentials(
            note="not checked: that takes the extra `imagen-studio[c2pa]`"
        )
    try:
        context = c2pa.Context.from_dict(_OFFLINE)
        reader: Any = c2pa.Reader(media_type, BytesIO(content), context=context)
        said = msgspec.json.decode(reader.json(), type=dict[str, Any])
        state = str(reader.get_validation_state())
    except Exception as error:  # noqa: BLE001 - whatever a hostile file does to it
        return ContentCredentials(note=f"not checked: {' '.join(str(error).split())}")
    return parse_report(said, state)


def parse_report(said: dict[str, Any], state: str) -> ContentCredentials:
    """Return what the library's report says, of the manifest that counts."""
    manifests = _record(said.get("manifests"))
    active = _record(manifests.get(str(said.get("active_manifest"))))
    signature = _record(active.get("signature_info"))
    results = _record(said.get("validation_results"))
    failures = _records(_record(results.get("activeManifest")).get("failure"))
    codes = [str(each.get("code")) for each in failures]
    generators = _records(active.get("claim_generator_info"))
    first = generators[0] if generators else {}
    words = (first.get("name"), first.get("version"))
    made_with = " ".join(str(word) for word in words if word)
    names = (signature.get("common_name"), signature.get("issuer"))
    return ContentCredentials(
        fits=_STATES.get(state),
        trusted=True if state == "Trusted" else None,
        signed_by=", ".join(dict.fromkeys(str(name) for name in names if name)),
        signed_at=str(signature.get("time") or ""),
        made_with=made_with or str(active.get("claim_generator") or ""),
        failures=tuple(code for code in codes if code != _UNTRUSTED),
        note="" if state == "Trusted" else "nobody was asked whether to trust them",
    )


def _record(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _records(value: object) -> list[dict[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [_record(item) for item in items]
