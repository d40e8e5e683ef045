"""How Sphinx builds the documentation site; `make docs` runs it.

The source folder is the checkout itself, so that links between the pages of `docs/`, the pages at
the top and the benchmark results work here as they do in a web view of the repository. The Python
API is read from the source text (:mod:`autoapi`): nothing of Strata or Spark is imported.
"""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
VERSION_LINE = re.compile(r'^VERSION = "(.+)"$', re.MULTILINE)

project = "Strata"
author = "the Strata authors"
version = release = VERSION_LINE.findall((CHECKOUT / "conf" / "version.py").read_text("utf-8"))[0]

extensions = ["myst_parser", "autoapi.extension", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "examples/*.md", "benchmarks/results/*.md"]
# The README is the front page of the repository; docs/index.md is that of the site.
exclude_patterns = ["README.md", "build", ".*"]

myst_heading_anchors = 4

autoapi_dirs = [str(CHECKOUT / "build" / "api" / "strata")]
autoapi_follow_symlinks = True
autoapi_generate_api_docs = False
autoapi_keep_files = False
python_use_unqualified_type_names = True
napoleon_use_ivar = True
default_role = "code"
suppress_warnings = ["autoapi.python_import_resolution"]

html_theme = "furo"
html_title = f"Strata {version}"
html_copy_source = False
html_show_copyright = False
