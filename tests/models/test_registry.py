from __future__ import annotations

import functools
import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything import sam_model_registry

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.registry import MODELS, build_sam
from napari_infosam.models.weights import PUBLISHED, RemoteFile
from napari_infosam.resources import resource_path


@pytest.fixture(scope="module")
def bundled():
    return load_file(resource_path("mobile_sam.safetensors"))


@pytest.fixture
def saved(tmp_path):
    def save(state):
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
        return path

    return save


def assert_holds(sam, state):
    loaded = sam.state_dict()
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(loaded[key], value), key


def test_bundled_model_needs_only_its_name(bundled):
    sam, name = build_sam("vit_t")
    assert name == "vit_t"
    assert not any(module.training for module in sam.modules())
    assert {p.device.type for p in sam.parameters()} == {"cpu"}
    assert_holds(sam, bundled)


def test_table_describes_the_bundled_file():
    entry = MODELS["vit_t"]
    content = resource_path(entry.file).read_bytes()
    assert len(content) == entry.size
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert json.loads(resource_path("mobile_sam.json").read_text())["model"].startswith(
        entry.title
    )


def test_table_names_the_downloads():
    assert list(MODELS) == ["vit_t", "vit_b", "vit_l", "vit_h"]
    for name, remote in PUBLISHED.items():
        entry = MODELS[name]
        assert (entry.name, entry.file, entry.bundled) == (name, remote.name, False)
        assert entry.licence == "Apache-2.0"


def test_a_path_is_known_by_its_absolute_path(saved, bundled, monkeypatch):
    path = saved(bundled)
    monkeypatch.chdir(path.parent)
    sam, name = build_sam(path.name)
    assert name == str(path.resolve())
    assert_holds(sam, bundled)


def test_published_mobile_sam_is_recognised(tmp_path, bundled):
    """A ``mobile_sam.pt`` whose batch norms only carry the folded biases."""
    state = {}
    for key, value in bundled.items():
        for new, old in (
            ("image_encoder.patch_embed.conv1.", "image_encoder.patch_embed.seq.0."),
            ("image_encoder.patch_embed.conv2.", "image_encoder.patch_embed.seq.2."),
            ("image_encoder.stages.1.down", "image_encoder.layers.0.down"),
            ("image_encoder.stages.2.down", "image_encoder.layers.1.down"),
            ("image_encoder.stages.3.down", "image_encoder.layers.2.down"),
            ("image_encoder.stages.", "image_encoder.layers."),
        ):
            key = key.replace(new, old)
        module, _, leaf = key.rpartition(".")
        if not module.startswith("image_encoder.") or not module.endswith(
            ("seq.0", "seq.2", "conv1", "conv2", "conv3", "local_conv")
        ):
            state[key] = value
        elif leaf == "weight":
            state[f"{module}.c.weight"] = value
        else:
            state[f"{module}.bn.bias"] = value
            state[f"{module}.bn.weight"] = torch.ones_like(value)
            state[f"{module}.bn.running_mean"] = torch.zeros_like(value)
            state[f"{module}.bn.running_var"] = torch.full_like(value, 1 - 1e-5)
            state[f"{module}.bn.num_batches_tracked"] = torch.tensor(7)
    assert "image_encoder.layers.3.blocks.1.local_conv.bn.running_var" in state
    path = tmp_path / "mobile_sam.pt"
    torch.save(state, path)
    sam, _ = build_sam(path)
    for key, value in sam.state_dict().items():
        torch.testing.assert_close(value, bundled[key], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["vit_x", "VIT_B", "", "sam2"])
def test_unknown_name_lists_the_choices(name):
    with pytest.raises(InfosamError, match="choose one of vit_t, vit_b, vit_l, vit_h"):
        build_sam(name)


def test_missing_file(tmp_path):
    with pytest.raises(InfosamError, match=r"no weights file .*gone\.pth"):
        build_sam(tmp_path / "gone.pth")


def test_truncated_file(saved, bundled):
    path = saved(bundled)
    path.write_bytes(path.read_bytes()[:10_000_000])
    with pytest.raises(InfosamError, match="is damaged"):
        build_sam(path)


def test_weights_of_another_kind(saved):
    path = saved({f"image_encoder.trunk.blocks.{i}.w": torch.ones(1) for i in range(9)})
    with pytest.raises(
        InfosamError, match=r"no model of the kinds vit_t, .*trunk.* and 6 more\)"
    ):
        build_sam(path)


def test_segment_anything_of_unknown_width(saved):
    path = saved({"image_encoder.patch_embed.proj.weight": torch.ones(384, 3, 16, 16)})
    with pytest.raises(InfosamError, match="of width 384, which none of vit_t"):
        build_sam(path)


def test_missing_extra_and_misshapen_tensors_are_counted(saved, bundled):
    state = {k: v for k, v in bundled.items() if "iou_prediction_head" not in k}
    state["mask_decoder.hf_token.weight"] = torch.ones(1, 256)
    state["mask_decoder.iou_token.weight"] = torch.ones(1, 128)
    with pytest.raises(InfosamError) as caught:
        build_sam(saved(state))
    sentence = str(caught.value)
    assert "looks like vit_t" in sentence
    assert "6 missing (mask_decoder.iou_prediction_head.layers.0.weight" in sentence
    assert "and 3 more)" in sentence
    assert "1 not part of it (mask_decoder.hf_token.weight)" in sentence
    assert "1 of another shape (mask_decoder.iou_token.weight)" in sentence


def test_unreachable_download_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as free:
        url = f"http://127.0.0.1:{free.server_port}/sam_vit_b.pth"
    published = {"vit_b": RemoteFile(url, "0" * 64, 375_042_383)}
    with pytest.raises(InfosamError, match=r"No connection .* 375 MB"):
        build_sam("vit_b", published=published, folder=tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.mark.slow
def test_vit_b_is_downloaded_and_built(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    torch.manual_seed(0)
    state = sam_model_registry["vit_b"]().state_dict()
    file = tmp_path / "there" / "sam_vit_b.pth"
    file.parent.mkdir()
    torch.save(state, file)
    content = file.read_bytes()
    steps = []
    handler = functools.partial(Quiet, directory=str(file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{file.name}"
        digest = hashlib.sha256(content).hexdigest()
        sam, name = build_sam(
            "vit_b",
            on_progress=lambda *step: steps.append(step),
            published={"vit_b": RemoteFile(url, digest, len(content))},
            folder=tmp_path / "here",
        )
        server.shutdown()
        thread.join()
    assert name == "vit_b"
    assert steps[-1] == (len(content), len(content))
    assert_holds(sam, state)


@pytest.mark.slow
def test_infosam_checkpoint_brings_its_adapters(tmp_path):
    torch.manual_seed(0)
    state = sam_model_registry["vit_b"]().state_dict()
    for block in range(2, 12):
        for part in ("Space", "MLP"):
            adapter = f"image_encoder.blocks.{block}.{part}_Adapter_Series"
            state[f"{adapter}.D_fc1.weight"] = torch.randn(192, 768)
            state[f"{adapter}.D_fc1.bias"] = torch.randn(192)
            state[f"{adapter}.D_fc2.weight"] = torch.randn(768, 192)
            state[f"{adapter}.D_fc2.bias"] = torch.randn(768)
    path = tmp_path / "infosam.pth"
    torch.save({"model": state, "epoch": 10, "relation_model": {}}, path)
    sam, name = build_sam(path)
    assert name == str(path)
    assert_holds(sam, state)
    # the adapters act, and only from block 2 on
    x = torch.randn(1, 14, 14, 768)
    for number, changes in ((1, False), (2, True)):
        block = sam.image_encoder.blocks[number]
        plain = sam_model_registry["vit_b"]().image_encoder.blocks[number]
        plain.load_state_dict(
            {k: v for k, v in block.state_dict().items() if "Adapter" not in k}
        )
        with torch.inference_mode():
            assert torch.allclose(block(x), plain(x)) is not changes
