"""A sweep trains each setting once, as `mcgc.fit` does, saves it, and goes on where it stopped."""

import math
from contextlib import suppress
from itertools import product

import h5py
import numpy as np
import pytest
from scipy import stats
from small import Series
from swept import HOW, SPACE, TABLE, Stop, Stopped, bits

import mcgc
from mcgc.errors import InputError, OutputError
from mcgc.paper.comparison import best_records
from mcgc.sweeps import Range, Results, Trial, read
from mcgc.train import Run, problems, run_file
from mcgc.train._resume import records

GRID = {"learning_rate": [1e-3, 1e-2], "hidden": ["4", "8,8"]}


def swept(space=SPACE, trials=6, hooks=(), **how):
    return mcgc.sweep(TABLE, "regression", space, trials=trials, hooks=hooks, **HOW | how)


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_trial_has_the_losses_of_mcgc_fit_with_its_settings(directory):
    found = swept(GRID, None, method="grid", seed=3)
    assert [tuple(trial.values.values()) for trial in found.trials] == list(product(*GRID.values()))
    for trial in found.trials:
        mcgc.fit(TABLE, "regression", **HOW, seed=3, **trial.values, output="run.h5", overwrite=True)
        best = best_records(records(run_file.load("run.h5")))
        for name in ("train_loss", "validation_loss", "test_loss"):
            assert getattr(trial, name) == tuple(getattr(record, name)[i] for i, record in enumerate(best))
        assert trial.best_epoch == tuple(record.epoch for record in best)
        assert (trial.status, trial.epochs, trial.test_accuracy) == ("finished", 3, ())


def test_the_best_has_the_lowest_mean_loss_and_students_interval():
    found = swept()
    means = [np.mean(trial.validation_loss) for trial in found.trials]
    best = found.best()
    assert best.number == int(np.argmin(means))
    assert [trial.number for trial in found.ranked()] == np.argsort(means).tolist()
    low, high = stats.ttest_1samp(best.validation_loss, 0.0).confidence_interval()
    assert found.interval(best) == pytest.approx((min(means), low, high), rel=1e-12)
    assert found.best("train").number == int(np.argmin([np.mean(trial.train_loss) for trial in found.trials]))


def test_the_file_has_what_is_returned():
    found = swept(GRID | {"clip": [None, 1.0]}, None, method="grid", output="sweep.h5")
    saved = read("sweep.h5")
    assert saved == found
    with h5py.File("sweep.h5") as file:
        assert file["trials/test_loss"].shape == (8, 2)
        assert file["values/learning_rate"][()].tolist() == [0.0] * 4 + [1.0] * 4
        assert [key.tobytes().hex() for key in file["trials/key"][()]] == [trial.key for trial in found.trials]
        assert np.isnan(file["trials/test_accuracy"][()]).all()


def test_settings_of_every_kind_can_be_searched():
    space = {"members": [1, 3], "skip": [True, False], "num_samples": Range(1, 2, points=2), "seed": [0, 7]}
    found = mcgc.sweep(TABLE, "regression", space, method="grid", target="y", epochs=2, hidden=[4, 4], output="s.h5")
    assert found.header["settings"]["hidden"] == "4,4"
    assert {len(trial.train_loss) for trial in read("s.h5").trials} == {1, 3}
    assert len({trial.train_loss for trial in found.trials}) > 8
    assert read("s.h5") == found


def test_a_sweep_is_of_known_equations_with_a_net_and_without():
    t = np.tile(np.linspace(0, 1, 5), 6)
    table = {"t": t, "run": np.repeat(np.arange(6), 5), "y": np.exp(-2 * t)}
    how = {"group": "run", "field": lambda t, y, p: [-p["k"] * y[0]], "parameters": {"k": 1.0}, "epochs": 2}
    space = {"hidden": [None, "4"]}
    found = mcgc.sweep(table, "dynamics", space, method="grid", output="s.h5", **how)
    assert [trial.status for trial in found.trials] == ["finished", "finished"]
    mcgc.fit(table, "dynamics", **how, hidden="4", output="run.h5")
    best = best_records(records(run_file.load("run.h5")))
    assert found.trials[1].train_loss == best[0].train_loss
    assert found.trials[0].train_loss != best[0].train_loss
    assert found.header["equations"]["parameters"]["k"]["value"] == 1.0
    other = how | {"parameters": {"k": 3.0}}
    with pytest.raises(InputError, match="for the equations changed"):
        mcgc.sweep(table, "dynamics", space, method="grid", output="s.h5", **other)
    assert mcgc.sweep(table, "dynamics", space, method="grid", **other).trials[0].key != found.trials[0].key


def test_a_sweep_is_of_problems_too():
    lorenz = problems.get("lorenz")
    data = Series(np.linspace(0, 0.1, 3), np.ones((4, 2)), np.ones((4, 3, 3)))
    how = {"method": "grid", "recipe": "paper", "epochs": 1, "rtol": 1e-2, "atol": 1e-2, "warmup_epochs": 0}
    for task in ("lorenz", lorenz):
        found = mcgc.sweep(data, task, {"learning_rate": [1e-3, 1e-2]}, **how)
        assert (found.metric, len(found.trials), found.best().status) == ("train", 2, "finished")


@pytest.mark.parametrize("after", [{"trials": 2}, {"epochs": 8}])
def test_a_sweep_that_stopped_goes_on_to_the_same_bits_and_trains_no_trial_twice(after):
    whole = swept()
    with pytest.raises(Stopped):
        swept(output="sweep.h5", hooks=[Stop(**after)])
    done = read("sweep.h5").trials
    assert len(done) == 2
    assert not read("sweep.h5").header["finished"]
    again = Stop()
    found = swept(output="sweep.h5", hooks=[again])
    assert bits(found.trials) == bits(whole.trials)
    assert found.trials[:2] == done
    assert [trial.number for trial in again.told] == [2, 3, 4, 5]
    assert again.begun == (2, 6)
    assert found.header["finished"]
    third = Stop()
    assert swept(output="sweep.h5", hooks=[third]) == found
    assert third.told == []


def test_an_epoch_that_was_saved_is_not_trained_again(directory, monkeypatch):
    monkeypatch.setattr("mcgc.train._run.SECONDS", 0.0)
    with pytest.raises(Stopped):
        swept(output="sweep.h5", hooks=[Stop(epochs=8)])
    (left,) = (directory / ".sweep.h5.trials").glob("*.h5")
    assert run_file.load(left).epoch == 2
    again = Stop()
    swept(output="sweep.h5", hooks=[again])
    assert [record.epoch for record in again.records][:4] == [3, 1, 2, 3]
    assert sorted(path.name for path in directory.iterdir()) == ["sweep.h5"]


def test_a_trial_that_was_trained_but_not_saved_is_taken_from_its_run_file(monkeypatch):
    save = mcgc.sweeps._go.Output.save

    def full(self, finished):
        raise OutputError("the disk is full")

    monkeypatch.setattr(mcgc.sweeps._go.Output, "save", full)
    with pytest.raises(OutputError):
        swept(output="sweep.h5")
    monkeypatch.setattr(mcgc.sweeps._go.Output, "save", save)
    hook = Stop()
    found = swept(output="sweep.h5", hooks=[hook])
    assert len(hook.records) == 5 * 3
    assert bits(found.trials) == bits(swept().trials)


def test_more_trials_are_added_to_those_that_are_there():
    before = swept(trials=3, output="sweep.h5")
    hook = Stop()
    found = swept(trials=5, output="sweep.h5", hooks=[hook])
    assert found.trials[:3] == before.trials
    assert len(hook.told) == 2
    assert bits(found.trials) == bits(swept(trials=5).trials)


def test_run_files_are_kept_where_they_are_asked_for(directory):
    found = swept(trials=2, runs="runs")
    for trial in found.trials:
        kept = mcgc.load(directory / "runs" / f"trial-{trial.number}.h5")
        assert kept.settings.learning_rate == trial.values["learning_rate"]
        assert kept.file.finished


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "the seed and the settings"),
        ({"epochs": 4}, "the settings"),
        ({"space": {"beta": [0.1, 0.2]}}, "the space"),
        ({"method": "random"}, "the method"),
        ({"features": ["x"], "target": ["y"]}, "the columns"),
    ],
)
def test_another_sweep_does_not_go_on_in_the_file(change, what):
    swept(trials=1, output="sweep.h5")
    with pytest.raises(InputError, match=f"sweep.h5 would not go on as the sweep that it is, for {what} changed: undo"):
        swept(output="sweep.h5", **change)
    assert len(swept(output="sweep.h5", overwrite=True, **change).trials) > 1


def test_other_data_are_another_sweep():
    swept(trials=1, output="sweep.h5")
    other = {**TABLE, "y": TABLE["y"] + 1}
    with pytest.raises(InputError, match="for the dataset changed"):
        mcgc.sweep(other, "regression", SPACE, trials=1, output="sweep.h5", **HOW)


def test_two_sweeps_cannot_write_one_file():
    class Second(Stop):
        def after_epoch(self, record):
            with pytest.raises(OutputError, match="is being written by process"):
                swept(trials=1, output="sweep.h5")
            raise Stopped

    with pytest.raises(Stopped):
        swept(trials=1, output="sweep.h5", hooks=[Second()])


def test_a_trial_that_fails_has_its_sentence_and_the_others_go_on():
    """With a learning rate of 1e30 no solution can be computed after the first step, and the run may not go on."""
    t = np.tile(np.linspace(0, 1, 5), 6)
    table = {"t": t, "run": np.repeat(np.arange(6), 5), "y": np.exp(-t)}
    how = {"group": "run", "epochs": 1, "hidden": "4", "on_divergence": "stop", "horizons": "all"}
    space = {"learning_rate": [1e-3, 1e30]}
    found = mcgc.sweep(table, "dynamics", space, method="grid", output="sweep.h5", **how)
    good, bad = found.trials
    assert (good.status, bad.status) == ("finished", "failed")
    assert bad.sentence
    assert "\n" not in bad.sentence
    assert read("sweep.h5").trials == found.trials
    hook = Stop()
    mcgc.sweep(table, "dynamics", space, method="grid", output="sweep.h5", hooks=[hook], **how)
    assert hook.told == []
    mcgc.sweep(table, "dynamics", space, method="grid", output="sweep.h5", hooks=[hook], retry_failed=True, **how)
    assert [trial.number for trial in hook.told] == [1]
    assert found.best() == good


def test_settings_that_do_not_go_together_are_a_trial_that_failed():
    found = swept({"gamma": [None, 0.9], "schedule": ["learned", "decay"]}, None, method="grid", output="sweep.h5")
    assert [trial.status for trial in found.trials] == ["finished", "failed", "failed", "finished"]
    assert found.trials[1].sentence == "gamma must be given where the schedule is decay, got None"
    assert read("sweep.h5") == found
    with pytest.raises(InputError, match=r"^gamma must be given where the schedule is decay, got None$"):
        swept({"schedule": ["decay"]}, None, method="grid")


def test_an_error_of_a_hook_ends_the_sweep_and_is_no_failure_of_a_trial():
    class Wrong(Stop):
        def before_step(self):
            raise InputError("mine")

    with pytest.raises(InputError, match=r"^mine$"):
        swept(hooks=[Wrong()])


def test_points_that_are_equal_are_one_trial():
    hook = Stop()
    found = swept({"hidden": ["4", "8"]}, 6, method="random", hooks=[hook])
    assert len(found.trials) == 2
    assert hook.sentences == ["4 points are equal to others, so there are 2 trials"]


def test_a_setting_that_changes_what_a_loss_is_is_told():
    hook = Stop()
    swept({"loss": ["mse", "mae"], "beta": [0.1]}, None, method="grid", hooks=[hook])
    assert hook.sentences == ["loss is searched: losses of trials that differ in it are hard to compare"]


def test_the_key_is_that_of_settings_data_and_versions(monkeypatch):
    keys = [trial.key for trial in swept(GRID, None, method="grid").trials]
    assert len({*keys}) == 4
    assert [trial.key for trial in swept(GRID, None, method="grid").trials] == keys
    named = swept({"hidden": ["4"], "learning_rate": [1e-3]}, None, method="grid").trials
    assert named[0].key == keys[0]
    assert swept(GRID, None, method="grid", epochs=2).trials[0].key not in keys
    monkeypatch.setattr("mcgc.sweeps._source.versions", lambda: {"numpy": "1.0"})
    assert swept(GRID, None, method="grid").trials[0].key not in keys


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"method": "sobl"}, "unknown method 'sobl': .*did you mean 'sobol'"),
        ({"metric": "tests"}, "unknown metric 'tests': .*did you mean 'test'"),
        ({"metric": "validation", "validation": 0.0}, "the metric is the validation loss, but there is no validation"),
        ({"metric": "test", "test": 0.0}, "the metric is the test loss, but there is no test set"),
        ({"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        ({"trials": 10**6}, "trials must be at most 100000"),
        ({"method": "grid", "space": {"beta": [0, 1]}}, "a grid has as many trials as points"),
        ({"hidden": "4"}, "hidden is fixed and in the space"),
        ({"lr": 1}, "unknown setting 'lr'"),
        ({"epochs": "3"}, "epochs must be a whole number"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"prune": True}, "prune is for the method optuna, not for sobol"),
        ({"storage": "sqlite://"}, "storage is for the method optuna"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"recipe": "best"}, "recipe is for a problem"),
        ({"target": "z"}, "z"),
        ({"device": "gpu"}, "gpu"),
        ({"method": "optuna", "retry_failed": True}, "retry_failed is not for the method optuna"),
        ({"method": "optuna", "storage": "nosuch://x"}, "the storage nosuch://x cannot be used .*: give the URL"),
        ({"output": "none/sweep.h5"}, "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_trained(how, sentence):
    hook = Stop()
    with pytest.raises(InputError, match=sentence) as caught:
        swept(hooks=[hook], **how)
    assert "\n" not in str(caught.value)
    assert hook.records == []


@pytest.mark.parametrize(
    ("task", "columns", "sentence"),
    [
        ("regresion", {}, "unknown task 'regresion': .*did you mean 'regression'"),
        ("lorentz", {}, "unknown problem 'lorentz'"),
        ("lorenz", {"target": "y"}, "target is for a table"),
    ],
)
def test_a_task_that_is_none_is_one_sentence(task, columns, sentence):
    with pytest.raises(InputError, match=sentence):
        mcgc.sweep(TABLE, task, SPACE, **columns)


def test_losses_that_are_not_finite_come_last_and_no_trial_may_be_the_best():
    header = {"metric": "test", "space": []}
    losses = {"infinite": (0.1, math.inf), "none": (), "finite": (2.0, 4.0)}
    trials = [Trial(i, name, {}, "finished", test_loss=numbers) for i, (name, numbers) in enumerate(losses.items())]
    trials += [Trial(3, "pruned", {}, "pruned", test_loss=(0.0, 0.0)), Trial(4, "failed", {}, "failed")]
    found = Results(header, tuple(trials))
    assert [trial.key for trial in found.ranked()] == ["finite", "infinite", "none", "pruned", "failed"]
    assert found.best().value("test") == 3.0
    with pytest.raises(InputError, match="no trial is finished with a finite loss"):
        Results(header, tuple(trials[:2])).best()


def test_a_file_that_is_no_sweep_or_damaged_is_one_sentence(directory):
    with pytest.raises(InputError, match=r"sweep 'none\.h5' does not exist"):
        read("none.h5")
    with Run.create("run.h5", mcgc.train.bind(*_small())) as run:
        list(run.epochs())
    with pytest.raises(InputError, match=r"is of the format 'mcgc-run', version \d, not 'mcgc-sweep': give one that"):
        read("run.h5")
    swept(trials=2, output="sweep.h5")
    whole = (directory / "sweep.h5").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        image = bytearray(whole)
        image[rng.integers(len(image))] ^= 1 << int(rng.integers(8))
        (directory / "damaged.h5").write_bytes(image)
        with suppress(InputError):
            assert len(read("damaged.h5").trials) == 2


def _small():
    problem, settings, own = mcgc.train.prepare(TABLE, "regression", target="y", epochs=1, hidden="4")
    return settings, own, mcgc.arrays.HOST, problem
