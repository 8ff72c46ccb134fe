"""Render a contact sheet as one HTML page without scripts or external files."""

from base64 import b64encode
from collections.abc import Iterator
from html import escape

from imagen.domain.contact_sheet import Sheet, SheetCell
from imagen.version import __version__

_STYLE = """
:root { color-scheme: light dark; --page: #fafafa; --ink: #1b1b1b; --soft: #5c5c5c;
  --line: #d9d9d9; --bad: #a3222a; --bad-page: #fbeaea }
@media (prefers-color-scheme: dark) { :root { --page: #161616; --ink: #ececec;
  --soft: #a6a6a6; --line: #383838; --bad: #ff9a9a; --bad-page: #3a2020 } }
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.25rem; line-height: 1.35; max-width: 60rem;
  overflow-wrap: anywhere; white-space: pre-line }
header p, footer { margin: .25rem 0 0; color: var(--soft); font-size: .875rem;
  overflow-wrap: anywhere }
.sheet { margin: 1.25rem 0; overflow-x: auto }
table { border-collapse: collapse }
td, thead th { padding: 0 .75rem 1rem 0 }
th { font-size: .875rem; font-weight: 600; text-align: left; vertical-align: top }
tbody th { min-width: 6rem; max-width: 10rem; overflow-wrap: break-word;
  padding: .25rem .75rem 1rem 0 }
td { vertical-align: top }
.wrapped { display: grid; gap: 1rem .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)) }
figure { margin: 0; width: 15rem; max-width: 100% }
.wrapped figure { width: auto }
img { display: block; max-width: 100%; height: auto; border-radius: 4px;
  border: 1px solid var(--line) }
a { color: inherit }
a:focus-visible, .sheet:focus-visible { outline: 3px solid #3b82f6;
  outline-offset: 2px }
figcaption { font-size: .8125rem; line-height: 1.4; margin-top: .375rem;
  overflow-wrap: anywhere }
figcaption span { display: block; color: var(--soft) }
.missing { border: 1px solid var(--bad); border-radius: 4px; padding: .5rem;
  background: var(--bad-page) }
.missing span { color: var(--bad) }
@media print { .sheet { overflow: visible } }
"""
# Prompts and file names are untrusted text; the policy stops what escaping misses.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_LONGEST_TITLE = 80
_LONGEST_ALT = 160


def render_page(sheet: Sheet) -> bytes:
    """Return the page in UTF-8, with the thumbnails embedded as data URLs."""
    title = " ".join(sheet.prompt.split())
    headings = any((*sheet.table.columns, *sheet.table.rows))
    body = "".join(_render_table(sheet) if headings else _render_grid(sheet))
    made_with = f"<p>{escape(sheet.made_with)}</p>" if sheet.made_with else ""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_truncate(title, _LONGEST_TITLE))}</title>\n"
        f"<style>{_STYLE}</style>\n"
        f'<header><h1 dir="auto">{escape(sheet.prompt.strip())}</h1>{made_with}'
        f"<p>{escape(sheet.total)}</p></header>\n"
        '<main class="sheet" tabindex="0" role="region" aria-label="Contact sheet">'
        f"\n{body}</main>\n<footer>imagen {__version__}</footer>\n</html>\n"
    ).encode(errors="replace")


def _render_grid(sheet: Sheet) -> Iterator[str]:
    yield '<div class="wrapped">\n'
    for cell in sheet.cells:
        yield _render_figure(cell, sheet.prompt) + "\n"
    yield "</div>\n"


def _render_table(sheet: Sheet) -> Iterator[str]:
    columns, rows = sheet.table.columns, sheet.table.rows
    beside = any(rows)
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in columns)
    corner = "<td></td>" if beside else ""
    yield f"<table>\n<thead><tr>{corner}{heads}</tr></thead>\n<tbody>\n"
    for number, head in enumerate(rows):
        first = number * len(columns)
        cells = sheet.cells[first : first + len(columns)]
        side = f'<th scope="row">{escape(head)}</th>' if beside else ""
        figures = "".join(
            f"<td>{_render_figure(cell, sheet.prompt)}</td>" for cell in cells
        )
        yield f"<tr>{side}{figures}</tr>\n"
    yield "</tbody>\n</table>\n"


def _render_figure(cell: SheetCell, prompt: str) -> str:
    label, facts = escape(cell.label), escape(cell.facts)
    caption = f"<figcaption>{label}<span>{facts}</span></figcaption>"
    if not cell.thumbnail:
        return f'<figure class="missing">{caption}</figure>'
    width, height = cell.thumbnail.size
    alt = escape(f"{_truncate(' '.join(prompt.split()), _LONGEST_ALT)}: {cell.label}")
    data = b64encode(cell.thumbnail.content).decode()
    picture = (
        f'<img src="data:image/webp;base64,{data}" alt="{alt}" width="{width}" '
        f'height="{height}">'
    )
    if cell.link:
        picture = f'<a href="{escape(cell.link)}">{picture}</a>'
    return f"<figure>{picture}{caption}</figure>"


def _truncate(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest].rstrip() + "…"
