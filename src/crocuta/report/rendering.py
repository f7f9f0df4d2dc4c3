"""Pages from templates: one environment for all of them."""

from typing import Any

import jinja2


def render(template: str, **content: Any) -> str:
    """The page that a template of `crocuta/report/templates` makes of content; a name that is missing fails."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("crocuta.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**content)
