"""Files that carry a C2PA manifest, signed by nobody in particular."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

c2pa: Any = pytest.importorskip("c2pa", reason="the extra c2pa is not installed")

from cryptography import x509  # noqa: E402 - comes with it
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: E402
    decode_dss_signature,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

MANIFEST = {
    "claim_generator_info": [{"name": "a camera", "version": "1"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://cv.iptc.org/newscodes/"
                        "digitalsourcetype/trainedAlgorithmicMedia",
                    }
                ]
            },
        }
    ],
}


def signed(media_type: str) -> bytes:
    """Return a small picture with a manifest."""
    picture, file = BytesIO(), BytesIO()
    kind = media_type.removeprefix("image/")
    Image.new("RGB", (32, 32), (200, 30, 30)).save(picture, kind)
    picture.seek(0)
    chain, key = _chain()

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    signer = c2pa.Signer.from_callback(
        callback=sign, alg=c2pa.C2paSigningAlg.ES256, certs=chain, tsa_url=None
    )
    c2pa.Builder(MANIFEST).sign(signer, media_type, picture, file)
    return file.getvalue()


def _chain() -> tuple[str, ec.EllipticCurvePrivateKey]:
    """Return a certificate with its issuer's, and the key."""
    root, leaf = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _certificate("An Issuer", root, "An Issuer", root, issues=True)
    own = _certificate("A Signer", leaf, "An Issuer", root, issues=False)
    pem = serialization.Encoding.PEM
    return (own.public_bytes(pem) + issuer.public_bytes(pem)).decode(), leaf


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: str,
    by_key: ec.EllipticCurvePrivateKey,
    *,
    issues: bool,
) -> x509.Certificate:
    now, of = datetime.now(UTC), x509.SubjectKeyIdentifier.from_public_key
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )
    mail = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(issues, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(of(key.public_key()), critical=False)
        .add_extension(above, critical=False)
    )
    if not issues:
        builder = builder.add_extension(mail, critical=False)
    return builder.sign(by_key, hashes.SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A House"),
        ]
    )
