"""ONNX files: the trees with the interval round them, and the interval alone.

``model.onnx`` answers everything from the features. ``interval.onnx`` adds the interval to a probability that
something else computed from the same trees (Triton's FIL backend on GPU servers).
"""

from __future__ import annotations

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto

from models.onnx_graph import constant, model, node, trees
from models.win_probability.features import FEATURES
from models.win_probability.interval import Table

OUTPUTS = ("probability", "interval_low", "interval_high")
_WIDTHS = dict.fromkeys(OUTPUTS, 1)


def whole(booster: xgb.Booster, table: Table) -> bytes:
    """``model.onnx``: features (float32 [n, f]) in, ``OUTPUTS`` (float32 [n, 1] each) out."""
    nodes, constants = _interval(table)
    said = [trees(booster, "features", "log_odds"), node("Sigmoid", ["log_odds"], "probability")]
    return model("win_probability", [*said, *nodes], constants, {"features": len(FEATURES)}, _WIDTHS)


def interval(table: Table) -> bytes:
    """``interval.onnx``: features and trees (the probability, float32 [n, 1]) in, ``OUTPUTS`` out."""
    nodes, constants = _interval(table)
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


def _interval(table: Table) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes from ``features`` and ``log_odds`` to the ends, which compute what ``Table.around`` does."""
    width = len(table.lead_edges) + 1
    constants = [
        constant("clock_column", [FEATURES.index("clock_ms")], np.int64),
        constant("phase_edges", [table.phase_edges_ms]),
        constant("lead_edges", [table.lead_edges]),
        constant("columns", [1], np.int64),
        constant("width", [width], np.int64),
        constant("half_widths", np.ravel(table.half_widths)),
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
        node("Add", ["row", "decided"], "cell"),
        node("Gather", ["half_widths", "cell"], "half", axis=0),
        node("Sub", ["log_odds", "half"], "low"),
        node("Add", ["log_odds", "half"], "high"),
        node("Sigmoid", ["low"], "interval_low"),
        node("Sigmoid", ["high"], "interval_high"),
    ]
    return nodes, constants
