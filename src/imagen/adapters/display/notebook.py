"""Render images as self-contained HTML for notebooks."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from imagen.domain.result import StoredImage

_FIGURE = "margin:0;max-width:100%;display:inline-block;vertical-align:top"
_CAPTION = "font:12px/1.5 sans-serif;opacity:.75;overflow-wrap:anywhere"
_GRID = (
    "display:grid;gap:12px;"
    "grid-template-columns:repeat(auto-fill,minmax(min(240px,100%),1fr))"
)
_LONGEST_PROMPT = 200


def render_figure(image: StoredImage) -> str:
    """Return one image with its caption as HTML."""
    note, facts = image.sidecar, image.facts
    prompt = note.prompt
    if len(prompt) > _LONGEST_PROMPT:
        prompt = prompt[:_LONGEST_PROMPT] + "…"
    cost = "cost unknown" if note.cost_usd is None else f"${note.cost_usd:g}"
    made = (
        note.backend,
        note.model if note.model != note.backend else "",
        "" if note.seed is None else f"seed {note.seed}",
        f"{facts.width}x{facts.height}",
        cost,
    )
    data = b64encode(image.content).decode()
    return (
        f'<figure style="{_FIGURE}">'
        f'<img src="data:{facts.media_type};base64,{data}" alt="{escape(prompt)}" '
        f'style="max-width:100%;height:auto" width="{facts.width}">'
        f'<figcaption style="{_CAPTION}">{escape(prompt)}<br>'
        f"{escape(' · '.join(filter(None, made)))}</figcaption></figure>"
    )


def render_grid(images: Sequence[StoredImage]) -> str:
    """Return images with their captions as an HTML grid that adapts to the width."""
    return f'<div style="{_GRID}">{"".join(map(render_figure, images))}</div>'
