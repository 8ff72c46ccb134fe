"""The error responses of the dialects, in all their shapes."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import msgspec

from imagen.adapters.remote.json_values import as_line, as_list, as_mapping
from imagen.domain.consumption import Used
from imagen.domain.errors import ImagenError, InvalidRequest, OutOfCredit, Refused

LONGEST_DETAIL = 400

_BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _UNPROCESSABLE = 400, 404, 413, 422


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says about a failure.

    Attributes:
        message: Its own message; "" for none.
        codes: The codes and types that it names.
        used: What it consumed if the image was drawn before it was withheld; else None.
    """

    message: str = ""
    codes: tuple[str, ...] = ()
    used: Used | None = None

    def meaning(self, codes: Mapping[str, str]) -> str:
        """Return the meaning of the codes or the message; "" for none."""
        return next(
            (
                meaning
                for code in (*self.codes, self.message)
                for pattern, meaning in codes.items()
                if fnmatchcase(code, pattern)
            ),
            "",
        )

    def refuse(self, name: str) -> Refused:
        """Return the error of a request whose content is refused."""
        more = f": {self.message}" if self.message else ""
        return Refused(
            f"{name} refuses the request{more}.",
            hint="Change the prompt or the reference images.",
            used=self.used,
        )


def parse_problem(body: object) -> Problem:
    """Return what a decoded body says.

    Its message is in `error` or `detail`, which may be a text, an object or a list, or
    beside them.
    """
    top = as_mapping(body)
    found = top.get("error") or top.get("detail") or top
    inner = as_mapping(found)
    details = as_mapping(inner.get("moderation_details"))
    messages = [*_find_messages(found), top.get("message")]
    lines = [as_line(each, longest=LONGEST_DETAIL) for each in messages]
    filters = (inner.get(name) for name in ("inner_error", "innererror"))
    named = (top, inner, *map(as_mapping, filters))
    codes = (each.get(name) for each in named for name in ("code", "type"))
    return Problem(
        message=": ".join(dict.fromkeys(filter(None, lines))),
        codes=tuple(code for code in codes if isinstance(code, str)),
        # Only a prompt that was refused at once is known to be free.
        used=None if details.get("moderation_stage", "input") == "input" else Used(),
    )


def _find_messages(found: object) -> Iterator[object]:
    if isinstance(found, str):
        yield found
    # FastAPI: a list of what is wrong where.
    for each in map(as_mapping, as_list(found)):
        place = ".".join(map(str, as_list(each.get("loc"))))
        yield f"{place}: {each.get('msg')}"
    inner = as_mapping(found)
    yield inner.get("message") or inner.get("error")


def to_error(
    problem: Problem, *, status: int, name: str, codes: Mapping[str, str], ended: str
) -> ImagenError | str:
    """Return the error for a response without success, or the service's message.

    Args:
        problem: What the response says.
        status: Its status.
        name: The name of the service.
        codes: The meanings of codes.
        ended: A sentence about the end of the requested model; "" if none is known.
    """
    more = f": {problem.message}" if problem.message else ""
    match problem.meaning(codes):
        case "refused":
            return problem.refuse(name)
        case "no_credit":
            return OutOfCredit(f"The account at {name} has no credit left{more}.")
        case "no_model":
            return InvalidRequest(f"{name} has no such model{more}.", hint=ended)
        case _ if status == _NOT_FOUND and ended:
            return InvalidRequest(f"{name} has no such model{more}.", hint=ended)
        case _ if status in {_BAD_REQUEST, _NOT_FOUND, _TOO_LARGE, _UNPROCESSABLE}:
            return InvalidRequest(f"{name} does not accept the request{more}.")
        case _:
            return problem.message
