"""What the environment says; the only reader of `os.environ`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from imagen.domain.errors import Misconfigured
from imagen.domain.modes import MODES, Mode

if TYPE_CHECKING:
    from imagen.ports.backend import Secrets

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_SUFFIX = "_env"
_CLOUD_SYNC = {"", "auto", "on", "off"}


class Environment:
    """The environment variables that mean something to imagen.

    Never shown: its `repr` has no values, for there are secrets among them.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __repr__(self) -> str:
        return "<environment>"

    @property
    def config_path(self) -> str | None:
        """The config file that `$IMAGEN_CONFIG` names, if it does."""
        return self._get("IMAGEN_CONFIG") or None

    @property
    def config_home(self) -> Path:
        """The folder for config files: `$XDG_CONFIG_HOME` if absolute, `~/.config`."""
        named = Path(self._get("XDG_CONFIG_HOME"))
        return named if named.is_absolute() else self.expand_home(Path("~/.config"))

    @property
    def data_dir(self) -> Path:
        """The folder for imagen's own files: `$IMAGEN_DATA_DIR`, or the platform's."""
        if named := self._get("IMAGEN_DATA_DIR"):
            return self.expand_home(Path(named)).absolute()
        from platformdirs import user_data_path  # only when it is not named

        return user_data_path("imagen")

    @property
    def cache_dir(self) -> Path:
        """The folder for what can be asked again; in `$IMAGEN_DATA_DIR` if set."""
        if self._get("IMAGEN_DATA_DIR"):
            return self.data_dir / "cache"
        from platformdirs import user_cache_path  # only when it is not named

        return user_cache_path("imagen")

    @property
    def cloud_sync(self) -> str:
        """What `$IMAGEN_CLOUD_SYNC` says: auto, on or off; "" when it says nothing.

        Raises:
            Misconfigured: it says something else.
        """
        mode = self._get("IMAGEN_CLOUD_SYNC")
        if mode not in _CLOUD_SYNC:
            from imagen.settings.secrets import display_value  # noqa: PLC0415 - rare

            raise Misconfigured(
                f"$IMAGEN_CLOUD_SYNC is {display_value(mode)}.",
                hint="Say auto, on or off.",
            )
        return mode

    @property
    def supabase_url(self) -> str:
        """Where the Supabase project is, by `$SUPABASE_URL`; "" when nobody says."""
        return self._get("SUPABASE_URL").strip()

    @property
    def supabase_key(self) -> str:
        """What opens it: `$SUPABASE_SERVICE_KEY`, else `$MAI_SUPABASE_KEY`, or ""."""
        named = self._get("SUPABASE_SERVICE_KEY") or self._get("MAI_SUPABASE_KEY")
        return named.strip()

    @property
    def supabase_is_unset(self) -> bool:
        """Whether nothing at all is said about Supabase."""
        return not (self.supabase_url or self.supabase_key)

    @property
    def missing_for_supabase(self) -> tuple[str, ...]:
        """The variables that would have to be set so that Supabase is used."""
        needed = {
            "SUPABASE_URL": self.supabase_url,
            "SUPABASE_SERVICE_KEY": self.supabase_key,
        }
        return tuple(f"${name}" for name, value in needed.items() if not value)

    @property
    def caller(self) -> str:
        """Who asks, by `$MAI_FROM_ID`; "" when nobody says. Always valid text."""
        return self._get("MAI_FROM_ID").encode(errors="replace").decode()

    @property
    def serve_keys(self) -> str:
        """What `$IMAGEN_SERVE_KEYS` holds: who may use the server; "" is nobody."""
        return self._get("IMAGEN_SERVE_KEYS")

    @property
    def tmux(self) -> str:
        """How `$TMUX` says the server is reached; "" outside of tmux."""
        return self._get("TMUX")

    @property
    def tmux_pane(self) -> str:
        """The pane that this runs in, by `$TMUX_PANE`; "" outside of tmux."""
        return self._get("TMUX_PANE")

    @property
    def terminal(self) -> Mapping[str, str]:
        """What the variables say by which terminals tell what they are."""
        names = ("TERM", "COLORTERM", "TERM_PROGRAM", "LC_TERMINAL")
        return {name: self._get(name) for name in names}

    @property
    def preview(self) -> Mode | None:
        """The mode that `$IMAGEN_PREVIEW` asks for, if it does.

        Raises:
            Misconfigured: there is no such mode.
        """
        named = self._get("IMAGEN_PREVIEW")
        if named and named not in MODES:
            raise Misconfigured(
                f"$IMAGEN_PREVIEW is {named!r}.",
                hint=f"There are: {', '.join(MODES)}.",
            )
        return named or None

    @property
    def log(self) -> str:
        """What `$IMAGEN_LOG` asks for; "" when it asks for nothing."""
        return self._get("IMAGEN_LOG")

    @property
    def no_color(self) -> bool:
        """Whether `$NO_COLOR` is set, and not empty."""
        return bool(self._get("NO_COLOR"))

    def secrets_for(self, options: msgspec.Struct) -> "Secrets":
        """Return what the variables hold that the `*_env` options name.

        Each under the name of its option; of a mapping such as `headers_env`, under
        `headers_env.NAME`. A variable that is not set, or empty, has no secret.
        """
        from imagen.ports.backend import Secrets  # noqa: PLC0415 - only for backends

        named: dict[str, object] = {}
        for field in msgspec.structs.fields(options):
            value: object = getattr(options, field.name)
            if field.name.endswith(_SUFFIX):
                named.update(_named_variables(field.name, value))
        secrets = {
            key: self._get(variable)
            for key, variable in named.items()
            if isinstance(variable, str)
        }
        return Secrets({key: secret for key, secret in secrets.items() if secret})

    def expand_path(self, path: str) -> Path:
        """Return a path of the config with `~`, `$VAR` and `${VAR}` filled in.

        Raises:
            Misconfigured: it names a variable that is not set, or an unknown user.
        """

        def value_of(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if not (value := self._get(name)):
                raise Misconfigured(
                    f"The path uses ${name}, which is not set.",
                    hint="Set it, or write the path out.",
                )
            return value

        return self.expand_home(Path(_VARIABLE.sub(value_of, path)))

    def expand_home(self, path: Path) -> Path:
        """Return the path with `~` filled in.

        Raises:
            Misconfigured: nobody knows where that is.
        """
        if path.parts[:1] == ("~",) and (home := self._get("HOME")):
            return Path(home, *path.parts[1:])
        try:
            return path.expanduser()
        except RuntimeError as error:
            raise Misconfigured(
                f"The home folder of {path.parts[0]!r} is not known.",
                hint="Write the path out, or set $HOME.",
            ) from error

    def _get(self, name: str) -> str:
        return self._variables.get(name, "")


def process_environment() -> Environment:
    """Return the environment of this process."""
    return Environment(os.environ)


def _named_variables(key: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {key: value}
    entries = cast("Mapping[object, object]", value)  # a Mapping's types are erased
    return {f"{key}.{name}": variable for name, variable in entries.items()}
