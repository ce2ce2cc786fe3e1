"""A page of the site: where it lies, which template shows it, and with what."""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmbench.leaderboard import cells
from mmbench.leaderboard.row import LEVELS

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Page:
    """One HTML file."""

    path: str
    """Below the site's folder, with slashes: ``rows/vqa/0123456789ab.html``."""
    title: str
    template: str
    """A file in ``templates/``."""
    content: Mapping[str, Any]
    """What the template shows; all text in it is escaped there."""
    menu: str = ""
    """Its name in the menu of every page; empty for pages that others lead to."""


def render(page: Page, menu: Sequence[Page]) -> str:
    """The HTML of one page; ``menu`` are the pages that every page names at its top."""
    here = posixpath.dirname(page.path)
    return (
        _environment()
        .get_template(page.template)
        .render(
            page.content,
            title=page.title,
            path=page.path,
            menu=[(p.menu, p.path) for p in menu],
            to=lambda path: link(path, here),
        )
    )


def link(path: str, folder: str) -> str:
    """``path`` as a link from a page in ``folder``; both below the site's folder."""
    return quote(posixpath.relpath(path, folder or "."))


@cache
def _environment() -> "Environment":
    """Every value is escaped: rows come from strangers."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmbench.leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals["cells"] = cells
    environment.globals["LEVELS"] = LEVELS
    environment.filters["pretty"] = lambda data: json.dumps(data, indent=2, ensure_ascii=False)
    return environment
