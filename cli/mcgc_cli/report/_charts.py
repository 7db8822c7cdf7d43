"""The charts of a report, as plotly's JSON: a chart is a mapping with `data` and `layout`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcgc_cli.drawn import LEVELS, Course, Reliability, Residuals
from mcgc_cli.pictures import COLOURS, PARTS, broken, named, shortened

if TYPE_CHECKING:
    from mcgc.train.run_file import RunFile

Chart = dict[str, Any]
MOST_LINES, MOST_EPOCHS, MOST_POINTS = 12, 400, 3000  # of a chart; others are thinned
FEW_NAMED, MOST_NAMED = 12, 20  # classes whose names and counts are written, in small letters if they are many
MOST_OBSERVED = 300  # of a state of a series
DIGITS = 5
MANY_DECADES = 2.5  # of a logarithmic axis, which then has a number for each decade
LETTER, NARROW = 7, 220  # pixels: of a letter, and of the axis of a chart on a telephone
GREY, SOFT, SHADES = "#808080", 0.18, [[0, "#f7fbff"], [1, "#08306b"]]


def layout(x: str, y: str, height: int = 320, **more: Any) -> Chart:
    """Return the layout of a chart with one pair of axes."""
    axis = {"automargin": True, "zeroline": False, "gridcolor": "#e6e6e6", "linecolor": GREY, "ticks": "outside"}
    return {
        "height": height,
        "autosize": True,
        "margin": {"l": 60, "r": 16, "t": 34, "b": 48},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "#222"},
        "paper_bgcolor": "#fff",
        "plot_bgcolor": "#fff",
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": text(x)}},
        "yaxis": {**axis, "title": {"text": text(y)}},
        "hovermode": "closest",
        **more,
    }


def text(label: str) -> str:
    """Return a label as it is: plotly would take < and & for markup."""
    return label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def numbers(values: Any) -> list[float | None]:
    """Return numbers in few digits, None where there is none."""
    return [float(f"{x:.{DIGITS}g}") if np.isfinite(x) else None for x in np.asarray(values, float).tolist()]


def thinned(count: int, most: int) -> np.ndarray:
    """Return at most `most` of the indices 0 to count − 1, evenly, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def line(x: Any, y: Any, name: str, colour: str, **more: Any) -> Chart:
    """Return a line."""
    style = {"color": colour, "width": 2, **more.pop("line", {})}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": text(name), "line": style, **more}


def of_epochs(run: "RunFile", fields: Mapping[str, str], y: str, log: bool = True) -> Chart | None:
    """Return quantities by the epoch: members faint, or their range where they are many, and their mean bold.

    None if the run has none of them.
    """
    epochs, data = run.epochs, []
    at = thinned(len(epochs["epoch"]), MOST_EPOCHS)
    x = epochs["epoch"][at].tolist()
    for (field, name), colour in zip(fields.items(), COLOURS, strict=False):
        values = np.asarray(epochs.get(field, np.full((len(epochs["epoch"]), 1), np.nan)), float)[at]
        values = np.exp(values) if field == "log_lam" else values
        if not np.isfinite(values).any():
            continue
        faint = {"opacity": 0.35, "showlegend": False, "line": {"width": 1}, "hoverinfo": "skip"}
        if 1 < values.shape[1] <= MOST_LINES:
            data += [line(x, numbers(each), name, colour, legendgroup=name, **faint) for each in values.T]
        if values.shape[1] > MOST_LINES:
            edges = numbers(values.max(axis=1)) + numbers(values.min(axis=1))[::-1]
            around = {**faint, "fill": "toself", "fillcolor": colour, "line": {"width": 0}, "opacity": SOFT}
            data.append(line(x + x[::-1], edges, name, colour, legendgroup=name, **around))
        bold = np.where(np.isfinite(values), values, np.nan)
        mean = np.exp(np.log(bold).mean(axis=1)) if field == "log_lam" else bold.mean(axis=1)
        data.append(line(x, numbers(mean), name, colour, legendgroup=name))
    if not data:
        return None
    made = layout("epoch", y)
    if log:
        shown = [y for each in data for y in each["y"] if y]
        decades = np.log10(max(shown) / min(shown)) if shown else 0.0
        few = 3 if decades < MANY_DECADES else 5  # more would meet
        made["yaxis"] |= {"type": "log", "exponentformat": "power", "nticks": few}
    return {"data": data, "layout": made}


def losses(run: "RunFile") -> Chart | None:
    """Return the losses by the epoch."""
    return of_epochs(run, PARTS, "loss")


def lam(run: "RunFile") -> Chart | None:
    """Return λ by the epoch, on a logarithmic axis; its mean is that of log λ."""
    chart = of_epochs(run, {"log_lam": "λ"}, "λ")
    if chart is not None:
        chart["layout"]["showlegend"] = False
    return chart


def accuracy(run: "RunFile") -> Chart | None:
    """Return the accuracy on the test set by the epoch."""
    chart = of_epochs(run, {"test_accuracy": "test"}, "accuracy on the test set", log=False)
    if chart is not None:
        chart["layout"]["yaxis"]["tickformat"] = ".0%"
        chart["layout"]["showlegend"] = False
    return chart


def of_course(found: Course, model: Mapping[str, Any], states: Sequence[str]) -> Chart:
    """Return data, fit and bands of a series: a row of axes for each state, with one axis of time."""
    blue, red = COLOURS[:2]
    made = layout(named(model, model["time"]), "", height=150 + 170 * len(states))
    one, gap = made.pop("yaxis"), 0.06 / max(len(states) - 1, 1)
    share = (1 - gap * (len(states) - 1)) / len(states)
    data: list[Chart] = []
    at = thinned(len(found.times), MOST_OBSERVED)
    time = numbers(found.fit.get(model["time"], []))
    for row, state in enumerate(states):
        axis, top = f"y{row + 1 if row else ''}", 1 - row * (share + gap)
        title = {"title": {"text": broken(text(named(model, state)), "<br>"), "standoff": 8}}
        made[axis.replace("y", "yaxis")] = {**one, "domain": [max(top - share, 0), top], **title}
        common = {"yaxis": axis, "showlegend": row == 0}
        if f"{state}_low" in found.fit:
            band = numbers(found.fit[f"{state}_high"]) + numbers(found.fit[f"{state}_low"])[::-1]
            around = {"fill": "toself", "fillcolor": blue, "opacity": SOFT, "hoverinfo": "skip", "line": {"width": 0}}
            data.append(line(time + time[::-1], band, "90 % band", blue, **around, **common, legendgroup="band"))
        if state in found.fit:
            data.append(line(time, numbers(found.fit[state]), "fit", blue, **common, legendgroup="fit"))
        observed = {"x": numbers(found.times[at]), "y": numbers(found.data[state][at]), "name": "data"}
        dots = {"type": "scatter", "mode": "markers", "marker": {"color": red, "size": 6}, "legendgroup": "data"}
        data.append(dots | observed | common)
    made["xaxis"] |= {"anchor": f"y{len(states) if len(states) > 1 else ''}"}
    if found.test_from is not None:
        edge = {"type": "line", "x0": found.test_from, "x1": found.test_from, "y0": 0, "y1": 1, "yref": "paper"}
        made["shapes"] = [{**edge, "line": {"color": GREY, "dash": "dash", "width": 1}}]
        note = {"x": found.test_from, "y": 0, "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        made["annotations"] = [{**note, "text": "test from here", "showarrow": False, "font": {"color": "#555"}}]
    return {"data": data, "layout": made}


def of_predictions(found: Residuals, label: str) -> Chart:
    """Return predictions against the data, beside the diagonal."""
    at, blue = thinned(len(found.truth), MOST_POINTS), COLOURS[0]
    both = np.concatenate([found.truth, found.predicted])
    ends = numbers([both.min(), both.max()])
    points = {"type": "scatter", "mode": "markers", "marker": {"color": blue, "size": 5, "opacity": 0.6}}
    values = {"x": numbers(found.truth[at]), "y": numbers(found.predicted[at])}
    diagonal = line(ends, ends, "data = prediction", GREY, line={"width": 1}, hoverinfo="skip")
    return {"data": [diagonal, points | values], "layout": layout(f"{label}, data", "prediction", showlegend=False)}


def of_residuals(found: Residuals, label: str) -> Chart:
    """Return residuals against predictions, with the bands of the level 0.9."""
    order = found.predicted.argsort()[thinned(len(found.predicted), MOST_POINTS)]
    blue, x, half = COLOURS[0], numbers(found.predicted[order]), found.half[order]
    made = layout(f"{label}, prediction", "data − prediction")
    data = []
    if np.isfinite(half).all():
        band = numbers(half) + numbers(-half)[::-1]
        around = {"fill": "toself", "fillcolor": blue, "opacity": SOFT, "hoverinfo": "skip", "line": {"width": 0}}
        data.append(line(x + x[::-1], band, "90 % band", blue, **around))
    points = {"type": "scatter", "mode": "markers", "marker": {"color": blue, "size": 5, "opacity": 0.6}}
    data.append(points | {"x": x, "y": numbers((found.truth - found.predicted)[order]), "name": "residual"})
    made["yaxis"] |= {"zeroline": True, "zerolinecolor": GREY}
    return {"data": data, "layout": made}


def of_coverage(shares: Mapping[str, np.ndarray], model: Mapping[str, Any]) -> Chart:
    """Return the share of the data in the bands against the level of the bands."""
    levels = list(LEVELS)
    data = [line([0, 1], [0, 1], "as it should be", GREY, line={"width": 1, "dash": "dash"}, hoverinfo="skip")]
    for i, (name, each) in enumerate(shares.items()):
        style = {"mode": "lines+markers", "marker": {"size": 5}}
        data.append(line(levels, numbers(each), named(model, name), COLOURS[i % len(COLOURS)], **style))
    made = layout("level of the band", "share of the data inside", height=360)
    for axis in ("xaxis", "yaxis"):
        made[axis] |= {"range": [0, 1.02], "tickformat": ".0%"}
    return {"data": data, "layout": made}


def of_reliability(found: Reliability) -> Chart:
    """Return how often the predicted class is right against its probability."""
    ideal = line([0, 1], [0, 1], "as it should be", GREY, line={"width": 1, "dash": "dash"}, hoverinfo="skip")
    dots = line(numbers(found.chance), numbers(found.right), "predicted class", COLOURS[0], mode="lines+markers")
    size = np.clip(np.sqrt(found.rows), 5, 18)  # a mark with many rows is large
    dots |= {
        "text": [f"{rows} rows" for rows in found.rows.tolist()],
        "marker": {"size": numbers(size)},
        "cliponaxis": False,
    }
    made = layout("probability of the predicted class", "share that is right", height=360)
    for axis in ("xaxis", "yaxis"):
        made[axis] |= {"range": [0, 1.02], "tickformat": ".0%"}
    return {"data": [ideal, dots], "layout": made}


def confusion(counts: np.ndarray, classes: Sequence[str]) -> Chart:
    """Return the confusion matrix: true classes downwards, shares of each true class as shades, counts as text."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    at, labels = list(range(len(classes))), [text(shortened(name)) for name in classes]
    cells: Chart = {"type": "heatmap", "x": at, "y": at, "z": [numbers(row) for row in shares]}
    cells |= {"zmin": 0, "zmax": 1, "colorscale": SHADES, "xgap": 1, "ygap": 1}
    told = [
        [f"true {a}, predicted {b}: {n}" for b, n in zip(map(text, classes), row, strict=True)]
        for a, row in zip(map(text, classes), counts.tolist(), strict=True)
    ]
    cells |= {"customdata": told, "colorbar": {"tickformat": ".0%", "len": 0.9}}
    cells |= {"hovertemplate": "%{customdata}<extra></extra>"}
    if len(classes) <= MOST_NAMED:
        cells |= {"text": counts.tolist(), "texttemplate": "%{text}", "showscale": False}
    made = layout("predicted class", "true class", height=min(max(340, 130 + 34 * len(classes)), 720))
    upright = LETTER * sum(len(name) + 1 for name in labels) > NARROW  # names that would meet on a narrow screen
    ticks = {"tickvals": at, "ticktext": labels} if len(classes) <= MOST_NAMED else {}
    ticks |= {"tickfont": {"size": 9}} if len(classes) > FEW_NAMED else {}
    made["xaxis"] |= {"showgrid": False, "tickangle": -90 if upright else 0, **ticks}
    made["yaxis"] |= {"showgrid": False, "autorange": "reversed", **ticks}
    return {"data": [cells], "layout": made}
