"""How Sphinx builds the site: `scripts/docs`.

Sphinx, because it turns warnings into errors, checks every link, runs and caches notebooks
(MyST-NB), and searches without a server; Furo, because it reads well on a telephone and in the
dark.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras_optim_lab  # noqa: E402

project = "keras-optim-lab"
version = release = keras_optim_lab.__version__
copyright = "the keras-optim-lab developers, Apache-2.0"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "building.mathml",
    "building.docstrings",
    "building.pages",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
root_doc = "index"
exclude_patterns = ["building", "jobs", "played", "_build"]
language = "en"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # what backends say when they start

default_role = "py:obj"  # `names` in docstrings
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autoclass_content = "class"
python_maximum_signature_line_length = 88
napoleon_custom_sections = [
    ("When to use it", "notes"),
    ("Relation to Keras", "notes"),
    ("Relation to SciPy", "notes"),
    ("Relation to others", "notes"),
    ("Reference", "notes"),
]
napoleon_use_rtype = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "keras-optim-lab"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
(HERE / "played").mkdir(exist_ok=True)  # which `building.pages` fills
html_extra_path = ["played"]
html_show_sphinx = False
html_copy_source = False
suppress_warnings = ["mystnb.unknown_mime_type"]
