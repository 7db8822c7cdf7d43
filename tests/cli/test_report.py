"""`mcgc report`: one page that asks for nothing, whose charts are drawn, fit the screen, and show a run's numbers."""

import json
import re
from html import unescape

import browser
import equations
import numpy as np
import pytest
from mcgc_cli import drawn
from mcgc_cli.estimates import page_of
from mcgc_cli.report._findings import Finding, findings
from mcgc_cli.report._page import page
from mcgc_datasets import read_table
from reactor import DYNAMICS, reactor

import mcgc as library
from mcgc import train
from mcgc.train import run_file

LARGEST = 6e6  # bytes
chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason="Chromium is not installed")


KINDS = ("dynamics", "regression", "classification", "lorenz")
CHARTS = {
    "dynamics": [
        "Data against fit",
        "Predictions, test set",
        "Residuals, test set",
        "Calibration of the bands, test set",
    ],
    "regression": ["Predictions, test set", "Residuals, test set", "Calibration of the bands, test set"],
    "classification": ["Confusion matrix, test set", "Calibration, test set"],
    "lorenz": [],
}


@chromium
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("kind", KINDS)
def test_all_charts_are_drawn_and_nothing_overlaps_is_cut_or_asked_for(runs, kind, width, tmp_path):
    shown = browser.show(runs / f"{kind}.html", width, tmp_path)
    assert shown.console == []
    assert shown.asked == set()
    assert shown.width <= width
    titles = [chart["title"] for chart in shown.charts]
    assert titles[: len(CHARTS[kind])] == CHARTS[kind]
    assert {"Losses", "λ, the variance of the noise"} <= {*titles}
    for chart in shown.charts:
        assert chart["drawn"] > 0, chart
        assert chart["marks"] > 0, chart
        assert (chart["meeting"], chart["outside"], chart["covered"]) == ([], [], []), chart


@chromium
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_of_an_estimate_is_drawn_whole(width, tmp_path):
    times = np.linspace(0, 2, 9)
    data = [library.estimation.Experiment(times, 0.3 + 1.5 * times + times**2, [0.3], name=name) for name in "ab"]
    found = library.estimate(equations.line, data, {"a": 1.0, "b": 1.0}, method="lm", sigma=0.1)
    found.save(tmp_path / "fit.h5")
    saved = library.estimation.read_estimate(tmp_path / "fit.h5")
    (tmp_path / "fit.html").write_text(page_of(saved, "fit.h5"))
    shown = browser.show(tmp_path / "fit.html", width, tmp_path)
    assert (shown.console, shown.asked) == ([], set())
    assert shown.width <= width
    (chart,) = shown.charts
    assert chart["title"] == "Data against fit"
    assert chart["marks"] > 0
    assert (chart["meeting"], chart["outside"], chart["covered"]) == ([], [], [])
    for words in ("standard deviation, given", "correlation", "1.5", "parameters fitted"):
        assert words in shown.text


@chromium
def test_the_checks_in_the_browser_find_what_they_look_for(tmp_path):
    """A page that asks for a picture, complains, is too wide, and has two labels at one place."""
    text = '<svg class="main-svg"><text x="5" y="20">one</text><text x="8" y="20">two</text></svg>'
    (tmp_path / "bad.html").write_text(
        '<main style="width:900px"><img src="http://example.invalid/x.png">'
        f'<section class="chart"><h3>bad</h3><div class="plot">{text}</div></section></main>'
        "<script>window.Plotly = {}; console.error('wrong')</script>"
    )
    shown = browser.show(tmp_path / "bad.html", 400, tmp_path)
    assert any("wrong" in line for line in shown.console)
    assert shown.asked == {"http://example.invalid/x.png"}
    assert shown.width > 400
    assert shown.charts[0]["meeting"] == ["one / two"]


@chromium
def test_a_page_of_paper_has_the_charts_whole(runs, tmp_path):
    pdf = browser.printed(runs / "dynamics.html", tmp_path)
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type ?/Page\b", pdf)) <= 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_small_and_names_nothing_to_load(runs, kind):
    text = (runs / f"{kind}.html").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    assert "default-src 'none'" in text
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"'](?!data:)", text)


def test_equal_runs_give_equal_pages(runs, mcgc, tmp_path):
    for name in ("a.html", "b.html"):
        assert mcgc("report", runs / "dynamics.h5", "-o", name).exit_code == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def charts_of(text):
    """Return the figures of each chart, by its title."""
    found = re.findall(
        r'<section class="chart"><h3>(.*?)</h3>.*?<script type="application/json">(.*?)</script>', text, re.S
    )
    return {unescape(title): json.loads(figures) for title, figures in found}


def test_plotly_takes_every_figure_and_the_numbers_are_those_of_the_run(runs):
    from plotly.graph_objects import Figure

    for kind in KINDS:
        for figures in charts_of((runs / f"{kind}.html").read_text(encoding="utf-8")).values():
            for figure in figures:
                Figure(figure)  # which raises for a wrong name or value
    run = run_file.load(runs / "dynamics.h5")
    charts = charts_of((runs / "dynamics.html").read_text(encoding="utf-8"))
    mean = next(each for each in charts["Losses"][0]["data"] if each["name"] == "test" and each.get("showlegend", True))
    np.testing.assert_allclose(np.asarray(mean["y"], float), run.epochs["test_loss"].mean(axis=1), rtol=1e-4)
    (lam,) = [each for each in charts["λ, the variance of the noise"][0]["data"] if each.get("showlegend", True)]
    np.testing.assert_allclose(lam["y"], np.exp(run.epochs["log_lam"].mean(axis=1)), rtol=1e-4)
    table = library.tables.as_table(reactor(runs=8, seed=1))
    first = charts["Data against fit"][0]["data"]
    observed = next(each for each in first if each["name"] == "data")
    group = run.results["groups"]["test"][0]
    own = [i for i, label in enumerate(table.labels("run")) if label == group]
    np.testing.assert_allclose(observed["x"], table.numbers("time")[own], rtol=1e-4)
    np.testing.assert_allclose(np.asarray(observed["y"], float), table.numbers("A")[own], rtol=1e-4)


@pytest.mark.parametrize("kind", ["dynamics", "regression"])
def test_the_calibration_that_is_drawn_is_the_coverage_that_score_measures(runs, kind):
    fitted = library.load(runs / f"{kind}.h5")
    held = fitted.held_out(read_table(runs / {"dynamics": "reactor.csv", "regression": "line.csv"}[kind]))
    found = drawn.residuals(fitted, held)
    shares = drawn.covered(fitted, found)
    for at in (5, 13, 17):
        measured = fitted.score(held, drawn.LEVELS[at])["coverage"]
        for name, share in shares.items():
            assert share[at] == pytest.approx(measured[name], abs=1e-9)
    scored = fitted.score(held)
    for name, each in found.items():
        assert np.sqrt(np.mean((each.truth - each.predicted) ** 2)) == pytest.approx(scored["rmse"][name], rel=1e-6)


def test_the_reliability_of_a_classification_agrees_with_its_accuracy(runs):
    fitted = library.load(runs / "classification.h5")
    held = fitted.held_out(read_table(runs / "iris.csv"))
    found = drawn.reliability(fitted, held)
    assert found.rows.sum() == held.num_rows
    assert np.average(found.right, weights=found.rows) == pytest.approx(fitted.score(held)["accuracy"])
    assert ((found.chance >= 1 / 3) & (found.chance <= 1)).all()


def test_names_of_columns_and_classes_are_text_and_no_markup(runs):
    text = (runs / "classification.html").read_text(encoding="utf-8")
    assert "versicolor &lt;&amp;&gt;" in text
    assert "versicolor <&>" not in text


def test_a_run_whose_table_is_gone_has_a_page_with_a_sentence(runs, mcgc, tmp_path):
    (tmp_path / "mine.csv").write_text((runs / "reactor.csv").read_text())
    assert mcgc("fit", "mine.csv", *DYNAMICS.split(), "--quiet", "-o", "r.h5").exit_code == 0
    (tmp_path / "mine.csv").unlink()
    done = mcgc("report", "r.h5", "-o", "r.html")
    assert done.exit_code == 0
    assert "the page is without data" in done.stderr
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "does not exist" in text
    assert "Data against fit" not in charts_of(text)
    assert mcgc("report", "r.h5", "--data", runs / "reactor.csv", "-o", "d.html").exit_code == 0
    assert "Data against fit" in charts_of((tmp_path / "d.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["dynamics", "regression", "classification"])
def test_a_table_that_is_not_the_runs_is_not_called_its_test_set(runs, mcgc, tmp_path, kind):
    name = {"dynamics": "reactor.csv", "regression": "line.csv", "classification": "iris.csv"}[kind]
    text = (runs / name).read_text()
    (tmp_path / "other.csv").write_text(text[: text.rindex("\n", 0, -1) + 1])  # without the last row
    assert mcgc("report", runs / f"{kind}.h5", "--data", "other.csv", "-o", "r.html").exit_code == 0
    titles = set(charts_of((tmp_path / "r.html").read_text(encoding="utf-8")))
    assert any("given table" in title for title in titles)
    assert {title for title in titles if "test set" in title} <= {"Confusion matrix, test set"}
    assert mcgc("plot", runs / f"{kind}.h5", "--data", "other.csv", "-o", "r.png").exit_code == 0


@pytest.mark.parametrize("kind", ["dynamics", "regression", "classification"])
def test_a_run_that_is_not_finished_has_a_page_without_scores(runs, mcgc, tmp_path, kind):
    whole = run_file.load(runs / f"{kind}.h5")
    epochs = {name: values[:3] for name, values in whole.epochs.items()}
    run_file.save("r.h5", whole._replace(epochs=epochs, results={}, finished=False))
    done = mcgc("report", "r.h5", "-o", "r.html")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The run is not finished: it has done 3 of" in text
    assert "<h2>Scores</h2>" not in text
    for figures in charts_of(text).values():
        assert all(figure["data"] for figure in figures)
    assert mcgc("plot", "r.h5", "-o", "r.png").exit_code == 0


def test_very_many_members_are_drawn_as_their_range(runs):
    run = run_file.load(runs / "lorenz.h5")
    many = {name: np.tile(values, (1, 20)) if values.ndim == 2 else values for name, values in run.epochs.items()}
    run = run._replace(settings={**run.settings, "members": 40})
    (chart,) = charts_of(page(run._replace(epochs=many), "r.h5"))["Losses"]
    ranges = [each for each in chart["data"] if each.get("fill") == "toself"]
    assert len(ranges) == len(chart["data"]) / 2
    top = ranges[0]["y"][: len(run.epochs["epoch"])]
    np.testing.assert_allclose(top, run.epochs["train_loss"].max(axis=1), rtol=1e-4)


def test_a_run_of_a_problem_says_what_its_file_does_not_hold(runs):
    text = (runs / "lorenz.html").read_text(encoding="utf-8")
    assert "neither data nor predictions" in text


def test_series_divided_in_time_show_where_the_test_begins(mcgc, tmp_path):
    t = np.linspace(0, 6, 40)
    (tmp_path / "one.csv").write_text("t,y\n" + "".join(f"{a},{np.cos(a)}\n" for a in t))
    assert (
        mcgc("fit", "one.csv", "--task", "dynamics", "--epochs", 4, "--hidden", 8, "--quiet", "-o", "r.h5").exit_code
        == 0
    )
    assert mcgc("report", "r.h5", "-o", "r.html").exit_code == 0
    (figure,) = charts_of((tmp_path / "r.html").read_text(encoding="utf-8"))["Data against fit"]
    (edge,) = figure["layout"]["shapes"]
    held = library.load("r.h5").held_out({"t": t, "y": np.cos(t)})
    assert edge["x0"] == pytest.approx(held.numbers("t").min(), rel=1e-4)


@pytest.fixture(scope="module")
def run(runs):
    return run_file.load(runs / "regression.h5")


def scored(run, **changes):
    """Return a run whose results have some entries changed."""
    return run._replace(results={**run.results, **changes})


def facts(run):
    return " ".join(each.fact for each in findings(run))


def healthy(run):
    """Return a run in which nothing is found."""
    of = lambda rmse, r2: {kind: dict.fromkeys(("y", "z", "all"), x) for kind, x in (("rmse", rmse), ("r2", r2))}
    numbers, worse = of(1.0, 0.9), of(2.0, 0.1)
    flat = np.full_like(run.epochs["train_loss"], 0.5)
    flat[0] = 1.0
    return scored(
        run._replace(epochs={**run.epochs, "train_loss": flat, "validation_loss": flat}),
        scores={part: {**numbers, "mae": numbers["rmse"]} for part in ("train", "validation", "test")},
        baselines={"mean": worse},
        coverage={"test": {"y": 0.9, "z": 0.9, "all": 0.9}},
    )


def test_nothing_is_found_in_a_healthy_run_and_the_page_says_so(run):
    well = healthy(run)
    assert findings(well) == []
    assert "Nothing found that asks for a change." in page(well, "r.h5")


def test_findings_of_others_come_first(run):
    text = page(healthy(run), "r.h5", more=[Finding("31 % of the units are dead.", "Use --init he-normal.")])
    assert "31 % of the units are dead." in text
    assert "Nothing found" not in text


def test_the_causes_of_a_diagnosis_are_in_the_page_and_not_of_another_table(mcgc, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{a},{np.sin(9 * a)}" for a in rng.uniform(-1, 1, 120)]
    (tmp_path / "mine.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    (tmp_path / "other.csv").write_text("\n".join(["x,y", *rows[1:]]) + "\n")
    deep = ("--hidden", "8x30", "--epochs", 4, "--init", "xavier-normal", "-o", "r.h5", "--quiet")
    assert mcgc("fit", "mine.csv", "--task", "regression", "--target", "y", *deep).exit_code == 0
    causes = [
        each for each in train.diagnose(run_file.load("r.h5"), read_table("mine.csv")).findings if not each.explained
    ]
    assert causes
    for name in ("mine", "other"):
        assert mcgc("report", "r.h5", "--data", f"{name}.csv", "-o", f"{name}.html").exit_code == 0
        text = unescape((tmp_path / f"{name}.html").read_text(encoding="utf-8"))
        assert [cause.meaning in text for cause in causes] == [name == "mine"] * len(causes)


def test_a_baseline_that_is_as_good_is_found_with_its_columns(run):
    base = {"rmse": {"y": 1.0, "z": 2.0, "all": 1.5}, "r2": {"all": 0.9}}
    assert "“linear model” is not worse than the run for y on the test" in facts(
        scored(healthy(run), baselines={"linear model": base})
    )


@pytest.mark.parametrize(("share", "found"), [(0.4, True), (0.88, False), (0.92, False)])
def test_a_coverage_that_is_off_is_found(run, share, found):
    changed = scored(healthy(run), coverage={"test": {"all": share}}, counts={"test": {"rows": 400}})
    assert (f"bands cover {share:.1%}" in facts(changed)) == found


def test_a_loss_that_still_falls_a_run_that_is_not_finished_and_overfitting_are_found(run):
    well = healthy(run)
    epochs, shape = well.epochs, well.epochs["train_loss"].shape
    falling = np.geomspace(1, 0.01, shape[0])[:, None] * np.ones(shape)
    assert "still fell" in facts(well._replace(epochs={**epochs, "validation_loss": falling, "train_loss": falling}))
    assert "not finished: it has done 8 of 8" in facts(well._replace(finished=False))
    worse = np.full(shape, 2.0)
    worse[0] = 3.0
    assert "4.0 times the training loss" in facts(well._replace(epochs={**epochs, "validation_loss": worse}))
    assert "There is no test set" in facts(scored(well, scores={"train": well.results["scores"]["train"]}, coverage={}))
    assert "3 steps failed" in facts(well._replace(epochs={**epochs, "skipped": np.eye(*shape, dtype=int)}))


def test_a_net_that_learns_nothing_is_found(run):
    well = healthy(run)
    epochs, shape = well.epochs, well.epochs["train_loss"].shape
    stuck = np.ones(shape)
    stuck[:, 1] = np.linspace(1, 0.2, shape[0])
    assert "of 2 of 3 members has not fallen" in facts(well._replace(epochs={**epochs, "train_loss": stuck}))
    guess = well._replace(model={**well.model, "sizes": [4, 8, 10]})
    for accuracy, found in ((0.11, True), (0.8, False)):
        told = facts(guess._replace(epochs={**epochs, "test_accuracy": np.full(shape, accuracy)}))
        assert ("guessing one of 10 classes gives 10.0%" in told) == found


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("report none.h5 -o r.html", "'none.h5' does not exist"),
        ("report none.h5 -o r.pdf", "a report ends in .html, got 'r.pdf'"),
        ("report none.h5", "Missing option '-o' / '--output'"),
    ],
)
def test_a_mistake_is_one_sentence(mcgc, command, sentence):
    done = mcgc(*command.split())
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_a_report_without_plotly_says_what_to_install(mcgc, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "plotly" else real(name, *more)
    )
    done = mcgc("report", "none.h5", "-o", "r.html")
    assert (done.exit_code, "pip install 'mcgc[report]'" in done.stderr) == (2, True)
