"""The checks in environments of their own: `nox` for all, `nox -s tests` for one. See CONTRIBUTING.md."""

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")  # those that mcgc is tested on
FAST = ("tests/mcgc", "tests/datasets", "tests/cli/test_fit.py")

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests", "docs", "oldest", "newest", "cuda"]


def install(session, extra="test", *options):
    """Install the checkout as a user would, so that the wheel and not the checkout is imported."""
    session.install(f".[{extra}]", *options)
    session.env.update(PYTHONSAFEPATH="1", NUMBA_CACHE_DIR=session.create_tmp())


@nox.session
def lint(session):
    """Check format and lint."""
    session.install("ruff>=0.6")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session):
    """Check types."""
    install(session)
    session.run("mypy")


@nox.session
def tests(session):
    """Run the tests, the long ones too, or those that are named: `nox -s tests -- tests/mcgc/test_nets.py`."""
    install(session)
    session.run("pytest", "-q", *(session.posargs or ("-m", "not gpu")))


@nox.session
def docs(session):
    """Build the site strictly, into `site`."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "-q", "-b", "html", "docs", "site")


@nox.session(python=PYTHONS[0])
def oldest(session):
    """Run the fast tests on the oldest Python and the oldest versions declared."""
    constraints = f"{session.create_tmp()}/oldest.txt"
    with open(constraints, "w", encoding="utf-8") as file:
        session.run("python", ".ci/oldest.py", stdout=file)
    install(session, "test", "-c", constraints)
    session.run("pytest", "-q", *FAST)


@nox.session(python=PYTHONS[1:])
def newest(session):
    """Run the fast tests on newer Pythons, each that is there."""
    install(session)
    session.run("pytest", "-q", *FAST)


@nox.session
def cuda(session):
    """Check the CUDA kernels as far as they can be without a GPU."""
    install(session, "test,test-cuda")
    session.run("pytest", "-q", "tests/cuda")
