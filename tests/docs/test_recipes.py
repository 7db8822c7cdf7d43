"""The files with which docs/scale.md starts clusters: their syntax, and that their options are those of Dask."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

RECIPES = Path(__file__).parents[2] / "docs/recipes"
FILES = sorted(RECIPES.iterdir())
KINDS = {"apps/v1": {"Deployment"}, "v1": {"ConfigMap", "Service"}, "networking.k8s.io/v1": {"NetworkPolicy"}}


def text(name):
    return (RECIPES / name).read_text(encoding="utf-8")


def test_the_page_shows_every_file_and_no_other():
    page = (RECIPES.parent / "scale.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\{literalinclude\} recipes/(\S+)", page)) == [path.name for path in FILES]


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".sh"], ids=lambda path: path.name)
def test_a_script_of_the_shell_is_well_formed(path):
    subprocess.run(["bash", "-n", path], check=True, timeout=60)


def test_certificates_are_made_that_openssl_and_dask_take(tmp_path):
    from distributed.security import Security

    subprocess.run(["bash", RECIPES / "certificates.sh", tmp_path / "tls", "here", "there"], check=True, timeout=60)
    made = {name: str(tmp_path / "tls" / name) for name in ("ca.pem", "cluster.pem", "cluster.key")}
    subprocess.run(["openssl", "verify", "-CAfile", made["ca.pem"], made["cluster.pem"]], check=True, timeout=60)
    security = Security(
        tls_ca_file=made["ca.pem"], tls_client_cert=made["cluster.pem"], tls_client_key=made["cluster.key"]
    )
    assert security.get_connection_args("client")["ssl_context"] is not None
    assert Path(made["cluster.key"]).stat().st_mode & 0o077 == 0


def test_the_script_for_slurm_is_python_that_calls_what_there_is():
    import inspect

    import mcgc

    tree = ast.parse(text("slurm.py"))
    calls = {
        node.func.attr: node for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "attr")
    }
    assert {one.arg for one in calls["fit"].keywords} - {"members"} <= inspect.signature(mcgc.fit).parameters.keys()


def test_the_file_for_kubernetes_has_objects_that_belong_together():
    found = list(yaml.safe_load_all(text("kubernetes.yaml")))
    assert all(one["kind"] in KINDS[one["apiVersion"]] and one["metadata"]["name"] for one in found)
    deployments = [one["spec"] for one in found if one["kind"] == "Deployment"]
    for spec in deployments:
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        pod = spec["template"]["spec"]
        assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in pod["containers"][0]["volumeMounts"]}
    service = next(one for one in found if one["kind"] == "Service")
    assert service["spec"]["selector"] in [spec["selector"]["matchLabels"] for spec in deployments]


def options():
    """Return the options that the files give to `dask scheduler` and `dask worker`."""
    for name in ("lan.sh", "kubernetes.yaml"):
        for command, rest in re.findall(r"dask,? (scheduler|worker)(.*)", text(name)):
            yield from ((command, option) for option in re.findall(r"(?<![\w-])--[a-z-]+", rest))
    yield from (("worker", option) for option in re.findall(r"--tls-[a-z-]+", text("lan.sh")))


def test_the_options_of_dask_are_those_that_it_has():
    found = {*options()}
    assert len(found) > 8
    for command in ("scheduler", "worker"):
        run = [sys.executable, "-m", f"distributed.cli.dask_{command}", "--help"]
        helped = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout
        missing = [option for one, option in found if one == command and option not in helped]
        assert missing == []
