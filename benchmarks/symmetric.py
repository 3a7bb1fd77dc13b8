#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the tensorrt backend makes of uint8 ranges with a zero point, as a Q/DQ model: int8 around zero, in the symmetric range that
holds the old one (src/backends/tensorrt/module/layers_quantized.cpp). `vitrail compare` then tells what that costs.

    symmetric.py Q.onnx SYMMETRIC.onnx
"""
import statistics
import sys

import numpy
import onnx
from onnx import numpy_helper


def main(source: str, target: str) -> None:
    model = onnx.load(source)
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made, factors = {}, []
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3 or known[node.input[2]].dtype != numpy.uint8:
            continue
        pair = tuple(node.input[1:3])
        if pair not in made:
            scale, zero = known[pair[0]], known[pair[1]].astype(numpy.int64)
            factor = (numpy.maximum(zero, 255 - zero) / 127).astype(numpy.float32)
            made[pair] = f"symmetric.scale.{len(made)}", f"symmetric.zero.{len(made)}"
            model.graph.initializer.append(numpy_helper.from_array(numpy.asarray(scale * factor, numpy.float32), made[pair][0]))
            model.graph.initializer.append(numpy_helper.from_array(numpy.zeros(zero.shape, numpy.int8), made[pair][1]))
            factors.append(float(factor.max()))
        node.input[1], node.input[2] = made[pair]
    # What is written down of their types no longer holds.
    del model.graph.value_info[:]
    onnx.save(model, target)
    print(f"{len(factors)} ranges; the step grew by {statistics.median(factors):.2f}× at the median, {max(factors):.2f}× at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
