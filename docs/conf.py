"""Sphinx configuration."""

from crocuta._version import __version__

project = "crocuta"
author = "The crocuta authors"
copyright = "2026, the crocuta authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "model_type, config_class",
}
autodoc_typehints = "signature"
napoleon_google_docstring = True

html_theme = "furo"
html_title = "crocuta"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
