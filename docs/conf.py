"""The site: `sphinx-build -W docs site`. It is made without the network, and read without it."""

import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "datasets")]
os.environ.setdefault("MPLBACKEND", "Agg")

import pages  # noqa: E402
import signatures  # noqa: E402
from docutils import nodes  # noqa: E402
from sphinx.util.nodes import make_refnode  # noqa: E402

import mcgc  # noqa: E402

sys.modules["mcgc.ops"] = mcgc.ops  # what users call it

project, author, release = "mcgc", "the authors of mcgc", mcgc.__version__
copyright = author
version = release

extensions = [
    *("myst_parser", "sphinx_design", "sphinx_copybutton", "sphinx_gallery.gen_gallery"),
    *("sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"),
    *("sphinx.ext.mathjax", "sphinx-mathjax-offline"),
]
if "MCGC_INTERSPHINX" in os.environ:  # links to the sites of others, whose lists of names are then downloaded
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
    }
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["auto_examples/**.ipynb", "auto_examples/**.py", "auto_examples/**.md5"]
suppress_warnings = ["config.cache"]
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,  # its page loads scripts from elsewhere
    "copyfile_regex": "",
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "mcgc"
html_static_path = ["_static"]
html_css_files = ["mcgc.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "mcgc"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"index": [], "commands": [], "changes": []}


def write_pages(app: Any, config: Any) -> None:
    """Write the pages of the reference where they are not yet what they should be."""
    made = {HERE / "reference" / f"{name}.rst": text for name, text in pages.pages().items()}
    for path in set((HERE / "reference").glob("*.rst")) - made.keys():
        path.unlink()
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def complete_operations(app: Any, name: str, source: list[str]) -> None:
    """Link the tables of the page of operations to an entry for each, which is put at its end."""
    if name != "reference/ops":
        return
    linked = re.sub(
        r"^\| `.*?(?= \|)", lambda row: re.sub(r"`(\w+)", r"{py:obj}`~mcgc.ops.\1", row[0]), source[0], flags=re.M
    )
    own = {n: v for n, v in vars(mcgc.ops).items() if callable(v) and not n.startswith("_")}
    linalg = {f"linalg.{n}": getattr(mcgc.ops.linalg, n) for n in mcgc.ops.linalg.__all__ if n not in own}
    made = "\n".join(f".. autofunction:: mcgc.ops.{n}" for n in sorted(own | linalg))
    source[0] = f"{linked}\n\n## Each operation\n\n```{{eval-rst}}\n.. currentmodule:: mcgc.ops\n\n{made}\n```\n"


def signature(app: Any, what: str, name: str, value: Any, options: Any, given: str | None, result: str | None) -> Any:
    """Return the signature that the source has."""
    return signatures.written(value) or (given, result)


def skip(app: Any, what: str, name: str, value: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of a NamedTuple, which its signature shows, and what scikit-learn adds to its estimators."""
    routing = name in ("set_fit_request", "set_predict_request", "set_score_request", "get_metadata_routing")
    return True if routing or type(value).__name__ == "_tuplegetter" else None


def escape(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep what docstrings have outside of backticks, such as |x| and *args, as it is: it is no markup."""
    for i, line in enumerate(lines):
        if not line.startswith("    "):
            parts = re.split(r"(`[^`]*`)", line)
            lines[i] = "".join(p if p.startswith("`") else re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", p) for p in parts)


def find_class(app: Any, env: Any, node: Any, text: Any) -> Any:
    """Link the name of a class or error of another module, if it is the only one of this name."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not re.fullmatch(r"[A-Z]\w*[a-z]\w*", target):
        return None
    objects = env.domains["py"].objects
    found = [(n, entry) for n, entry in objects.items() if n.endswith(f".{target}") and entry.objtype != "data"]
    if not found:
        return None
    name, entry = min(found, key=lambda pair: len(pair[0]))
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, text, name)


def link_code(app: Any, doctree: Any, docname: str) -> None:
    """Link `mcgc.nets` and the like, where a page has them as code, to the reference."""
    domain = app.env.domains["py"]
    for node in list(doctree.findall(nodes.literal)):
        name = node.astext()
        entry = domain.objects.get(name) if re.match(r"mcgc[._]", name) else None
        if entry and not isinstance(node.parent, nodes.reference | nodes.title) and entry.docname != docname:
            node.replace_self(make_refnode(app.builder, docname, entry.docname, entry.node_id, node.deepcopy(), name))


def setup(app: Any) -> None:
    """Connect what is above."""
    app.connect("config-inited", write_pages)
    app.connect("source-read", complete_operations)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("missing-reference", find_class)
    app.connect("doctree-resolved", link_code)
