# SPDX-License-Identifier: Apache-2.0
"""Where modules come from: timm:NAME, hf:NAME_OR_DIR, torchvision:NAME, file.py:factory."""
import dataclasses
import importlib.util
import pathlib
import re
import traceback

import torch

from vitrail import preprocessing
from vitrail.errors import BAD_USAGE, UNAVAILABLE, ExportError, first_line


@dataclasses.dataclass
class Source:
    module: torch.nn.Module
    example: object  # a tensor or a tuple of them, the batch in front
    preprocess: dict | None = None
    labels: list | None = None
    notes: list = dataclasses.field(default_factory=list)


def load(text, checkpoint=None, img_size=None, random_weights=False):
    """The source that the text names. ExportError (usage, missing package, missing weights) says what to give instead."""
    kind, _, name = text.partition(":")
    loaders = {"timm": from_timm, "hf": from_huggingface, "torchvision": from_torchvision}
    torch.manual_seed(0)
    if kind in loaders and name:
        return loaders[kind](name, checkpoint, img_size, random_weights)
    file, _, factory = text.rpartition(":")
    if file.endswith(".py") and factory:
        return from_file(file, factory, checkpoint, img_size)
    raise ExportError(f"'{text}' is no model: write timm:NAME, hf:NAME_OR_DIR, torchvision:NAME or file.py:factory", BAD_USAGE)


def from_timm(name, checkpoint, img_size, random_weights):
    timm = package("timm")
    options = {} if img_size is None else {"img_size": img_size}
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0][:12]}*")[:5]
        raise ExportError(f"timm has no model '{name}'{'; it has ' + ', '.join(close) if close else ''}", BAD_USAGE)
    try:
        module = timm.create_model(name, pretrained=not (checkpoint or random_weights), **options)
    except TypeError as error:
        raise ExportError(f"timm:{name} cannot be built with {options}: {first_line(error)}. Leave --img-size out") from error
    except Exception as error:  # hubs raise many types
        raise no_weights(f"timm:{name}", error) from error
    if checkpoint:
        from timm.models import load_state_dict

        weights = read_checkpoint(checkpoint, lambda: load_state_dict(checkpoint, weights_only=True))
        filters = getattr(__import__(type(module).__module__, fromlist=["x"]), "checkpoint_filter_fn", None)
        fill(module, filters(weights, module) if filters else weights, checkpoint)
    from timm.data import infer_imagenet_subset, resolve_model_data_config, ImageNetInfo

    config = resolve_model_data_config(module, args=options)
    labels = module.pretrained_cfg.get("label_names")
    if labels is None and getattr(module, "num_classes", 0) == module.pretrained_cfg.get("num_classes"):
        subset = infer_imagenet_subset(module)
        labels = ImageNetInfo(subset).label_descriptions() if subset else None
    return Source(module, torch.zeros(2, *config["input_size"]), preprocessing.from_timm(config), labels and list(labels))


def from_torchvision(name, checkpoint, img_size, random_weights):
    models = package("torchvision").models
    if name not in models.list_models():
        raise ExportError(f"torchvision has no model '{name}'; it has {', '.join(n for n in models.list_models() if n[:4] in ('vit_', 'swin', 'maxv'))} "
                          "and others", BAD_USAGE)
    weights = models.get_model_weights(name).DEFAULT
    options = {"image_size": img_size} if img_size and name.startswith("vit") else {"input_size": (img_size, img_size)} if img_size else {}
    try:
        module = models.get_model(name, weights=None if checkpoint or random_weights else weights, **options)
    except (TypeError, ValueError) as error:
        raise ExportError(f"torchvision:{name} cannot be built with {options}: {first_line(error)}. Leave --img-size out") from error
    except Exception as error:
        raise no_weights(f"torchvision:{name}", error) from error
    if checkpoint:
        fill(module, read_checkpoint(checkpoint), checkpoint)
    preset = weights.transforms()
    prepared = preprocessing.from_torchvision(preset)
    if img_size:
        prepared.update(height=img_size, width=img_size)
    return Source(module, torch.zeros(2, 3, prepared["height"], prepared["width"]), prepared, list(weights.meta["categories"]))


def from_huggingface(name, checkpoint, img_size, random_weights):
    from vitrail.huggingface import load as load_huggingface

    return load_huggingface(package("transformers"), name, checkpoint, img_size, random_weights)


def from_file(path, factory, checkpoint, img_size):
    """factory() gives a module, (module, example) or a dict with module, example and perhaps preprocess and labels."""
    spec = importlib.util.spec_from_file_location("vitrail_user_model", path)
    if not pathlib.Path(path).is_file():
        raise ExportError(f"{path}: there is no such file", BAD_USAGE)
    code = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(code)
        made = getattr(code, factory)()
    except Exception as error:  # the user's code
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == path), None)
        raise ExportError(f"{path}{f':{line}' if line else ''}: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(made, dict):
        made = {"module": made} if isinstance(made, torch.nn.Module) else dict(zip(("module", "example"), made))
    module = made.get("module")
    if not isinstance(module, torch.nn.Module):
        raise ExportError(f"{path}: {factory}() gives {type(module).__name__}; it must give a torch.nn.Module, (module, example) or a dict with "
                          "'module', 'example' and perhaps 'preprocess' and 'labels'")
    if checkpoint:
        fill(module, read_checkpoint(checkpoint), checkpoint)
    size, prepared = img_size or 224, made.get("preprocess")
    if prepared and not img_size:
        example = made.get("example", torch.zeros(2, 3, prepared["height"], prepared["width"]))
    else:
        example = made.get("example", torch.zeros(2, 3, size, size))
    notes = [] if "example" in made or prepared else [f"{factory}() gives no example: taken as [N,3,{size},{size}]"]
    return Source(module, example, prepared, made.get("labels"), notes)


def package(name):
    try:
        return __import__(name)
    except ImportError as error:
        raise ExportError(f"this source needs the Python package {name}, which is not here ({first_line(error)}): python3 -m pip install {name}",
                          UNAVAILABLE) from error


def no_weights(what, error):
    return ExportError(f"{what}: its weights cannot be had ({type(error).__name__}: {first_line(error)}). Give --checkpoint FILE, or "
                       "--random-weights to try the export without them", UNAVAILABLE)


def read_checkpoint(path, read=None):
    """The state dict of a .pth, .pt, .bin or .safetensors file; one under "state_dict", "model" or "teacher" is taken out."""
    if not pathlib.Path(path).is_file():
        raise ExportError(f"--checkpoint {path}: there is no such file", BAD_USAGE)
    try:
        if read is not None:
            return read()
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors raise many types
        raise ExportError(f"--checkpoint {path}: cannot be read as weights: {first_line(error)}") from error
    for key in ("state_dict", "model", "teacher"):
        if isinstance(weights, dict) and isinstance(weights.get(key), dict):
            weights = weights[key]
    if not isinstance(weights, dict) or not all(isinstance(t, torch.Tensor) for t in weights.values()):
        raise ExportError(f"--checkpoint {path}: holds no state dict; save it with torch.save(module.state_dict(), …)")
    return {re.sub(r"^(module|_orig_mod)\.", "", k): t for k, t in weights.items()}


def fill(module, weights, path):
    """Loads weights, all of them: a key that is missing, unknown or of another shape is an error that lists them."""
    own = module.state_dict()
    missing = [k for k in own if k not in weights]
    unknown = [k for k in weights if k not in own]
    shapes = [f"{k} {list(weights[k].shape)}, the module's {list(own[k].shape)}" for k in own if k in weights and weights[k].shape != own[k].shape]
    report_keys(f"--checkpoint {path}", missing, unknown, shapes, list(weights))
    module.load_state_dict(weights)


def report_keys(what, missing, unknown, shapes, known):
    if not (missing or unknown or shapes):
        return
    def listed(title, names):
        more = f"\n    … and {len(names) - 20} more" if len(names) > 20 else ""
        return f"\n  {title}:\n    " + "\n    ".join(names[:20]) + more if names else ""

    hint = "it belongs to another architecture, or its keys carry other names" if len(missing) > 3 else "weights of a head or a size that this module does not have"
    first = f" (its first keys: {', '.join(known[:3])})" if missing and known else ""
    raise ExportError(f"{what} does not fit the module: {hint}{first}. Give the name and options with which it was trained."
                      + listed("missing", missing) + listed("not in the module", unknown) + listed("of another shape", shapes))
