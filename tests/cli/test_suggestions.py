"""What is said of an option or a value that there is not: the one that was meant."""

import pytest
from mcgc_cli import main
from mcgc_cli.suggestions import SYNONYMS

from mcgc.paper import test_functions


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ("fit --learning-rate 1", "'--lr'"),
        ("fit --learning-rat 1", "'--lr'"),
        ("fit --batch 4", "'--batch-size'"),
        ("fit --out x.h5", "'--output'"),
        ("fit --samples 3", "'--num-samples'"),
        ("fit --tol 3", "'--rtol'"),
        ("fit --epoch 3", "'--epochs'"),
        ("fit --data x.h5", "'--dataset'"),
        ("fit --no-continuatio", "'--no-continuation'"),
        ("reproduce figure-1 --dataset x.h5", "'--data'"),
        ("reproduce figure-1 --output x", "'--out'"),
        ("minimize quartic --samples 3", "'--num-samples'"),
        ("data make lorenz --overwrite", "'--force'"),
    ],
)
def test_an_option_by_another_name_is_answered_with_its_name(mcgc, args, meant):
    result = mcgc(*args.split())
    assert result.exit_code == 2
    wrong = [word for word in args.split() if word.startswith("--")][-1]
    assert result.stderr.startswith(f"mcgc: No such option '{wrong}'. Did you mean {meant}")
    assert result.stderr.count("\n") == 1


def test_an_argument_given_as_an_option_is_answered_with_the_usage(mcgc):
    result = mcgc("data", "make", "--problem", "lorenz")
    assert result.stderr.startswith("mcgc: No such option '--problem'. It goes without a name: ")
    assert result.stderr.endswith(" data make [OPTIONS] PROBLEM\n")


def test_a_name_that_is_missing_is_asked_for_with_the_list(mcgc):
    found = mcgc("completion")
    assert (found.exit_code, found.stderr) == (2, "mcgc: Missing argument 'SHELL'. Choose one of bash, zsh, fish.\n")
    assert f"Choose one of {', '.join(test_functions.names())}." in mcgc("minimize").stderr


def test_an_option_like_none_is_not_guessed(mcgc):
    assert mcgc("fit", "--zzzzzz").stderr == "mcgc: No such option '--zzzzzz'.\n"


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        ("fit --problem lornz", "'lorenz'"),
        ("fit --problem lorenz --solver dopri", "'dopri8' or 'dopri5'"),
        ("fit --problem lorenz --estimator antithtic", "'antithetic' or 'antithetic-score'"),
        ("fit --problem lorenz --recipe pathwize", "'pathwise'"),
        ("fit --problem lorenz --device cda", "'cuda'"),
        ("reproduce figure7", "'figure-7'"),
        ("minimize rastrign", "'rastrigin'"),
        ("minimize quartic --estimator pathwize", "'pathwise'"),
        ("check --problem lornz", "'lorenz'"),
        ("data make lornz", "'lorenz'"),
    ],
)
def test_a_value_that_is_nearly_right_is_answered_with_the_right_one(mcgc, args, meant):
    result = mcgc(*args.split())
    assert result.exit_code == 2
    assert f"did you mean {meant}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_every_synonym_is_of_an_option_that_there_is():
    def flags(command):
        found = {flag for param in command.params for flag in param.opts}
        return found.union(*(flags(each) for each in getattr(command, "commands", {}).values()))

    assert {*SYNONYMS.values()} <= flags(main)
