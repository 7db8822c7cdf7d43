"""Dates as times: they become numbers of a stated unit since the first one, as pandas counts, and come back."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mcgc
from mcgc.errors import InputError
from mcgc.tables import Dates, as_table, series_columns, series_of
from mcgc.train import prepare

DAYS = ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-03"]
STAMPS = pd.to_datetime(["2024-03-30 22:00", "2024-03-30 23:30", "2024-03-31 02:15", "2024-03-31 04:00"])
FORMS = {
    "text": STAMPS.strftime("%Y-%m-%dT%H:%M").tolist(),
    "text with blanks and seconds": STAMPS.strftime(" %Y-%m-%d %H:%M:%S").tolist(),
    "datetime64": STAMPS.to_numpy(),
    "datetime64 of minutes": STAMPS.to_numpy().astype("datetime64[m]"),
    "a series of pandas": pd.Series(STAMPS),
    "datetimes": STAMPS.to_pydatetime().tolist(),
    "pyarrow": pa.table({"t": pa.array(STAMPS.to_numpy())})["t"],
}


def series(times, **more):
    table = {"t": times, "y": np.arange(len(times), dtype=float), **more}
    return series_of(table, series_columns(table, states="y", group="run" if "run" in more else None))


@pytest.mark.parametrize("form", FORMS)
def test_dates_are_hours_since_the_first_whatever_form_they_have(form):
    found = series(FORMS[form])
    np.testing.assert_allclose(found.times, (STAMPS - STAMPS[0]) / pd.Timedelta(hours=1))
    assert found.dates == Dates("2024-03-30T22:00", "hours")
    assert found.units["t"] == str(found.dates) == "hours since 2024-03-30 22:00"
    np.testing.assert_array_equal(found.dates.instants(found.times), STAMPS.to_numpy().astype("datetime64[us]"))


@pytest.mark.parametrize(("step", "unit"), [("1s", "seconds"), ("90s", "minutes"), ("2h", "hours"), ("7D", "days"),
                                            ("365D", "days"), ("10ms", "seconds")])  # fmt: skip
def test_the_unit_is_the_largest_one_that_is_no_longer_than_a_step(step, unit):
    times = pd.date_range("2020-01-01", periods=5, freq=step)
    assert series(times.to_numpy()).dates.unit == unit
    both = series(np.concatenate([times, times]), run=np.repeat(["a", "b"], 5))
    assert both.dates.unit == unit
    np.testing.assert_array_equal(both.times[:5], both.times[5:])


def test_dates_with_zones_are_compared_in_utc():
    times = ["2024-03-31T01:30:00+01:00", "2024-03-31T01:00:00Z", "2024-03-31T04:00:00+02:00"]  # a clock put forward
    found = series(times)
    np.testing.assert_allclose(found.times, [0, 30, 90])
    assert str(found.dates) == "minutes since 2024-03-31 00:30 UTC"
    zoned = pd.Series(pd.to_datetime(times, utc=True).tz_convert("Europe/Berlin"))
    np.testing.assert_allclose(series(zoned).times, found.times)
    of_pyarrow = as_table(pa.Table.from_pandas(pd.DataFrame({"t": zoned, "y": [1.0, 2.0, 3.0]})))
    assert series_of(of_pyarrow, series_columns(of_pyarrow)).dates == found.dates


def test_days_may_be_dates_of_python():
    found = series([date.fromisoformat(day) for day in DAYS])
    assert (found.dates, found.times.tolist()) == (Dates("2024-02-28", "days"), [0, 1, 2, 4])
    assert series(DAYS).times.tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(("times", "sentence"), [
    ([*DAYS[:2], "31.12.2024"], r"row 2, column 't' holds '31\.12\.2024', which is no date such as"),
    ([*DAYS[:2], "soon"], "row 2, column 't' holds 'soon'"),
    ([0.0, *DAYS], r"row 0, column 't' holds '0\.0', which is no date"),
    ([*DAYS[:2], ""], "row 2, column 't' is empty: each row needs a time"),
    (np.array([*DAYS, "NaT"], "datetime64[D]"), "row 4, column 't' is empty"),
    (["2024-01-01T00:00Z", "2024-01-02T00:00"], "row 1, column 't' holds .* others have none"),
    ([DAYS[0], DAYS[0]], "row 1 has the time 0 a second time"),
    (["2024-02-30", "2024-03-01"], "row 0, column 't' holds '2024-02-30', which is no date"),
])  # fmt: skip
def test_what_is_no_column_of_dates_is_one_sentence(times, sentence):
    with pytest.raises(InputError, match=sentence):
        series(times)


def test_dates_are_no_states_and_no_inputs():
    table = {"t": [0, 1], "when": np.array(DAYS[:2], "datetime64[D]"), "y": [1.0, 2.0]}
    assert series_columns(table).states == ("y",)
    with pytest.raises(InputError, match="column 'when' holds dates: name it as the time"):
        series_of(table, series_columns(table, states="when"))


@pytest.fixture(scope="module")
def fitted():
    """Give a fit of what decays from noon on, by the hour."""
    hours = np.tile(np.arange(8.0), 6)
    table = pd.DataFrame({
        "when": pd.Timestamp("2024-05-01 12:00") + pd.to_timedelta(hours, unit="h"),
        "run": np.repeat(np.arange(6), 8),
        "y": (1 + np.repeat(np.arange(6), 8)) * np.exp(-0.3 * hours),
    })  # fmt: skip
    return table, mcgc.fit(table, "dynamics", time="when", group="run", states="y", hidden="8", epochs=30)


def test_a_fit_of_dates_is_that_of_hours_and_predicts_dates(fitted, tmp_path):
    table, found = fitted
    hours = table.assign(when=(table["when"] - table["when"].min()) / pd.Timedelta(hours=1))
    other = mcgc.fit(hours, "dynamics", time="when", group="run", states="y", hidden="8", epochs=30)
    np.testing.assert_array_equal(other.file.theta, found.file.theta)
    assert found.model["dates"] == {"origin": "2024-05-01T12:00", "unit": "hours", "utc": False}
    assert found.model["units"]["when"] == "hours since 2024-05-01 12:00"
    found.save(tmp_path / "run.h5")
    course = mcgc.load(tmp_path / "run.h5").predict(table)
    np.testing.assert_array_equal(course["when"], table["when"].to_numpy())
    np.testing.assert_array_equal(course["y"], other.predict(hours)["y"])
    on = found.predict(until="2024-05-01T16:00", every=2.0)
    assert on["when"][:3].tolist() == [datetime(2024, 5, 1, hour) for hour in (12, 14, 16)]
    np.testing.assert_array_equal(on["y"], other.predict(until=4.0, every=2.0)["y"])
    later = found.predict(table.assign(when=table["when"] + pd.Timedelta(days=1)))
    np.testing.assert_allclose(later["y"], course["y"], rtol=1e-6)
    simulated = found.simulate({"y": 2.0}, begin=date(2024, 6, 1), until=datetime(2024, 6, 1, 4), every=2)
    assert simulated["when"].astype("datetime64[h]").tolist()[-1] == datetime(2024, 6, 1, 4)
    assert found.score(table)["rmse"] == pytest.approx(other.score(hours)["rmse"])


def test_dates_where_numbers_were_and_dates_of_another_kind_are_one_sentence(fitted):
    table, found = fitted
    numbers = mcgc.fit(table.assign(when=table.index), "dynamics", time="when", group="run", states="y", epochs=1)
    with pytest.raises(InputError, match="holds dates, but the times of the run are numbers"):
        numbers.predict(table)
    with pytest.raises(InputError, match="until must be a number, as the times of the run are"):
        numbers.predict(until="2024-05-02")
    with pytest.raises(InputError, match="has dates with a time zone, and the run has dates with no time zone"):
        found.predict(table.assign(when=table["when"].dt.tz_localize("UTC")))
    with pytest.raises(InputError, match="until must be a number of hours since 2024-05-01 12:00, or a date such as"):
        found.predict(until="tomorrow")


def test_a_run_with_zones_predicts_in_utc(fitted):
    table, found = fitted
    zoned = table.assign(when=table["when"].dt.tz_localize("UTC"))
    other = mcgc.fit(zoned, "dynamics", time="when", group="run", states="y", hidden="8", epochs=30)
    on = other.predict(until=datetime(2024, 5, 1, 14, tzinfo=UTC), every=1.0)
    np.testing.assert_array_equal(on["y"], found.predict(until=2.0, every=1.0)["y"])
    assert on["when"][-1] == np.datetime64("2024-05-01T14:00")


def test_rows_are_divided_by_dates():
    table = {"when": [*DAYS, "2023-01-01"] * 4, "x": np.arange(20.0), "y": np.arange(20.0)}
    _, settings, own = prepare(table, "regression", target="y", features="x", time="when", split="time")
    assert settings.split == "time"
    assert own.times.argmin() == 4
