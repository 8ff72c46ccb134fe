"""The abilities that our backends lack, and the tests of the contract that they skip.

The attribute `lacks` of a contract class has, for each reason of a skip, the names of
the tests that skip for it, or of single cases of a test. The hook in
`tests/conftest.py` fails what skips without being listed, and what is listed and does
not skip.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeAlias, cast

import pytest

Lacks: TypeAlias = Mapping[str, AbstractSet[str]]

NO_MODELS: Lacks = {
    "the backend has no `capabilities_of`": {
        "test_keeps_what_it_says_of_a_model",
        "test_looks_a_model_up_at_no_cost",
        "test_looks_a_model_up_once",
        "test_refuses_to_look_up_what_there_is_not",
        "test_says_the_same_of_a_model_every_time",
        "test_stops_looking_up_when_cancelled",
    },
    "the vendor or its backend has no stage 'capabilities_of'": {
        "test_stops_at_every_stage[capabilities_of]"
    },
}
NO_LISTS: Lacks = {
    "the backend has no `find`": {
        "test_finds_no_jobs_from_before",
        "test_finds_no_other_jobs",
        "test_finds_the_jobs_that_it_took",
        "test_searches_at_no_cost",
        "test_stops_searching_when_cancelled",
    },
    "the vendor or its backend has no stage 'find'": {
        "test_stops_at_every_stage[find]"
    },
}
NO_COSTS: Lacks = {
    "the backend has no `look_up_cost`": {
        "test_looks_the_cost_up_at_no_cost",
        "test_returns_the_images_before_it_looks_up_the_cost",
        "test_states_the_cost_of_a_job",
        "test_stops_looking_the_cost_up_when_cancelled",
    },
    "the vendor or its backend has no stage 'look_up_cost'": {
        "test_stops_at_every_stage[look_up_cost]"
    },
}
NO_LOOKUPS: Lacks = {
    **NO_MODELS,
    **NO_LISTS,
    **NO_COSTS,
    "the backend looks nothing up": {"test_reports_why_a_lookup_failed"},
}
NO_IDS: Lacks = {
    "the backend has no `resume`": {
        "test_cancels_an_old_job",
        "test_leaves_an_unknown_job_open",
        "test_resumes_any_number_of_times_at_no_cost",
        "test_returns_an_old_job_as_it_was",
        "test_says_that_an_old_job_is_gone",
        "test_stops_resuming_when_cancelled",
    },
    "the jobs of the vendor have no ids": {
        "test_leaves_a_job_open_that_cannot_be_polled",
        "test_repeats_a_status_request",
        "test_reports_the_id_first",
        "test_resumes_a_failed_job_as_failed",
        "test_resumes_nothing_while_the_vendor_is_away",
    },
    "the vendor or its backend has no stage 'resume'": {
        "test_stops_at_every_stage[resume]"
    },
}
NO_CANCEL: Lacks = {
    "the vendor cannot cancel": {
        "test_cancels_a_job_whose_response_is_late",
        "test_cancels_an_old_job",
        "test_cancels_its_own_job",
        "test_cancels_the_remote_job",
        "test_is_settled_only_if_the_job_has_ended",
    }
}
NO_DOWNLOADS: Lacks = {
    "the images are in the response itself": {
        "test_leaves_a_job_open_without_its_image",
        "test_repeats_a_download",
    },
    "the vendor or its backend has no stage 'image'": {
        "test_stops_at_every_stage[image]"
    },
}
NO_SETUP: Lacks = {
    "the vendor or its backend has no stage 'setup'": {
        "test_stops_at_every_stage[setup]"
    }
}
NO_REFERENCES: Lacks = {
    "the vendor takes no reference images": {"test_sends_the_reference_images"}
}
NO_BATCHES: Lacks = {
    "a response of the vendor cannot hold two images": {"test_returns_all_outputs"}
}
NO_CHARGES: Lacks = {
    "the vendor does not charge": {
        "test_raises_nothing_when_checked[creditless_backend]",
        "test_says_out_of_credit",
        "test_shows_no_secret_in_an_error[creditless_backend]",
    }
}
NO_MODERATION: Lacks = {
    "the vendor rejects no prompt": {
        "test_raises_nothing_when_checked[refusing_backend]",
        "test_says_refused",
        "test_shows_no_secret_in_an_error[refusing_backend]",
    }
}
NO_KEYS: Lacks = {
    "the vendor has no credentials": {
        "test_does_not_show_its_secret",
        "test_sends_no_job_without_its_secrets",
        "test_shows_no_secret_in_a_log",
        "test_shows_no_secret_in_an_error",
        "test_uses_its_own_secrets",
    }
}
OWN_MODELS: Lacks = {
    "the service is not asked about models": {
        "test_refuses_to_look_up_what_there_is_not"
    },
    "the vendor or its backend has no stage 'capabilities_of'": {
        "test_stops_at_every_stage[capabilities_of]"
    },
}
NO_PARAMETERS: Lacks = {
    "the vendor has no parameters": {
        "test_does_not_send_nonsense",
        "test_sends_no_invalid_options",
    }
}
ANY_OPTION: Lacks = {"the vendor takes any option": {"test_refuses_unknown_options"}}

MOCK: Lacks = {
    **NO_LOOKUPS,
    **NO_IDS,
    "the backend has no `prepare`": {"test_prepares_without_network"},
    "the backend has no `close`": {"test_lets_go_of_what_it_holds"},
    "the mock has no key": {
        "test_does_not_show_its_secret",
        "test_shows_no_secret_in_a_log",
        "test_shows_no_secret_in_an_error",
    },
    "the mock sends nothing": {
        "test_cancels_an_old_job",
        "test_cancels_the_remote_job",
        "test_returns_the_bytes_as_the_vendor_sent_them",
    },
}
CHALK: Lacks = {**NO_LOOKUPS, **NO_REFERENCES, **NO_BATCHES, **NO_SETUP}
EASEL: Lacks = {
    **NO_LOOKUPS,
    **NO_IDS,
    **NO_DOWNLOADS,
    **NO_REFERENCES,
    **NO_CHARGES,
    **NO_MODERATION,
    **NO_SETUP,
}
OPENAI: Lacks = {
    **NO_COSTS,
    **NO_LISTS,
    **NO_IDS,
    **NO_DOWNLOADS,
    **NO_CANCEL,
    **NO_SETUP,
    **OWN_MODELS,
}


def list_skipped(made: type) -> set[str]:
    """Return the names of the tests of a class that skip in all their cases."""
    lacks: Lacks = getattr(made, "lacks", {})
    return {name for names in lacks.values() for name in names if hasattr(made, name)}


def fail_undeclared_skips(item: pytest.Item, report: pytest.TestReport) -> None:
    """Fail a test of a contract that skips, or does not, other than its class says."""
    made: type | None = getattr(item, "cls", None)
    if not hasattr(made, "lacks") or hasattr(made, "breaks"):
        return
    names = {item.name, item.name.partition("[")[0]}
    lacks: Lacks = made.lacks
    listed = [reason for reason, tests in lacks.items() if tests & names]
    if report.skipped and not hasattr(report, "wasxfail"):
        *_, text = cast("Sequence[str]", report.longrepr)
        reason = text.removeprefix("Skipped: ")
        wrong = reason not in listed and f"It skips: {reason}."
    else:
        wrong = (
            listed and report.when == "call" and report.passed and "It does not skip."
        )
    if wrong:
        report.outcome = "failed"
        report.longrepr = (
            f"{wrong} Correct `{made.__name__}.lacks` (tests/contract/lacks.py), and"
            " the table in docs/adapters.md."
        )
