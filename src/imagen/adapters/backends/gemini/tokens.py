"""The consumption of a job in tokens, for the price table."""

from imagen.adapters.remote.json_values import as_list, as_mapping, as_number
from imagen.domain.consumption import Used


def count_tokens(
    *,
    drawn: bool,
    sent: object,
    sent_by_kind: object,
    made: object,
    made_by_kind: object,
    thoughts: object,
) -> Used:
    """Return the consumption in tokens; unknown if it is not stated.

    Args:
        drawn: Whether there is an image.
        sent, made: The tokens of the request, and of the answer without its thoughts.
        sent_by_kind, made_by_kind: The same, by modality.
        thoughts: The tokens of the thoughts, which are charged as text.
    """
    total_sent, total_made = as_number(sent), as_number(made) or 0
    if total_sent is None or (drawn and not total_made):
        return Used()
    images_sent, images_made = _count_images(sent_by_kind), _count_images(made_by_kind)
    if drawn and not images_made:
        images_made = total_made
    text = total_made - images_made + (as_number(thoughts) or 0)
    tokens = {
        "input_text": total_sent - images_sent,
        "input_image": images_sent,
        "output_text": text,
        "output_image": images_made,
    }
    return Used(tokens={kind: max(0, int(count)) for kind, count in tokens.items()})


def _count_images(details: object) -> float:
    """Return the tokens of images in a list of tokens by modality."""
    return sum(
        as_number(detail.get("tokenCount") or detail.get("tokens")) or 0
        for each in as_list(details)
        if str((detail := as_mapping(each)).get("modality")).lower() == "image"
    )
