"""Pages from the templates of this package: what is not declared safe is escaped, and nothing may be left out."""

from typing import Any

import jinja2


def render(template: str, filters: dict[str, Any] | None = None, **content: Any) -> str:
    """A template, filled."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crocuta.report", "templates"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= filters or {}
    return environment.get_template(template).render(**content)
