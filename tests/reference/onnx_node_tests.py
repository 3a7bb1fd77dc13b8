# SPDX-License-Identifier: Apache-2.0
"""Writes the backend node tests of the installed onnx package, those whose operators are all Vitrail's, to a folder.

usage: onnx_node_tests.py OPS_DEF RESTATED_DEF FOLDER

One folder a test, as onnx's own generator lays them out: model.onnx, test_data_set_0/{input,output}_N.pb, and a file
`tolerance` with rtol and atol; operators.txt names the operators. Tests in an opset beyond 23 are restated in 23 where the checker finds that they mean
the same there. FOLDER/left_out.txt names the rest. Does nothing when FOLDER is complete for
these operators already.
"""
import pathlib
import re
import shutil
import sys

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

NEWEST_OPSET = 23


def restate(model):
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > NEWEST_OPSET:
            opset.version = NEWEST_OPSET
            model.ir_version = min(model.ir_version, 11)
            onnx.checker.check_model(model, full_check=True)
    return model


def tensor_bytes(array, name):
    proto = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(array, name)
    proto.name = name
    return proto.SerializeToString()


def write(case, folder):
    model = restate(case.model)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    inputs, outputs = case.data_sets[0]
    for kind, arrays, infos in (("input", inputs, model.graph.input), ("output", outputs, model.graph.output)):
        for i, (array, info) in enumerate(zip(arrays, infos)):
            (data / f"{kind}_{i}.pb").write_bytes(tensor_bytes(array, info.name))
    (folder / "tolerance").write_text(f"{case.rtol} {case.atol}\n")
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def main():
    ops_def, restated_def, folder = map(pathlib.Path, sys.argv[1:])
    done = folder / "left_out.txt"
    quantized = ops_def.parents[1] / "import/onnx/quantized_operators.cpp"  # operators of ONNX that the import takes apart
    ours = {*re.findall(r"VTL_OP\((\w+),", ops_def.read_text()), *re.findall(r"VTL_RESTATED\((\w+),", restated_def.read_text()),
            *re.findall(r'\{kOnnx, "(\w+)"', quantized.read_text())}
    operators, names = folder / "operators.txt", "\n".join(sorted(ours)) + "\n"
    if done.exists() and operators.exists() and operators.read_text() == names:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    left_out = []
    for case in load_model_tests(kind="node"):
        foreign = sorted({n.op_type for n in case.model.graph.node if n.op_type not in ours or n.domain not in ("", "ai.onnx")})
        if foreign:
            left_out.append(f"{case.name}: {' '.join(foreign)}")
            continue
        try:
            write(case, folder / case.name)
        except Exception as error:  # onnx's checker and converter raise many types
            shutil.rmtree(folder / case.name, ignore_errors=True)
            left_out.append(f"{case.name}: {str(error).splitlines()[0]}")
    operators.write_text(names)
    done.write_text("\n".join(left_out) + "\n")


if __name__ == "__main__":
    main()
