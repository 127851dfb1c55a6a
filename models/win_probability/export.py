"""ONNX files: the trees with the interval round them, and the interval alone.

``model.onnx`` answers everything from the features. ``interval.onnx`` adds the interval to a probability that
something else computed from the same trees (Triton's FIL backend on GPU servers).
Operators: ai.onnx.ml TreeEnsembleRegressor 3; the rest ai.onnx 17.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper

from models.win_probability.features import FEATURES
from models.win_probability.interval import Table

OUTPUTS = ("probability", "interval_low", "interval_high")
_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
_IR_VERSION = 8


def whole(booster: xgb.Booster, table: Table) -> bytes:
    """``model.onnx``: features (float32 [n, f]) in, ``OUTPUTS`` (float32 [n, 1] each) out."""
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["log_odds"], domain="ai.onnx.ml", **_trees(booster)
    )
    nodes, constants = _interval(table)
    said = helper.make_node("Sigmoid", ["log_odds"], ["probability"])
    return _model("win_probability", [trees, said, *nodes], constants, ["features"], OUTPUTS)


def interval(table: Table) -> bytes:
    """``interval.onnx``: features and trees (the probability, float32 [n, 1]) in, ``OUTPUTS`` out."""
    nodes, constants = _interval(table)
    constants += [_constant("almost_0", [1e-7]), _constant("almost_1", [1 - 1e-7]), _constant("one", [1.0])]
    odds = [
        helper.make_node("Identity", ["trees"], ["probability"]),
        helper.make_node("Max", ["trees", "almost_0"], ["not_0"]),
        helper.make_node("Min", ["not_0", "almost_1"], ["within"]),
        helper.make_node("Sub", ["one", "within"], ["against"]),
        helper.make_node("Div", ["within", "against"], ["odds"]),
        helper.make_node("Log", ["odds"], ["log_odds"]),
    ]
    return _model("win_probability_interval", [*odds, *nodes], constants, ["features", "trees"], OUTPUTS)


def _interval(table: Table) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The nodes from ``features`` and ``log_odds`` to the ends, which compute what ``Table.around`` does."""
    width = len(table.lead_edges) + 1
    constants = [
        _constant("clock_column", [FEATURES.index("clock_ms")], np.int64),
        _constant("phase_edges", [table.phase_edges_ms]),
        _constant("lead_edges", [table.lead_edges]),
        _constant("columns", [1], np.int64),
        _constant("width", [width], np.int64),
        _constant("half_widths", np.ravel(table.half_widths)),
    ]

    def step(operator: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [output], **attributes)

    nodes = [
        step("Gather", ["features", "clock_column"], "clock", axis=1),
        step("GreaterOrEqual", ["clock", "phase_edges"], "phases_begun"),
        step("Cast", ["phases_begun"], "phase_steps", to=TensorProto.INT64),
        step("ReduceSum", ["phase_steps", "columns"], "phase", keepdims=1),
        step("Abs", ["log_odds"], "lead"),
        step("GreaterOrEqual", ["lead", "lead_edges"], "leads_reached"),
        step("Cast", ["leads_reached"], "lead_steps", to=TensorProto.INT64),
        step("ReduceSum", ["lead_steps", "columns"], "decided", keepdims=1),
        step("Mul", ["phase", "width"], "row"),
        step("Add", ["row", "decided"], "cell"),
        step("Gather", ["half_widths", "cell"], "half", axis=0),
        step("Sub", ["log_odds", "half"], "low"),
        step("Add", ["log_odds", "half"], "high"),
        step("Sigmoid", ["low"], "interval_low"),
        step("Sigmoid", ["high"], "interval_high"),
    ]
    return nodes, constants


def _constant(name: str, values: Any, kind: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    inputs: list[str],
    outputs: tuple[str, ...],
) -> bytes:
    def tensor(tensor_name: str) -> onnx.ValueInfoProto:
        width = len(FEATURES) if tensor_name == "features" else 1
        return helper.make_tensor_value_info(tensor_name, TensorProto.FLOAT, ["n", width])

    graph = helper.make_graph(nodes, name, list(map(tensor, inputs)), list(map(tensor, outputs)), constants)
    model = helper.make_model(
        graph, opset_imports=_OPSETS, ir_version=_IR_VERSION, producer_name="riftstream"
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _trees(booster: xgb.Booster) -> dict[str, Any]:
    """The attributes of TreeEnsembleRegressor that say the same as the booster's trees, margin out.

    XGBoost sends x < split left and NaN where ``default_left`` says; a base score of 0.5 adds nothing.
    """
    model = json.loads(booster.save_raw("json"))["learner"]
    nodes: dict[str, list[Any]] = {
        key: []
        for key in ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    }
    nodes["missing_value_tracks_true"] = []
    targets: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(model["gradient_booster"]["model"]["trees"]):
        for node, left in enumerate(tree["left_children"]):
            leaf = left == -1
            nodes["treeids"].append(number)
            nodes["nodeids"].append(node)
            nodes["modes"].append("LEAF" if leaf else "BRANCH_LT")
            nodes["featureids"].append(0 if leaf else tree["split_indices"][node])
            nodes["values"].append(0.0 if leaf else tree["split_conditions"][node])
            nodes["truenodeids"].append(0 if leaf else left)
            nodes["falsenodeids"].append(0 if leaf else tree["right_children"][node])
            nodes["missing_value_tracks_true"].append(0 if leaf else int(tree["default_left"][node]))
            if leaf:
                targets["treeids"].append(number)
                targets["nodeids"].append(node)
                targets["ids"].append(0)
                targets["weights"].append(tree["split_conditions"][node])
    attributes = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in targets.items()}
    return attributes | {"n_targets": 1, "aggregate_function": "SUM", "post_transform": "NONE"}
