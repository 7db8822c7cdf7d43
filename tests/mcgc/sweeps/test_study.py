"""Trials that Optuna chooses: reproducible by their seed, resumed to the same bits, pruned, and none trained twice."""

import optuna
import pytest
from swept import HOW, SPACE, TABLE, Stop, Stopped, bits

import mcgc
from mcgc.errors import InputError
from mcgc.sweeps import Range, Trial, _study, read

COUNT = 13  # TPE begins with ten random trials


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def swept(space=SPACE, hooks=(), trials=COUNT, **how):
    return mcgc.sweep(TABLE, "regression", space, method="optuna", trials=trials, hooks=hooks, **HOW | how)


def study_of(found, storage="sqlite:///sweep.optuna.db"):
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


@pytest.fixture(scope="module")
def whole():
    return swept()


def test_the_seed_decides_the_trials(whole):
    assert bits(swept(trials=4).trials) == bits(whole.trials[:4])
    assert swept(seed=1, trials=2).trials[0].values != whole.trials[0].values


def test_after_ten_trials_the_points_are_those_of_optunas_tpe(whole):
    """The sampler is asked anew, for the eleventh trial, by what the ten before came to."""
    distributions = {
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "hidden": optuna.distributions.CategoricalDistribution([0, 1]),
    }
    study = optuna.create_study()
    for trial in whole.trials[:10]:
        params = {**trial.values, "hidden": SPACE["hidden"].index(trial.values["hidden"])}
        value = sum(trial.validation_loss) / 2
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=value))
    seeded = _study.sampler(0, 10)
    assert isinstance(seeded, optuna.samplers.TPESampler)
    study.sampler = seeded
    params = study.ask(distributions).params
    assert params["learning_rate"] == whole.trials[10].values["learning_rate"]
    assert SPACE["hidden"][params["hidden"]] == whole.trials[10].values["hidden"]


@pytest.mark.parametrize("after", [{"trials": 11}, {"epochs": 34}])  # the first is saved, and not told to the study
def test_a_sweep_that_stopped_goes_on_to_the_same_bits(whole, after):
    with pytest.raises(Stopped):
        swept(output="sweep.h5", hooks=[Stop(**after)])
    done = len(read("sweep.h5").trials)
    assert done == 11
    hook = Stop()
    found = swept(output="sweep.h5", hooks=[hook])
    assert bits(found.trials) == bits(whole.trials)
    assert len(hook.told) == COUNT - done
    study = study_of(found)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * COUNT
    assert [trial.value for trial in study.trials] == [sum(trial.validation_loss) / 2 for trial in found.trials]


def test_a_trial_that_was_half_asked_is_left_and_asked_anew(monkeypatch, whole):
    ask = _study.Guided._ask
    monkeypatch.setattr(_study.Guided, "_ask", half_asked)
    with pytest.raises(Stopped):
        swept(trials=3, output="sweep.h5")
    monkeypatch.setattr(_study.Guided, "_ask", ask)
    found = swept(trials=3, output="sweep.h5")
    assert [trial.values for trial in found.trials] == [trial.values for trial in whole.trials[:3]]


def half_asked(self):
    self._study.ask({"learning_rate": self._distributions["learning_rate"]})
    raise Stopped


def test_a_trial_that_is_worse_than_the_median_is_pruned_and_its_best_epoch_kept():
    class Falling(Stop):
        """Notes the loss after each epoch of each trial."""

    hook = Falling()
    found = swept(
        {"learning_rate": Range(1e-5, 1e-1, log=True)}, [hook], trials=9, epochs=9, prune=4, metric="train", members=1
    )
    pruned = [trial for trial in found.trials if trial.status == "pruned"]
    assert pruned
    assert all(4 <= trial.epochs < 9 for trial in pruned)
    assert all(trial.number >= 5 for trial in pruned)
    assert found.best().status == "finished"
    courses, losses = iter(hook.records), {}
    for trial in found.trials:
        losses[trial.number] = [next(courses).train_loss[0] for _ in range(trial.epochs)]
    for trial in pruned:
        before = [losses[other.number] for other in found.trials[: trial.number] if other.status == "finished"]
        at = sorted(course[trial.epochs - 1] for course in before)
        middle = (at[(len(at) - 1) // 2] + at[len(at) // 2]) / 2
        assert min(losses[trial.number][3:]) > middle


def test_a_sweep_with_pruning_that_stopped_goes_on_to_the_same_bits():
    space, how = {"learning_rate": Range(1e-5, 1e-1, log=True)}, {"epochs": 4, "prune": True, "members": 1, "trials": 8}
    whole = swept(space, **how)
    assert {trial.status for trial in whole.trials} == {"finished", "pruned"}
    epochs = [trial.epochs for trial in whole.trials]
    first = next(trial for trial in whole.trials if trial.status == "pruned").number
    for after in (sum(epochs[:first]) + 1, sum(epochs[: first + 1])):
        with pytest.raises(Stopped):
            swept(space, output="sweep.h5", overwrite=True, hooks=[Stop(epochs=after)], **how)
        assert bits(swept(space, output="sweep.h5", **how).trials) == bits(whole.trials)


def test_equal_trials_are_trained_once():
    hook = Stop()
    found = swept({"hidden": ["4", "8"]}, [hook], trials=6, output="sweep.h5")
    assert len(found.trials) == 2
    assert hook.sentences == ["4 points are equal to others, so there are 2 trials"]
    study = study_of(found)
    assert {trial.value for trial in study.trials} == {trial.value("validation") for trial in found.trials}
    again = Stop()
    assert swept({"hidden": ["4", "8"]}, [again], trials=6, output="sweep.h5") == found
    assert again.told == []


def test_settings_that_do_not_go_together_have_failed():
    space = {"learning_rate_end": Range(1e-4, 1e-1, log=True), "learning_rate": [1e-2]}
    found = swept(space, trials=8, output="sweep.h5")
    for trial in found.trials:
        too_large = trial.values["learning_rate_end"] > 1e-2
        assert trial.status == ("failed" if too_large else "finished")
    assert {trial.status for trial in found.trials} == {"failed", "finished"}
    states = {"failed": "FAIL", "finished": "COMPLETE"}
    assert [trial.state.name for trial in study_of(found).trials] == [states[trial.status] for trial in found.trials]


def test_a_storage_whose_sweep_is_gone_is_one_sentence_and_can_be_begun_anew(tmp_path):
    swept(trials=2, output="sweep.h5")
    (tmp_path / "sweep.h5").unlink()
    with pytest.raises(InputError, match="has trials that the file of the sweep lacks: bring the file back, or begin"):
        swept(trials=2, output="sweep.h5")
    assert len(swept(trials=2, output="sweep.h5", overwrite=True).trials) == 2
    assert len(swept(trials=2, output="other.h5", storage="sqlite:///mine.db").trials) == 2
    assert (tmp_path / "mine.db").exists()


def test_a_password_of_the_storage_is_not_shown():
    with pytest.raises(InputError, match=r"the storage nosuch://me:\*\*\*@host/db cannot be used") as caught:
        swept(storage="nosuch://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_an_infinite_loss_is_told_and_comes_last(monkeypatch):
    value = Trial.value
    monkeypatch.setattr(Trial, "value", lambda self, metric: float("inf") if self.number == 1 else value(self, metric))
    found = swept(trials=3, output="sweep.h5")
    assert [trial.value for trial in study_of(found).trials][1] == float("inf")
    assert found.ranked()[-1].number == 1


def test_without_optuna_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(InputError, match="needs Optuna, which is not installed: pip install 'mcgc\\[sweep\\]'"):
        swept()
