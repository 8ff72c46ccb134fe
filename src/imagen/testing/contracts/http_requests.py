"""The part of `HttpBackendContract` about what the vendor receives."""

import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import as_file, files

import msgspec
import pytest

from imagen.domain.errors import (
    ImagenError,
    InvalidRequest,
    Misconfigured,
    Unauthorized,
    Unfinished,
)
from imagen.domain.reference import ReferenceImage
from imagen.domain.size import Size
from imagen.ports.backend import (
    CheckableBackend,
    CostBackend,
    ImageBackend,
    LookupBackend,
    PerModelBackend,
    ResumableBackend,
    WarmupBackend,
)
from imagen.testing.contracts.backend_images import full_job, small_job
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.http_stage import (
    Build,
    HttpStage,
    Open,
    ProxyContext,
    run,
)
from imagen.testing.contracts.observation import abbreviate
from imagen.testing.contracts.promises import proves
from imagen.testing.fakes import tiny_png
from imagen.testing.proxy import Fault, RecordingProxy, respond_with

LONGEST_PROMPT = 10_000
_WORDS = (
    'Ein "Fuß",\n\t\u0434\u0432\u0430, 三隻貓 🐈\u200d⬛ \\ '
    "%s {prompt} $HOME é e\u0301 <&> "
)
_PROMPTS = {
    "any script, 10,000 characters": (_WORDS * 200)[:LONGEST_PROMPT],
    "blanks at both ends": "  a red square\n",
    "one word twice": "very very red",
    "upper case": "A RED Square",
}
_SECRET_NAME = re.compile(r".*(key|token|secret|password)", re.IGNORECASE)
_SENT_TO_VENDOR = "ImageBackend: They are sent"
_INVALID = "generate: InvalidRequest"
_OWN_SECRETS = "ImageBackend: Each instance uses"
_FREE = (
    "prepare: Load",
    "check: Check everything",
    "capabilities_of: May use",
    "find: Submits",
    "resume: Submits",
    "look_up_cost: Submits",
)


class RequestsContract(HttpStage, Contract):
    """A part of `HttpBackendContract`."""

    @proves(
        "generate: Submits",
        "generate: An identical job",
        cause="a retry inside the adapter, or a cache of results",
    )
    def test_submits_each_job_once(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """There is one submit request for each job, also for an identical one."""
        for number in (1, 2, 3):
            self.generate(backend, proxy)

            assert len(proxy.accepted) == number

    @proves(
        "generate: Every parameter",
        "generate: May assume",
        cause="a forgotten field, or one that `Capabilities` should not declare",
    )
    def test_sends_every_parameter(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The vendor receives each value that `Capabilities` declares as supported."""
        can = backend.capabilities()
        unstated = set(can.parameters or ()) - set(self.parameters)
        assert not unstated, f"state a value in `parameters` for {sorted(unstated)}"
        job = full_job(
            backend,
            size=can.sizes.nearest(Size(192, 128)),
            options=dict(self.parameters),
            seed=min(4_711_123, can.largest_seed) if can.largest_seed else None,
            negative="no canary-4711" if can.negative else "",
            steps=3 if can.steps else None,
        )
        expected = dict(self.expected_values(job))
        if not can.models:
            expected.pop("model", None)
        outcome = run(lambda: backend.generate(job, ProxyContext(proxy)))

        sent = [*proxy.of("setup"), *proxy.submits]
        missing = {
            name: value
            for name, value in expected.items()
            if not any(request.has_value(value) for request in sent)
        }
        assert proxy.submits, outcome
        assert missing == {}, "not sent, or written in another way (`expected_values`)"

    @proves(
        "generate: Every parameter",
        cause="reference images that are declared and not sent",
    )
    def test_sends_the_reference_images(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The vendor receives the bytes of each reference image and of the mask."""
        can = backend.capabilities()
        if not can.references:
            pytest.skip("the vendor takes no reference images")
        images = [tiny_png(64, 64, (number, 0, 0)) for number in range(can.references)]
        mask = tiny_png(64, 64, (0, 0, 9)) if can.mask else None
        outcome = self.generate(
            backend,
            proxy,
            images=tuple(map(_to_reference, images[:4])),
            mask=None if mask is None else _to_reference(mask),
        )

        missing = [
            abbreviate(content)
            for content in [*images[:4], *([mask] if mask else [])]
            if not any(request.has_file(content) for request in proxy.requests)
        ]
        assert proxy.submits, outcome
        assert missing == []

    @pytest.mark.parametrize("kind", _PROMPTS)
    @proves(
        "generate: The prompt",
        "generate: Every parameter",
        cause="a limit of the length, `strip()`, another encoding, or a template",
    )
    def test_sends_the_prompt_unchanged(
        self, kind: str, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The vendor receives the whole prompt, unchanged."""
        outcome = self.generate(backend, proxy, prompt=_PROMPTS[kind])

        assert proxy.submits, outcome
        assert any(request.has_text(_PROMPTS[kind]) for request in proxy.submits)

    @proves(
        _INVALID,
        cause="options that are read one by one, so that an unknown one is ignored",
    )
    def test_refuses_unknown_options(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """An option with an unknown name is an InvalidRequest."""
        if backend.capabilities().parameters is None:
            pytest.skip("the vendor takes any option")
        outcome = self.generate(backend, proxy, options={"unknown_4711": 1})

        assert outcome.is_a(InvalidRequest)
        assert proxy.submits == []

    @proves(
        _INVALID,
        cause="a value that is sent unchecked, so that the vendor refuses it later",
    )
    def test_sends_no_invalid_options(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """An option with an invalid value is refused before the submit request."""
        if not self.invalid_options:
            pytest.skip("the vendor has no parameters")
        outcome = self.generate(backend, proxy, options=dict(self.invalid_options))

        assert outcome.is_a(InvalidRequest)
        assert proxy.submits == []

    @proves(*_FREE, cause="a check or a lookup that tries the vendor out with a job")
    def test_submits_nothing_but_jobs(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The optional methods submit and cancel nothing."""
        job, context = small_job(backend), ProxyContext(proxy)
        if isinstance(backend, WarmupBackend):
            backend.prepare()
        if isinstance(backend, CheckableBackend):
            backend.check(ProxyContext(proxy))
        if isinstance(backend, PerModelBackend):
            backend.capabilities_of("", ProxyContext(proxy))
        if isinstance(backend, LookupBackend):
            since = datetime.now(UTC)  # noqa: TID251 - only used as a past time
            backend.find(job, since=since, context=ProxyContext(proxy))
        assert proxy.submits == []
        assert proxy.of("cancel") == [], "it may have stopped the job of another client"
        self.generate(backend, proxy, context=context)
        if isinstance(backend, ResumableBackend) and context.references:
            for _ in range(2):
                backend.resume(job, context.references[0], ProxyContext(proxy))
        if isinstance(backend, CostBackend) and context.references:
            backend.look_up_cost(context.references[0], ProxyContext(proxy))

        assert len(proxy.accepted) == 1

    @proves(
        "resume: Unfinished",
        cause="HTTP 404 as a BackendError, which closes the call for good",
    )
    def test_leaves_an_unknown_job_open(
        self, proxy: RecordingProxy, backend: ImageBackend, unknown_reference: str
    ) -> None:
        """A job that is not found is Unfinished: another account may have it."""
        assert self.resume(backend, proxy, unknown_reference).is_a(Unfinished)

    @proves(
        "capabilities_of: May use",
        cause="a lookup at every call",
    )
    def test_looks_a_model_up_once(
        self, proxy: RecordingProxy, backend: ImageBackend
    ) -> None:
        """The second `capabilities_of` of a model sends nothing."""
        if not isinstance(backend, PerModelBackend):
            pytest.skip("the backend has no `capabilities_of`")
        backend.capabilities_of("", ProxyContext(proxy))
        before = len(proxy.requests)
        backend.capabilities_of("", ProxyContext(proxy))

        assert len(proxy.requests) == before

    # Secrets

    @proves(_OWN_SECRETS, cause="one client for all instances, or a global key")
    def test_uses_its_own_secrets(self, proxy: RecordingProxy, build: Build) -> None:
        """Each request of an instance carries its secret, and not that of another."""
        self._require_secrets()
        owns = [
            {key: f"{value}-{number}" for key, value in self.secrets.items()}
            for number in (1, 2)
        ]
        backends = [build(proxy.url, own) for own in owns]
        for backend, own in zip(backends, owns, strict=True):
            before, context = len(proxy.requests), ProxyContext(proxy)
            self.generate(backend, proxy, context=context)
            if isinstance(backend, CostBackend) and context.references:
                backend.look_up_cost(context.references[0], context)
            # A file may lie where no credentials are needed.
            sent = [one for one in proxy.requests[before:] if one.kind != "image"]
            without = [
                request.describe()
                for request in sent
                if not any(request.has_secret(value) for value in own.values())
            ]

            assert sent
            assert without == []

    @proves(
        _OWN_SECRETS,
        "prepare: Unauthorized",
        "generate: Unauthorized",
        cause="a key of the environment in place of the missing one",
    )
    def test_sends_no_job_without_its_secrets(
        self,
        proxy: RecordingProxy,
        build: Build,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without secrets the job is refused unsent, unless the vendor needs none."""
        self._require_secrets()
        for name, value in self.secrets.items():
            variable = getattr(self.build_options(proxy.url), name, name)
            monkeypatch.setenv(str(variable), value)

        def attempt() -> object:
            backend = build(proxy.url, {})
            if isinstance(backend, WarmupBackend):
                backend.prepare()
            return self.generate(backend, proxy).value

        outcome = run(attempt)
        leaked = [r.describe() for r in proxy.requests if self.has_secret(r)]

        assert leaked == [], "the secret of the environment was used"
        if isinstance(outcome.value, Exception):
            assert outcome.is_a(Unauthorized, Misconfigured)
            assert proxy.submits == []

    @pytest.mark.parametrize("kind", ["setup", "submit", "poll", "image"])
    @proves(
        _SENT_TO_VENDOR,
        cause="`follow_redirects=True` with a header that the client does not strip",
    )
    def test_sends_no_secret_along_a_redirect(
        self, kind: str, open_proxy: Open, build: Build
    ) -> None:
        """A redirect to another host takes neither the secret nor a job there."""
        elsewhere = open_proxy()
        location = {"Location": f"{elsewhere.url}/elsewhere"}
        redirect = respond_with(307, b"", headers=location)
        proxy = open_proxy(Fault(on=kind, respond=redirect))
        backend = build(proxy.url)
        if isinstance(backend, CheckableBackend):
            backend.check(ProxyContext(proxy))
        self.generate(backend, proxy)

        leaked = [one.describe() for one in elsewhere.requests if self.has_secret(one)]
        assert leaked == [], "the secret was sent to another host"
        submits = [one.describe() for one in elsewhere.requests if one.method == "POST"]
        assert submits == [], "the job was sent to another host"

    @pytest.mark.parametrize(
        "trusted", [False, True], ids=["self-signed", "other host"]
    )
    @proves(_SENT_TO_VENDOR, cause="`verify=False`, or `check_hostname = False`")
    def test_verifies_certificates(
        self,
        *,
        trusted: bool,
        open_proxy: Open,
        build: Build,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing is sent to a server whose certificate is not valid for its host."""
        with as_file(files("imagen.testing") / "untrusted.pem") as certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            proxy = open_proxy(tls=tls)
            outcome = run(lambda: self.generate(build(proxy.url), proxy).value)

        assert proxy.connections, f"the vendor was not called at https: {outcome}"
        assert [request.describe() for request in proxy.requests] == []
        assert outcome.is_a(ImagenError)

    @proves(
        "ImageBackend: No secret",
        cause="an option that holds a key; let it name the environment variable",
    )
    def test_shows_no_secret_option(self, proxy: RecordingProxy) -> None:
        """An option that holds a secret is masked in the options' repr."""
        options = dict(self.options(proxy.url))
        shown: list[str] = []
        for field in msgspec.structs.fields(self.adapter.options):
            name = field.encode_name
            if not _SECRET_NAME.fullmatch(name) or name.endswith("_env"):
                continue
            with suppress(msgspec.ValidationError):
                canary = {**options, name: "canary-4711-secret"}
                if "canary-4711" in repr(msgspec.convert(canary, self.adapter.options)):
                    shown.append(name)

        assert shown == []

    def _require_secrets(self) -> None:
        if not self.secrets:
            pytest.skip("the vendor has no credentials")


def _to_reference(content: bytes) -> ReferenceImage:
    digest = sha256(content).hexdigest()
    return ReferenceImage(
        name=f"{digest[:6]}.png", sha256=digest, media_type="image/png", content=content
    )
