# SPDX-License-Identifier: Apache-2.0
"""Models of Hugging Face's transformers: the class that the checkpoint names, or its vision tower."""
import json
import pathlib

import torch

from vitrail import preprocessing
from vitrail.errors import BAD_USAGE, ExportError, first_line

# Models of pictures and text, and the part of them that sees.
TOWERS = {"CLIPModel": "CLIPVisionModelWithProjection", "SiglipModel": "SiglipVisionModel", "Siglip2Model": "Siglip2VisionModel",
          "ViTMAEForPreTraining": "ViTMAEModel", "Dinov2ForMaskedLM": "Dinov2Model"}


class MaeEncoder(torch.nn.Module):
    """ViTMAEModel as it is used after training: all patches, in their order. Left alone it sorts them by random numbers."""

    def __init__(self, mae):
        super().__init__()
        self.mae, self.config = mae, mae.config
        mae.embeddings.random_masking = lambda sequence, noise=None: (sequence, sequence.new_zeros(sequence.shape[:2]), None)

    def forward(self, pixel_values):
        return {"last_hidden_state": self.mae(pixel_values).last_hidden_state}


def load(transformers, name, checkpoint, img_size, random_weights):
    from vitrail.sources import Source, fill, no_weights, read_checkpoint, report_keys

    notes = []
    try:
        config = transformers.AutoConfig.from_pretrained(name)
    except Exception as error:
        raise no_weights(f"hf:{name}", error) from error
    wanted = (config.architectures or ["AutoModel"])[0]
    if wanted in TOWERS:
        notes.append(f"{wanted}: the vision tower {TOWERS[wanted]} is exported")
        wanted = TOWERS[wanted]
    if wanted.endswith(("VisionModel", "VisionModelWithProjection")) and hasattr(config, "vision_config"):
        config = config.vision_config
    cls = getattr(transformers, wanted, None)
    if cls is None:
        raise ExportError(f"hf:{name}: transformers {transformers.__version__} has no class {wanted}, which the checkpoint names", BAD_USAGE)
    if img_size:
        config.image_size = img_size
    if hasattr(config, "mask_ratio"):
        config.mask_ratio = 0.0
    if random_weights or checkpoint:
        module = cls(config) if wanted != "AutoModel" else transformers.AutoModel.from_config(config)
        if checkpoint:
            fill(module, read_checkpoint(checkpoint), checkpoint)
    else:
        try:
            module, info = cls.from_pretrained(name, config=config, output_loading_info=True, dtype=torch.float32)
        except Exception as error:
            raise no_weights(f"hf:{name}", error) from error
        shapes = [f"{k} {list(a)}, the module's {list(b)}" for k, a, b in info.get("mismatched_keys", [])]
        report_keys(f"hf:{name}", sorted(info["missing_keys"]), [], shapes, [])
    if wanted == "ViTMAEModel":
        module = MaeEncoder(module)
    image = getattr(module.config, "image_size", None) or 224
    height, width = image if isinstance(image, (list, tuple)) else (image, image)
    prepared = preprocess(transformers, name, notes)
    if prepared and img_size:
        prepared.update(height=img_size, width=img_size)
    return Source(module, torch.zeros(2, getattr(module.config, "num_channels", 3), height, width), prepared, labels(module), notes)


def preprocess(transformers, name, notes):
    """The contract of preprocessor_config.json; None with a note when there is none or Vitrail cannot follow it."""
    local = pathlib.Path(name) / "preprocessor_config.json"
    try:
        if pathlib.Path(name).is_dir():
            config = json.loads(local.read_text())
        else:
            from huggingface_hub import hf_hub_download

            config = json.loads(pathlib.Path(hf_hub_download(name, "preprocessor_config.json")).read_text())
        return preprocessing.from_huggingface(config)
    except ExportError as error:
        notes.append(f"no preprocessing travels with the model: {error}")
    except Exception as error:
        notes.append(f"no preprocessing travels with the model: preprocessor_config.json cannot be had ({first_line(error)})")
    return None


def labels(module):
    """Of config.id2label; None for the names LABEL_0, LABEL_1 … that stand where there are none."""
    if not type(module).__name__.endswith("ForImageClassification"):
        return None
    names = [module.config.id2label[i] for i in sorted(module.config.id2label)]
    return None if all(n == f"LABEL_{i}" for i, n in enumerate(names)) else names
