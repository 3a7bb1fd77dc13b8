#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX's headers come with its SDK alone, its libraries are on PyPI as well (tensorrt-rtx-cu13-libs). This turns
the public headers of TensorRT 11.1 (github.com/NVIDIA/TensorRT, branch release/11.1) into ones that fit the libraries of
RTX 1.7: its interfaces lack a few functions and have the setter for another GPU, as the names in its vtables show. Only
what libvitrail_tensorrt.so calls has been checked.

    scripts/rtx_headers.py FOLDER     # changes FOLDER/NvInfer.h and FOLDER/NvInferImpl.h in place
"""
import pathlib
import re
import sys

ABSENT = {
    "NetworkDefinition": ["addPluginV2", "addPluginV3"],
    "BuilderConfig": ["setRemoteAutoTuningConfig", "getRemoteAutoTuningConfig"],
    "Tensor": ["setBroadcastAcrossBatch", "getBroadcastAcrossBatch", "getLocation", "setLocation"],
}
# In front of VBuilderConfig::setBuildRoute, in this order.
ADDED = [
    ("bool", "setNbComputeCapabilities", "int32_t count", "", "count"),
    ("int32_t", "getNbComputeCapabilities", "", " const", ""),
    ("bool", "setComputeCapability", "ComputeCapability capability, int32_t index", "", "capability, index"),
    ("ComputeCapability", "getComputeCapability", "int32_t index", " const", "index"),
]
ENUM = """
enum class ComputeCapability : int32_t
{
    kNONE = 0,
    kCURRENT = 1,
    kSM75 = 75,
    kSM80 = 80,
    kSM86 = 86,
    kSM89 = 89,
    kSM120 = 120,
};
"""


def body(text: str, name: str) -> tuple[int, int]:
    """Where the body of a class begins and ends."""
    start = re.search(rf"\nclass {name}\b[^;{{]*\{{", text)
    if not start:
        sys.exit(f"no class {name}: these are not the headers of TensorRT 11.1")
    return start.end(), text.index("\n};", start.end())


def without_virtual(text: str, cls: str, method: str) -> str:
    start, end = body(text, "V" + cls)
    cut, count = re.subn(rf"\n[^\n;]*virtual[^;]*?\b{method}\([^;]*;", "", text[start:end], count=1)
    if not count:
        sys.exit(f"V{cls} has no {method}")
    return text[:start] + cut + text[end:]


def without_method(text: str, cls: str, method: str) -> str:
    start, end = body(text, "I" + cls)
    # Up to the brace that closes the inline function.
    cut = re.sub(rf"\n    [^\n(]*\b{method}\([^{{;]*\{{.*?\n    \}}", "", text[start:end], count=1, flags=re.S)
    return text[:start] + cut + text[end:]


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    public, impl = folder / "NvInfer.h", folder / "NvInferImpl.h"
    texts = {public: public.read_text(), impl: impl.read_text()}
    for cls, methods in ABSENT.items():
        for method in methods:
            texts[impl] = without_virtual(texts[impl], cls, method)
            texts[public] = without_method(texts[public], cls, method)
    virtuals = "".join(f"    virtual {r} {n}({a}){c} noexcept = 0;\n" for r, n, a, c, _ in ADDED)
    start, end = body(texts[impl], "VBuilderConfig")
    at = texts[impl].index("    virtual bool setBuildRoute", start, end)
    texts[impl] = texts[impl][:at] + virtuals + texts[impl][at:]
    texts[impl] = texts[impl].replace("\nnamespace apiv", ENUM + "\nnamespace apiv", 1)
    methods = "".join(f"\n    {r} {n}({a}){c} noexcept\n    {{\n        return mImpl->{n}({p});\n    }}\n"
                      for r, n, a, c, p in ADDED)
    start, end = body(texts[public], "IBuilderConfig")
    at = texts[public].rindex("\nprotected:", start, end)
    texts[public] = texts[public][:at] + methods + texts[public][at:]
    for path, text in texts.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
