"""Write the whole site; read this first.

rows, comparisons → pages → HTML files, beside them the rows' JSON and the assets they share
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import fields
from importlib.resources import files
from pathlib import Path, PurePosixPath

from mmbench.files import write_whole
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.across_page import across_pages
from mmbench.leaderboard.site.comparison_file import Comparison
from mmbench.leaderboard.site.comparison_page import comparison_pages
from mmbench.leaderboard.site.index_page import index_page
from mmbench.leaderboard.site.page import Page, render
from mmbench.leaderboard.site.row_page import pages_of_rows
from mmbench.leaderboard.site.task_page import by_version, task_page, task_path

ASSETS = files("mmbench.leaderboard.site") / "assets"


def write_site(
    out: Path, rows: Sequence[Row], comparisons: Sequence[Comparison], boards: Path
) -> Path:
    """Write a static site into ``out``; the path of its first page.

    ``boards`` is where the rows were read: the commands that the pages show name files there. What
    ``out`` holds already is replaced where the names are the same, and otherwise left alone.
    """
    pages = pages_of(rows, comparisons, PurePosixPath(boards.as_posix()))
    menu = [page for page in pages if page.menu]
    for page in pages:
        _write(out / page.path, render(page, menu))
        if (row := page.content.get("row")) is not None:
            _write(out / page.content["json_path"], _json(row))
    _write_assets(out / "assets")
    return out / "index.html"


def pages_of(
    rows: Sequence[Row], comparisons: Sequence[Comparison], boards: PurePosixPath
) -> list[Page]:
    """Every page of the site. A page with a ``menu`` name is in the menu of all others.

    A further page is one more `Page` in this list, with a template that extends ``base.html``.
    """
    tasks = {task: [row for row in rows if row.task == task] for task in _tasks(rows)}
    compared = [comparison_pages(comparison, boards) for comparison in comparisons]
    pages = [index_page(tasks, [own for own, *_ in compared]), *across_pages(rows, comparisons)]
    for task, found in tasks.items():
        pages.append(task_page(found, boards))
        standings = [s for part in by_version(found) for s in part]
        pages += pages_of_rows(standings, boards, (task, task_path(task)))
    return [*pages, *(page for group in compared for page in group)]


def _tasks(rows: Sequence[Row]) -> list[str]:
    return sorted({row.task for row in rows})


def _json(row: Row) -> str:
    return json.dumps({f.name: getattr(row, f.name) for f in fields(row)}, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    """Leave a file that says the same alone: a board built again is quick, and quick to upload."""
    if not (path.is_file() and path.read_bytes() == text.encode()):
        write_whole(path, text)


def _write_assets(folder: Path) -> None:
    """Stylesheet with its typeface inside, script, and Plotly once for all pages."""
    from plotly.offline import get_plotlyjs

    font = base64.b64encode((ASSETS / "inter-latin.woff2").read_bytes()).decode()
    style = (ASSETS / "site.css").read_text(encoding="utf-8")
    _write(
        folder / "site.css", style.replace("inter-latin.woff2", f"data:font/woff2;base64,{font}")
    )
    _write(folder / "site.js", (ASSETS / "site.js").read_text(encoding="utf-8"))
    _write(folder / "plotly.min.js", get_plotlyjs())
