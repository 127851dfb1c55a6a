"""ONNX files: the trees with the interval round them, and the interval alone.

``model.onnx`` answers everything from the features, and from the pre-match log odds where they are given:
that input may be left out. ``interval.onnx`` adds the interval to a probability that something else computed
from the same trees by the live state alone (Triton's FIL backend on GPU servers).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from models.onnx_graph import constant, model, node, trees
from models.win_probability.data import MINUTE_MS
from models.win_probability.features import FEATURES
from models.win_probability.flow import Flow
from models.win_probability.interval import Table
from models.win_probability.model import PRE_MATCH_INPUT, WinProbability

OUTPUTS = ("probability", "interval_low", "interval_high")
_WIDTHS = dict.fromkeys(OUTPUTS, 1)


def whole(of: WinProbability) -> bytes:
    """``model.onnx``: features (float32 [n, f]) and pre-match log odds in, ``OUTPUTS`` ([n, 1] each) out."""
    nodes, constants = _interval((of.table, of.known_table))
    flowing, held = _flow(of.flow)
    said = [trees(of.booster, "features", "live"), *flowing, node("Sigmoid", ["log_odds"], "probability")]
    inputs = {"features": len(FEATURES), PRE_MATCH_INPUT: 1}
    return model("win_probability", [*said, *nodes], [*held, *constants], inputs, _WIDTHS)


def _flow(flow: Flow) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes from ``live`` and the pre-match log odds to ``log_odds``, which compute what ``Flow`` does.

    A function that is linear between knots is its first value plus, for each knot, the change of slope there
    times how far the clock is beyond it.
    """
    functions = np.array((flow.shift, flow.before, flow.live))
    slopes = np.diff(functions) / np.diff(flow.knots)
    changes = np.diff(slopes, prepend=0.0)
    constants = [
        # The default of the input: nothing is known before the match.
        constant(PRE_MATCH_INPUT, [[np.nan]]),
        constant("zero", [0.0]),
        constant("minute", [float(MINUTE_MS)]),
        constant("last_knot", [flow.knots[-1]]),
        constant("knots", [flow.knots[:-1]]),
        constant("changes", changes.T),
        constant("first_values", [functions[:, 0]]),
        constant("minutes_column", [FEATURES.index("clock_ms")], np.int64),
        *(constant(f"part_{number}", [number], np.int64) for number in range(len(functions))),
    ]
    nodes = [
        node("IsNaN", [PRE_MATCH_INPUT], "unknown_before"),
        node("Where", ["unknown_before", "zero", PRE_MATCH_INPUT], "before"),
        node("Gather", ["features", "minutes_column"], "clock_before", axis=1),
        node("Div", ["clock_before", "minute"], "minutes_all"),
        node("Min", ["minutes_all", "last_knot"], "minutes"),
        node("Sub", ["minutes", "knots"], "beyond_all"),
        node("Relu", ["beyond_all"], "beyond"),
        node("MatMul", ["beyond", "changes"], "changed"),
        node("Add", ["changed", "first_values"], "functions"),
        *(
            node("Gather", ["functions", f"part_{number}"], name, axis=1)
            for number, name in enumerate(("shift", "weight_before", "weight_live"))
        ),
        node("Mul", ["weight_before", "before"], "from_before"),
        node("Mul", ["weight_live", "live"], "from_live"),
        node("Add", ["from_before", "from_live"], "weighed"),
        node("Add", ["weighed", "shift"], "both"),
        node("Where", ["unknown_before", "live", "both"], "log_odds"),
    ]
    return nodes, constants


def interval(table: Table) -> bytes:
    """``interval.onnx``: features and trees (the probability, float32 [n, 1]) in, ``OUTPUTS`` out."""
    nodes, constants = _interval((table,))
    constants += [constant("almost_0", [1e-7]), constant("almost_1", [1 - 1e-7]), constant("one", [1.0])]
    odds = [
        node("Identity", ["trees"], "probability"),
        node("Max", ["trees", "almost_0"], "not_0"),
        node("Min", ["not_0", "almost_1"], "within"),
        node("Sub", ["one", "within"], "against"),
        node("Div", ["within", "against"], "odds"),
        node("Log", ["odds"], "log_odds"),
    ]
    inputs = {"features": len(FEATURES), "trees": 1}
    return model("win_probability_interval", [*odds, *nodes], constants, inputs, _WIDTHS)


def _interval(tables: tuple[Table, ...]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes from ``features`` and ``log_odds`` to the ends, which compute what ``Table.around`` does.

    Of two tables, which have the same edges, the second is for states of which something was known before.
    """
    table = tables[0]
    width = len(table.lead_edges) + 1
    constants = [
        constant("clock_column", [FEATURES.index("clock_ms")], np.int64),
        constant("phase_edges", [table.phase_edges_ms]),
        constant("lead_edges", [table.lead_edges]),
        constant("columns", [1], np.int64),
        constant("width", [width], np.int64),
        constant("half_widths", np.ravel([one.half_widths for one in tables])),
    ]

    nodes = [
        node("Gather", ["features", "clock_column"], "clock", axis=1),
        node("GreaterOrEqual", ["clock", "phase_edges"], "phases_begun"),
        node("Cast", ["phases_begun"], "phase_steps", to=TensorProto.INT64),
        node("ReduceSum", ["phase_steps", "columns"], "phase", keepdims=1),
        node("Abs", ["log_odds"], "lead"),
        node("GreaterOrEqual", ["lead", "lead_edges"], "leads_reached"),
        node("Cast", ["leads_reached"], "lead_steps", to=TensorProto.INT64),
        node("ReduceSum", ["lead_steps", "columns"], "decided", keepdims=1),
        node("Mul", ["phase", "width"], "row"),
        node("Add", ["row", "decided"], "cell" if len(tables) == 1 else "cell_of_table"),
        *(_second_table(constants, np.size(table.half_widths)) if len(tables) > 1 else ()),
        node("Gather", ["half_widths", "cell"], "half", axis=0),
        node("Sub", ["log_odds", "half"], "low"),
        node("Add", ["log_odds", "half"], "high"),
        node("Sigmoid", ["low"], "interval_low"),
        node("Sigmoid", ["high"], "interval_high"),
    ]
    return nodes, constants


def _second_table(constants: list[onnx.TensorProto], cells: int) -> list[onnx.NodeProto]:
    """The nodes that go on to the second table's cells where something was known before."""
    constants += [constant("table_0", [0], np.int64), constant("table_1", [cells], np.int64)]
    return [
        node("Where", ["unknown_before", "table_0", "table_1"], "table"),
        node("Add", ["cell_of_table", "table"], "cell"),
    ]
