"""``model.onnx`` of ``player_props``: from the features to mean and dispersion of what is still to come.

The trees run once over rows as if the player's team lost and rows as if it won; calibration, champions and
patch are in the graph, so one run of one file answers everything. ``fit.predict`` computes the same.
"""

from __future__ import annotations

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto, helper

from models.onnx_graph import constant, model, node, trees
from models.player_props.contract import COUNTED, MODEL, NAMES, OFFSETS, OUTCOMES, OUTPUTS, WIN
from models.player_props.fit import Calibration


def whole(boosters: dict[str, xgb.Booster], calibration: Calibration) -> bytes:
    """``model.onnx``: features (float32 [n, f]) in, ``contract.OUTPUTS`` (float32 [n, 2] each) out."""
    clock = NAMES.index("clock_minutes")
    constants = [
        constant("is_win", [[place == WIN for place in range(len(NAMES))]], np.bool_),
        constant("nothing", [0.0]),
        constant("columns", [1], np.int64),
        constant("clock_column", clock, np.int64),
        constant("phase_edges", [calibration.phases]),
        *(constant(name, [float(outcome)]) for outcome, name in enumerate(OUTCOMES)),
    ]
    nodes = [
        *(node("Where", ["is_win", name, "features"], f"if_{name}") for name in OUTCOMES),
        node("Concat", [f"if_{name}" for name in OUTCOMES], "if_either", axis=0),
        node("IsNaN", ["features"], "unknown"),
        node("Where", ["unknown", "nothing", "features"], "known"),
        node("Gather", ["features", "clock_column"], "clock", axis=1),
        node("Unsqueeze", ["clock", "columns"], "clocks"),
        node("GreaterOrEqual", ["clocks", "phase_edges"], "phases_begun"),
        node("Cast", ["phases_begun"], "phase_steps", to=TensorProto.INT64),
        node("ReduceSum", ["phase_steps", "columns"], "phase", keepdims=0),
    ]
    for stat in COUNTED:
        more, held = _stat(stat, boosters[stat], calibration)
        nodes += more
        constants += held
    widths = dict.fromkeys(OUTPUTS, len(OUTCOMES))
    return model(MODEL, nodes, constants, {"features": len(NAMES)}, widths)


def _stat(
    stat: str, booster: xgb.Booster, calibration: Calibration
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    constants = [
        constant(f"{stat}_offset_columns", [NAMES.index(name) for name in OFFSETS[stat]], np.int64),
        constant(f"{stat}_shifts", calibration.shift[stat]),
        constant(f"{stat}_slopes", calibration.slope[stat]),
        constant(f"{stat}_dispersions", calibration.dispersion[stat]),
    ]
    nodes = [
        trees(booster, "if_either", f"{stat}_if_either"),
        helper.make_node("Split", [f"{stat}_if_either"], [f"{stat}_if_{name}" for name in OUTCOMES], axis=0),
        node("Concat", [f"{stat}_if_{name}" for name in OUTCOMES], f"{stat}_trees", axis=1),
        node("Gather", ["known", f"{stat}_offset_columns"], f"{stat}_offsets", axis=1),
        node("ReduceSum", [f"{stat}_offsets", "columns"], f"{stat}_offset", keepdims=1),
        node("Gather", [f"{stat}_shifts", "phase"], f"{stat}_shift", axis=0),
        node("Gather", [f"{stat}_slopes", "phase"], f"{stat}_slope", axis=0),
        node("Add", [f"{stat}_trees", f"{stat}_offset"], f"{stat}_uncalibrated"),
        node("Mul", [f"{stat}_uncalibrated", f"{stat}_slope"], f"{stat}_scaled"),
        node("Add", [f"{stat}_scaled", f"{stat}_shift"], f"{stat}_log_mean"),
        node("Exp", [f"{stat}_log_mean"], f"{stat}_mean"),
        node("Gather", [f"{stat}_dispersions", "phase"], f"{stat}_dispersion", axis=0),
    ]
    return nodes, constants
