#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exports tiny Vision Transformers with random weights for the tests.

usage: export_timm.py FOLDER [--families] [--check] [--only TEXT]

Writes FOLDER/NAME.onnx and FOLDER/NAME.npz for every variant of timm_variants.py, by both of PyTorch's exporters:
`ts17` (TorchScript, opset 17) and `dyn20` (dynamo, opset 20). The batch is dynamic and was 2 while tracing; the .npz
holds inputs and PyTorch's outputs at batch 1 and 3: x1, y1, x3, y3 (float32). With --families, FOLDER/families has the
same of families.py, by `vitrail.export`, with an array y1.OUTPUT for each output. Ends with the operators used over all
models. A folder that these scripts filled with the same variants and versions of torch and timm is left as it is. Needs
torch, timm, onnx and onnxscript (transformers and torchvision for the families); --check also compares with onnxruntime.
"""

import argparse
import collections
import fcntl
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / 'python'


def stamp(*scripts, packages):
    """What the exports depend on; found out without the seconds that importing torch takes."""
    text = b''.join(script.read_bytes() for script in scripts)
    versions = {name: importlib.metadata.version(name) for name in ('torch', 'timm', 'onnx', 'onnxscript', *packages)}
    return {'script': hashlib.sha256(text).hexdigest(), **versions}


def export_variants(folder, only):
    import timm_variants as variants

    for name, variant, exporter, fused in variants.jobs():
        if only in name:
            model = variants.build(variant, fused)
            variants.export(model, str(folder / f'{name}.onnx'), exporter)
            variants.write_data(model, folder / f'{name}.npz')


def export_family(folder, name, family, exporter):
    """A family that cannot be exported leaves NAME.failed, which its test shows."""
    import families
    import torch

    torch.set_num_threads(1)
    try:
        families.export(family, exporter, folder / f'{name}.onnx')
    except Exception:
        (folder / f'{name}.failed').write_text(traceback.format_exc())


def export_families(folder, only):
    """One process a core, forked when PyTorch has been imported and before it has made threads."""
    sys.path.insert(0, str(PACKAGE))
    import families

    jobs = [(folder, *job) for job in families.jobs() if only in job[0]]
    with multiprocessing.get_context('fork').Pool(min(4, os.cpu_count())) as pool:
        pool.starmap(export_family, jobs, chunksize=1)


def fill(folder, key, export, only):
    """Makes the folder's exports anew unless its stamp says that they are of today; gives the operators that they use."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp_file = folder / 'stamp.json'
    with open(folder / 'lock', 'w') as lock:  # tests of several programs may ask at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(stamp_file.read_text()) if stamp_file.exists() else {}
        if known.get('stamp') != key:
            stamp_file.unlink(missing_ok=True)
            if not only:
                for pattern in ('*.onnx', '*.onnx.data', '*.npz', '*.failed'):
                    for old in folder.glob(pattern):
                        old.unlink()
            export(folder, only)
            known = {'stamp': key, 'operators': operators(folder)}
            if not only:
                stamp_file.write_text(json.dumps(known))
    return known['operators']


def check(folder, name):
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / f'{name}.onnx', providers=['CPUExecutionProvider'])
    data = np.load(folder / f'{name}.npz')
    for batch in (1, 3):
        y = session.run(None, {'input': data[f'x{batch}']})[0]
        error = np.abs(y - data[f'y{batch}']).max()
        if not error < 1e-4 * max(1.0, np.abs(y).max()):
            raise SystemExit(f'{name}, batch {batch}: onnxruntime differs from torch by {error}')


def operators(folder):
    import onnx

    counts = collections.Counter()
    for path in sorted(folder.glob('*.onnx')):
        model = onnx.load(path, load_external_data=False)
        counts.update(n.op_type if not n.domain else f'{n.domain}::{n.op_type}' for n in model.graph.node)
        counts.update(f'{n.domain}::{n.op_type} (in function {f.name})' for f in model.functions for n in f.node)
    return dict(sorted(counts.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--families', action='store_true')
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--only', default='', help='export only names that contain this (leaves no stamp)')
    arguments = parser.parse_args()
    folder, only = arguments.folder, arguments.only
    used = collections.Counter(fill(folder, stamp(HERE / 'timm_variants.py', packages=()), export_variants, only))
    if arguments.check:
        for path in sorted(folder.glob('*.onnx')):
            if only in path.stem:
                check(folder, path.stem)
    if arguments.families:
        package = sorted((PACKAGE / 'vitrail').glob('*.py'))
        key = stamp(HERE / 'families.py', *package, packages=('transformers', 'torchvision', 'onnxruntime'))
        used.update(fill(folder / 'families', key, export_families, only))
    print('operators:', ', '.join(f'{op} {count}' for op, count in sorted(used.items())))


if __name__ == '__main__':
    main()
