"""The options that commands share, and a table of those that change a setting of the recipe."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mcgc_cli.grouped import GroupedOption
from mcgc_cli.values import CLUSTER, DEVICE, choice

if TYPE_CHECKING:
    from mcgc.arrays import Device
    from mcgc.train import CheckedSettings, Problem, Settings
    from mcgc.train.run_file import RunFile

workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes for the members. The result does not depend on it.",
    cls=GroupedOption,
    group="Training",
)
dask_option = click.option(
    "--dask",
    metavar="ADDRESS",
    type=CLUSTER,
    help="Dask cluster for the work: tcp://HOST:PORT, tls://HOST:PORT, or local:N for N processes on this machine.",
    cls=GroupedOption,
    group="Cluster",
)
device_option = click.option(
    "--device",
    type=DEVICE,
    help="Device: auto, cpu, cuda, or cuda:N.  [default: auto]",
    cls=GroupedOption,
    group="Training",
)
quiet_option = click.option("--quiet", is_flag=True, help="Print neither device nor progress on stderr.")
json_option = click.option("--json", "json", is_flag=True, help="Print the result as one line of JSON.")
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


class Row(NamedTuple):
    """An option: its flag, its field in the settings, the type of its value, its help, and its group."""

    flag: str
    field: str
    type: type
    help: str
    group: str = "Training"


ROWS = (
    Row(
        "--continuation/--no-continuation",
        "continuation",
        bool,
        "Smooth the objective with noise, or not.",
        "Continuation",
    ),
    Row("--schedule", "schedule", str, "How lambda changes: learned, or by a fixed schedule.", "Continuation"),
    Row(
        "--gamma",
        "gamma",
        float,
        "Factor of lambda at each step (geometric), or power of the decay.",
        "Continuation",
    ),
    Row("--estimator", "estimator", str, "Estimator of the gradient of log lambda.", "Continuation"),
    Row("--num-samples", "num_samples", int, "Monte Carlo samples in each step.", "Continuation"),
    Row(
        "--beta",
        "beta",
        float,
        "Weight of the penalty that draws lambda towards zero, in units of 1/lambda0.",
        "Continuation",
    ),
    Row("--log-lam0", "log_lam0", float, "Log lambda at the start.", "Continuation"),
    Row("--optimizer", "optimizer", str, "Optimiser of the parameters."),
    Row("--weight-decay", "weight_decay", float, "Weight decay, in units of the learning rate."),
    Row("--lr", "learning_rate", float, "Learning rate of the parameters, at the first step."),
    Row("--lr-schedule", "rate_schedule", str, "How the learning rate of the parameters changes over the run."),
    Row("--lr-end", "learning_rate_end", float, "Learning rate at the last step.  [default: a hundredth of --lr]"),
    Row("--clip", "clip", float, "Largest norm of the gradient. A longer gradient is scaled down to it."),
    Row("--lr-lam", "learning_rate_lam", float, "Learning rate of log lambda.", "Continuation"),
    Row("--epochs", "epochs", int, "Passes over the training set."),
    Row("--warmup-epochs", "warmup_epochs", int, "Epochs at the start in which lambda stays constant.", "Continuation"),
    Row(
        "--batch-size",
        "batch_size",
        int,
        "Examples in each step. With horizons: as many windows as cover the same time.",
    ),
    Row(
        "--validation",
        "validation",
        float,
        "Fraction of the training set that chooses the best epoch and is not trained on.",
    ),
    Row(
        "--horizons",
        "horizons",
        str,
        "Lengths of the windows to train on, in this order, each with its share of the epochs: 1:0.5,4:0.3,all:0.2. "
        "A length is a number of observed intervals, a fraction of the series such as 0.5, or all.",
    ),
    Row(
        "--split",
        "split",
        str,
        "What is set apart: rows at random, whole groups, or what comes last.",
        "Data",
    ),
    Row("--test", "test", float, "Fraction of a table that is set apart for the test.", "Data"),
    Row(
        "--rotate/--no-rotate",
        "rotate",
        bool,
        "Give each member a validation set of its own, which trains the others.",
        "Data",
    ),
    Row("--patience", "patience", int, "End after so many epochs without a new best epoch of any member."),
    Row(
        "--bootstrap/--no-bootstrap",
        "bootstrap",
        bool,
        "Train each member on series or rows drawn with replacement; bands then have the spread of the members.",
    ),
    Row("--hidden", "hidden", str, "Widths of the hidden layers for a table, such as 32,32 or 50x19.", "Model"),
    Row("--activation", "activation", str, "Activation of the net for a table.", "Model"),
    Row("--init", "init", str, "How the first parameters for a table are drawn.", "Model"),
    Row("--skip/--no-skip", "skip", bool, "Let hidden layers of one width add their input to their output.", "Model"),
    Row("--members", "members", int, "Number of models, each with its own initial parameters and noise."),
    Row("--seed", "seed", int, "Seed of everything random."),
    Row("--dtype", "dtype", str, "Precision of the model.", "Model"),
    Row(
        "--on-divergence",
        "on_divergence",
        str,
        "What to do when a step fails: skip it, go back to the best epoch, or stop.",
    ),
    Row(
        "--loss",
        "loss",
        str,
        "Loss of the net; softmax-cross-entropy applies the softmax twice, as the paper does.",
        "Model",
    ),
    Row(
        "--restart-lam/--no-restart-lam",
        "restart_lam",
        bool,
        "Reset log lambda at each new length of windows.",
        "Continuation",
    ),
    Row(
        "--standardize/--no-standardize",
        "standardize",
        bool,
        "Subtract the mean of states and inputs, and divide by their standard deviation.",
        "Data",
    ),
    Row("--solver", "solver", str, "Runge-Kutta method for the differential equation.", "Solver"),
    Row("--adjoint", "adjoint", str, "Method for the gradient of the solution.", "Solver"),
    Row("--rtol", "rtol", float, "Relative tolerance of the solver.", "Solver"),
    Row("--atol", "atol", float, "Absolute tolerance of the solver.", "Solver"),
    Row(
        "--step-size",
        "step_size",
        float,
        "Fixed step size, in units of time. The tolerances are then ignored.",
        "Solver",
    ),
)


class RecipeOption(GroupedOption):
    """An option whose default is in the recipe of the problem. Its help shows the default."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the flag and the help, with the choices and the default, for each problem if they differ."""
        from mcgc.train import problems
        from mcgc.train._own import recipes
        from mcgc.train.settings import CHOICES, OF_SOME

        flag, text = super().get_help_record(ctx) or ("", "")
        field = str(self.name)
        notes = [f"one of: {', '.join(CHOICES[field])}"] if field in CHOICES else []
        defaults: dict[Any, list[str]] = {}
        for problem in map(problems.get, problems.names()):
            if field not in OF_SOME or field in problem.options:
                defaults.setdefault(getattr(problem.recipe_of(), field), []).append(problem.name)
        if not defaults:  # of tables alone
            for name, recipe in recipes().items():
                if getattr(recipe, field) is not None:
                    defaults.setdefault(getattr(recipe, field), []).append(name)
        if len(defaults) > 1:
            notes += [f"{', '.join(names)}: {_shown(value)}" for value, names in defaults.items() if value is not None]
        elif defaults and defaults.keys() != {None}:
            notes += [f"default: {_shown(value)}" for value in defaults]
        return flag, f"{text}  [{'; '.join(notes)}]" if notes else text


def _shown(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def recipe_options(command: Callable) -> Callable:
    """Add the options of all rows to `command`. An option that is not given is None."""
    return chosen_options(*(row.field for row in ROWS))(command)


def chosen_options(*fields: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options of some rows. An option that is not given is None."""

    def add(command: Callable) -> Callable:
        for row in reversed([row for row in ROWS if row.field in fields]):
            kind: Any = choice(row.field) if row.type is str else row.type
            command = click.option(
                row.flag, row.field, type=kind, default=None, help=row.help, cls=RecipeOption, group=row.group
            )(command)
        return command

    return add


def settings_of(
    problem: "Problem", given: Mapping[str, Any], run: "RunFile | None" = None, recipe: "Settings | None" = None
) -> "CheckedSettings":
    """Return the settings of `run`, `recipe`, or the default recipe of `problem`, changed by the given options.

    Raises `InputError` for an option that is out of range or does not apply to the problem. The sentence has the flag,
    the value and the allowed values.
    """
    from mcgc.errors import InputError
    from mcgc.train import Settings, validate

    options = {field: value for field, value in given.items() if value is not None}
    start = (recipe or problem.recipe_of())._asdict() if run is None else run.settings
    settings = Settings.of({**start, **options})
    try:
        return validate(settings, problem.options)
    except InputError as error:
        raise InputError(with_flags(str(error))) from None


def with_flags(sentence: str) -> str:
    """Replace the fields of `Settings` in a sentence of the library by the flags of the command."""
    import re

    flags = {row.field: row.flag.partition("/")[0] for row in ROWS}
    return re.sub(rf"\b({'|'.join(flags)})\b", lambda found: flags[found[0]], sentence)


def device_of(name: str | None, workers: int, problem: "Problem", members: int) -> tuple["Device", str]:
    """Return the device for a run, and a sentence that names it.

    Raises `InputError` if worker processes would not use the CPU.
    """
    from mcgc.devices import select_device
    from mcgc.errors import InputError

    name = name or "auto"
    used, sentence = select_device("cpu" if workers > 1 and name == "auto" else name, problem, members)
    if workers > 1 and used.name != "cpu":
        raise InputError(f"--workers {workers} needs the CPU, not {used.name}: add --device cpu, or leave it out")
    return used, sentence


def resumed(
    run: "RunFile", problem: str | None, dataset: str | None, device: str | None
) -> tuple[str, str | None, str | None]:
    """Return problem, dataset file and device with which to resume `run`: those given, or else its own.

    Raises `InputError` if the given problem differs, or the file does not name its problem.
    """
    from mcgc_datasets.registry import cached

    from mcgc.errors import InputError
    from mcgc.files import IN_MEMORY

    own, source = run.settings.get("problem"), run.dataset.get("source")
    if not isinstance(own, str) or not isinstance(source, str):
        raise InputError("the run file does not name its problem and its dataset: copy it again")
    if problem not in (None, own):
        raise InputError(f"the run is for {own}, not for {problem}: leave out --problem")
    if dataset is None and source not in (IN_MEMORY, os.path.abspath(cached(own))):
        dataset = source
    return own, dataset, device or run.device
