"""An int8 ONNX model of the backbone, and what it costs: the macro F1 that a linear head loses on labelled windows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import assign_folds
from train.evaluate.rows.features import BATCH, extract
from train.evaluate.rows.linear import predict_fold
from train.evaluate.scores.metrics import confusion, macro_f1, paired
from train.evaluate.workers import workers
from train.export.shapes import INPUT, Run, Written, onnx_run, quietly
from train.networks import Encoder

CALIBRATION_WINDOWS, CALIBRATION_BATCH = 256, 32
PERCENTILE = 99.99
FOLDS, SEED = 5, 0


def write_int8(onnx: Path, data: LabelledSet | None, file: Path) -> Written:
    """Write an ONNX model with int8 weights, of one in float32.

    With labelled windows, inputs of convolutions and products are int8 as well, in ranges that some of the windows have
    set; their labels are not used. One value in 10,000 lies beyond its range and is clipped, and the first convolution
    stays float32: so a small backbone lost 0.002 of macro F1 on WISDM, but 0.014 without the clipping, 0.011 with all
    convolutions in int8, and 0.026 with both. Weights have seven bits: on processors without VNNI, sums of eight would
    overflow. Without windows, ranges are found at run time, which is no faster than float32 on most processors.
    """
    import onnx as models
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quietly(), redirect_stdout(StringIO()):
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(onnx, folded, skip_symbolic_shape=True)
        if data is None:
            quantize_dynamic(folded, file, weight_type=QuantType.QUInt8)
        else:
            quantize_static(
                folded,
                file,
                _Calibration(data),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=["Conv", "MatMul", "Gemm"],
                nodes_to_exclude=[next(node.name for node in models.load(folded).graph.node if node.op_type == "Conv")],
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": PERCENTILE},
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
    return Written(file.name, onnx_run(file))


class _Calibration:
    """Some windows of a labelled set, in batches, as onnxruntime asks for them."""

    def __init__(self, data: LabelledSet) -> None:
        drawn = np.random.default_rng(SEED).permutation(len(data.x_NCT))[:CALIBRATION_WINDOWS]
        size = min(CALIBRATION_BATCH, len(drawn))
        drawn = drawn[: len(drawn) // size * size]  # onnxruntime takes batches of one size only
        self._batches: Iterator[NDArray[np.float32]] = iter(
            [data.x_NCT[drawn[first : first + size]] for first in range(0, len(drawn), size)]
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch by the name of the input."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def macro_f1_lost(backbone: Encoder, int8: Run, data: LabelledSet) -> dict[str, Any]:
    """Return macro F1 of both, and the loss with its 95% interval over people.

    A linear head is fitted to the backbone's features in folds by person, and tested on features of either.
    """
    fold_N = assign_folds(data.y_N, data.person_N, min(FOLDS, len(data.people)), SEED)
    found_N, int8_N = np.empty_like(data.y_N), np.empty_like(data.y_N)
    with workers() as pool:
        features_NF = extract(backbone, data.x_NCT, pool)
        int8_NF = _features(int8, data.x_NCT)
        for fold in range(fold_N.max() + 1):
            test = np.flatnonzero(fold_N == fold)
            found_N[test], head = predict_fold([features_NF], data, test, SEED)
            int8_N[test] = head.predict(int8_NF[test])
    own = [np.flatnonzero(data.person_N == person) for person in range(len(data.people))]
    scores = [
        np.array([macro_f1(confusion(data.y_N[each], predicted[each], len(data.classes))) for each in own])
        for predicted in (found_N, int8_N)
    ]
    compared = paired(scores[0], scores[1][None])
    return {
        "people": compared.people,
        "windows": len(data.y_N),
        "macro F1 float32": compared.mean[0],
        "macro F1 int8": compared.mean[1],
        "macro F1 lost": compared.difference,
        "macro F1 lost low": compared.low,
        "macro F1 lost high": compared.high,
    }


def _features(run: Run, x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = (run(torch.from_numpy(x_NCT[first : first + BATCH])) for first in range(0, len(x_NCT), BATCH))
    return np.concatenate([part.flatten(1).numpy() for part in parts])
