"""The packages of the code, their order and their picture: `python docs/architecture.py` draws it.

`LAYERS` is the order, from the top down. A package imports only from the rows below it. The picture leaves out an
arrow if a longer path implies it. The table on the page has all imports.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from imports import cycles, imports, modules, reached

HERE = Path(__file__).parent
PAGE, PICTURE = HERE / "architecture.md", HERE / "pictures" / "architecture.svg"
GROUND = (
    *("errors", "_version", "_integers", "_modules", "_shapes", "arrays", "random", "files", "_lock", "hdf5"),
    "_cluster",
)
FACE = "mcgc"  # imports every package, so no package may import it


class Package(NamedTuple):
    """A package: its name, its purpose, and its left and right column, of 12, in the picture."""

    name: str
    purpose: str
    left: float
    right: float


LAYERS = (
    (Package("mcgc_cli", "the command", 0, 12),),
    (Package("mcgc_datasets", "formats, readers, builders", 3.2, 8.8),),
    (Package("sweeps", "runs with many settings", 5.1, 11.2),),
    (
        Package("checks", "kernels, devices, engine", 0.6, 4.8),
        Package("paper", "the paper's figures", 5.1, 8.6),
        Package("sklearn", "estimators", 8.9, 11.2),
    ),
    (
        Package("train", "a run: members, epochs, files", 1.2, 6.2),
        Package("estimation", "parameters of equations", 7.0, 10.8),
    ),
    (
        Package("ode", "solvers and their adjoints", 0.7, 5.2),
        Package("continuation", "Algorithm 2, and minimize", 6.8, 11.1),
    ),
    (
        Package("nets", "dense nets", 0, 2),
        Package("losses", "losses of batches", 2.3, 4.5),
        Package("optim", "optimisers, schedules", 4.8, 7.4),
        Package("tables", "series and rows", 7.7, 9.6),
        Package("devices", "the CPU or a GPU", 9.9, 12),
    ),
    (Package("_jit", "functions as compiled programs", 3.2, 8.8),),
    (Package("autodiff", "derivatives of every order", 2.2, 9.8),),
    (Package("kernels", "compiled loops, with definitions", 3.2, 8.8),),
    (Package("ground", "the base of all packages", 0, 12),),
)
CYCLES = (  # a traced array has the operations as its methods, and operations make traced arrays
    frozenset(
        {
            "autodiff.engine",
            "autodiff.ops",
            "autodiff.numpy_functions",
            "autodiff.numpy_layout",
            "autodiff.numpy_protocol",
        }
    ),
)
PACKAGES = {package.name: package for row in LAYERS for package in row}
ROW_OF = {package.name: i for i, row in enumerate(LAYERS) for package in row}


def package_of(module: str) -> str:
    """Return the package of a module: the package itself, or a file at the top of `mcgc`. `mcgc` itself is the face."""
    top, _, rest = module.partition(".")
    name = rest.partition(".")[0] if top == FACE and rest else top
    return "ground" if name in GROUND else name


def problems() -> list[str]:
    """Return a sentence for each module without a package, import against the order, and unnamed cycle."""
    found = [
        f"{name} is in no package: add it to LAYERS" for name in modules() if package_of(name) not in {*PACKAGES, FACE}
    ]
    if found:
        return found
    ordered = sorted(imports())
    for one in ordered:
        source, target = package_of(one.source), package_of(one.target)
        if target == FACE and source not in ("mcgc_cli", "mcgc_datasets"):
            found.append(f"{one.source} imports mcgc itself, which imports it")
        elif FACE not in (source, target) and source != target and ROW_OF[source] >= ROW_OF[target]:
            found.append(f"{one.source} imports {one.target}, which is not below it")
    for cycle in sorted(map(sorted, cycles(_graph((_short(one.source), _short(one.target)) for one in ordered)))):
        if not any(named.issuperset(cycle) for named in CYCLES):
            found.append(f"{' and '.join(cycle)} import each other")
    return found


def _short(module: str) -> str:
    """Return the module's name without `mcgc.`; all operations are one."""
    name = module.removeprefix("mcgc.")
    return "autodiff.ops" if name.startswith("autodiff.ops.") else name


def _graph(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for source, target in pairs:
        if source != target:
            graph.setdefault(source, set()).add(target)
            graph.setdefault(target, set())
    return graph


def arrows() -> dict[tuple[str, str], bool]:
    """Return the imports between packages, and whether all of them are inside functions."""
    found: dict[tuple[str, str], bool] = {}
    for one in imports():
        pair = package_of(one.source), package_of(one.target)
        if pair[0] != pair[1] and FACE not in pair:
            found[pair] = found.get(pair, True) and one.inside
    return dict(sorted(found.items()))


def drawn() -> dict[tuple[str, str], bool]:
    """Return the arrows that no longer way implies."""
    down = {pair: inside for pair, inside in arrows().items() if ROW_OF[pair[0]] < ROW_OF[pair[1]]}
    graph = _graph(down)
    return {
        (source, target): inside
        for (source, target), inside in down.items()
        if not any(target in reached(graph, between) for between in graph[source] - {target})
    }


def table() -> str:
    """Return the table of all packages in Markdown."""
    lines = ["| package | what it is | imports |", "|---|---|---|"]
    for name, package in PACKAGES.items():
        own = [(target, inside) for (source, target), inside in arrows().items() if source == name]
        below = sorted(own, key=lambda pair: (ROW_OF[pair[0]], pair[0]))
        listed = ", ".join(f"*{target}*" if inside else target for target, inside in below)
        lines.append(f"| `{name}` | {package.purpose} | {listed} |")
    return "\n".join(lines)


def files_of(package: str) -> list[str]:
    """Return the names of the files of a package. A package inside it is one name."""
    names = [name.removeprefix("mcgc.") for name in modules() if package_of(name) == package]
    prefix = "" if package == "ground" else f"{package}."
    inside = [name.removeprefix(prefix) for name in names if name.startswith(prefix) and name != package]
    packages = {name.partition(".")[0] for name in inside if "." in name}
    names = {f"{name}/" if name in packages else name for name in (path.partition(".")[0] for path in inside)}
    return sorted(names, key=lambda name: (name.startswith("_"), name))


def page() -> str:
    """Return the page with today's table."""
    before, marker, rest = PAGE.read_text(encoding="utf-8").partition("<!-- packages -->\n")
    _, end, after = rest.partition("<!-- /packages -->")
    return f"{before}{marker}{table()}\n{end}{after}"


if __name__ == "__main__":
    from architecture_picture import svg

    PICTURE.write_text(svg(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    print("\n".join(problems()))
