"""Parts of ONNX files that several models are made of: boosted trees, constants, a checked model.

Operators: ai.onnx.ml TreeEnsembleRegressor 3; the rest ai.onnx 17.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper

_OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
_IR_VERSION = 8


def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """A node with one output."""
    return helper.make_node(operator, inputs, [output], **attributes)


def constant(name: str, values: Any, kind: Any = np.float32) -> onnx.TensorProto:
    """A constant of the graph."""
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def trees(booster: xgb.Booster, features: str, output: str) -> onnx.NodeProto:
    """The node that says the same as a booster's trees: features (float32 [n, f]) in, margin [n, 1] out."""
    return helper.make_node(
        "TreeEnsembleRegressor", [features], [output], domain="ai.onnx.ml", **_attributes(booster)
    )


def tensor(name: str, width: int, rows: str = "n") -> onnx.ValueInfoProto:
    """An input or output: float32, shape [n, width]."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width])


def model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    inputs: Mapping[str, int],
    outputs: Mapping[str, int],
) -> bytes:
    """The file of a graph, checked; the same graph gives the same bytes.

    Args:
        name: Name of the graph.
        nodes: Its nodes, in an order in which they can run.
        constants: Its constants.
        inputs: Width of each input, by name; one of the name of a constant may be left out.
        outputs: Width of each output, by name.
    """
    defaults = {one.name for one in constants}
    # A default has one row, whatever the number of rows of the other inputs.
    told = [tensor(*pair, rows="m" if pair[0] in defaults else "n") for pair in inputs.items()]
    asked = [tensor(*pair) for pair in outputs.items()]
    graph = helper.make_graph(list(nodes), name, told, asked, list(constants))
    made = helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION, producer_name="riftstream")
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString(deterministic=True))


def _attributes(booster: xgb.Booster) -> dict[str, Any]:
    """The attributes of TreeEnsembleRegressor that say the same as the booster's trees, margin out.

    XGBoost sends x < split left and NaN where ``default_left`` says; the base score must add nothing.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    nodes: dict[str, list[Any]] = {
        key: []
        for key in ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    }
    nodes["missing_value_tracks_true"] = []
    targets: dict[str, list[Any]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        for place, left in enumerate(tree["left_children"]):
            leaf = left == -1
            nodes["treeids"].append(number)
            nodes["nodeids"].append(place)
            nodes["modes"].append("LEAF" if leaf else "BRANCH_LT")
            nodes["featureids"].append(0 if leaf else tree["split_indices"][place])
            nodes["values"].append(0.0 if leaf else tree["split_conditions"][place])
            nodes["truenodeids"].append(0 if leaf else left)
            nodes["falsenodeids"].append(0 if leaf else tree["right_children"][place])
            nodes["missing_value_tracks_true"].append(0 if leaf else int(tree["default_left"][place]))
            if leaf:
                targets["treeids"].append(number)
                targets["nodeids"].append(place)
                targets["ids"].append(0)
                targets["weights"].append(tree["split_conditions"][place])
    attributes = {f"nodes_{key}": values for key, values in nodes.items()}
    attributes |= {f"target_{key}": values for key, values in targets.items()}
    return attributes | {"n_targets": 1, "aggregate_function": "SUM", "post_transform": "NONE"}
