#!/usr/bin/env python3
"""Fails when a folder of src/ includes one that does not stand to its left (docs/design.md), or a public header one
that is not public."""
import pathlib
import re
import sys

# What each folder may include besides itself and include/vitrail.
ALLOWED = {
    "core": set(),
    "graph": {"core"},
    "preprocess": {"core"},
    "import": {"core", "graph"},
    "passes": {"core", "graph"},
    "engine": {"core", "graph", "preprocess"},
    "quant": {"core", "graph", "import", "passes", "engine"},
    "runtime": {"core", "graph", "preprocess", "engine"},
    "backends/reference": {"core", "graph", "engine", "runtime"},
    "backends/cpu": {"core", "graph", "engine", "runtime", "backends/reference"},
    "backends/cuda": {"core", "graph", "passes", "engine", "runtime", "backends/reference", "backends/cpu"},
    "backends/tensorrt": {"core", "graph", "engine", "runtime", "backends/cuda"},
    "verify": {"core", "graph", "engine", "runtime"},
    "bench": {"core", "graph", "engine", "runtime"},
    "report": {"core", "engine", "runtime"},
    "client": {"core"},
    "serve": {"core", "graph", "preprocess", "engine", "runtime", "client"},
}
# Stand on everything but each other's left.
ALLOWED["api"] = set(ALLOWED) - {"client", "import", "passes", "quant", "verify", "bench", "report", "serve"}
ALLOWED["workflow"] = set(ALLOWED)
ALLOWED["cli"] = set(ALLOWED)

INCLUDE = re.compile(r'^\s*#include\s+"([^"]+)"', re.M)


def folder_of(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "backends" else parts[0]


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    faults, files = [], 0
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cpp", ".def", ".cu", ".cuh"}:
            continue
        files += 1
        folder = folder_of(path.relative_to(root / "src").as_posix())
        for included in INCLUDE.findall(path.read_text()):
            target = folder_of(included)
            if "/" not in included or target in {"vitrail", "onnx", folder}:
                continue
            if folder not in ALLOWED or target not in ALLOWED[folder]:
                faults.append(f"{path.relative_to(root)}: {folder} may not include {included}")
    for path in sorted((root / "include").rglob("*.h")):
        files += 1
        for included in INCLUDE.findall(path.read_text()):
            if not included.startswith("vitrail/"):
                faults.append(f"{path.relative_to(root)}: a public header may not include {included}")
    print("\n".join(faults) if faults else f"layers: {files} files hold the order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
