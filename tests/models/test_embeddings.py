from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.models.embeddings import EmbeddingCache

BOUND = 100


def value(number: int, length: int = 8) -> torch.Tensor:
    """Return a float16 tensor of ``2 * length`` bytes."""
    return torch.full((length,), number, dtype=torch.float16)


OPERATIONS = st.tuples(
    st.sampled_from("abcd"), st.sampled_from([None, None, 0, 5, 10, 20, 30, 60])
)
"""A key, and how many numbers to put under it; None asks for it."""


@given(st.lists(OPERATIONS, min_size=8, max_size=40))
def test_memory_is_an_ordered_dictionary_with_a_bound(operations):
    cache = EmbeddingCache(memory_bytes=BOUND)
    model: OrderedDict[str, torch.Tensor] = OrderedDict()
    for number, (key, length) in enumerate(operations):
        if length is None:
            found = cache.get(key)
            assert (found is None) == (key not in model)
            if found is None:
                continue
            assert torch.equal(found, model[key])
        else:
            model[key] = value(number, length)
            cache.put(key, model[key])
        model.move_to_end(key)
        while len(model) > 1 and sum(v.nbytes for v in model.values()) > BOUND:
            model.popitem(last=False)
        # the order tells which goes next
        assert list(cache._entries) == list(model)


def test_what_was_asked_for_stays_longer():
    cache = EmbeddingCache(memory_bytes=3 * value(0).nbytes)
    for number, key in enumerate("abc"):
        cache.put(key, value(number))
    cache.get("a")
    cache.put("d", value(3))
    assert cache.get("b") is None
    assert torch.equal(cache.get("a"), value(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_an_entry_comes_back_bit_by_bit(folder, dtype):
    given = torch.randn(1, 16, 8, 8).to(dtype)
    given.flatten()[:3] = torch.tensor([0.0, -0.0, torch.inf])
    given = given.contiguous(memory_format=torch.channels_last)
    EmbeddingCache(folder).put("a", given)
    found = EmbeddingCache(folder).get("a")
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), given.contiguous().view(torch.uint8))
    assert not found.requires_grad


def test_tensors_of_inference_mode_and_with_gradient(folder):
    with torch.inference_mode():
        made = torch.ones(4)
    cache = EmbeddingCache(folder)
    cache.put("inference", made)
    cache.put("gradient", torch.ones(4, requires_grad=True) * 2)
    assert EmbeddingCache(folder).get("inference").tolist() == [1] * 4
    assert not cache.get("gradient").requires_grad


def test_what_is_not_there_is_none(folder):
    assert EmbeddingCache().get("a") is None
    assert EmbeddingCache(folder).get("a") is None
    assert not folder.exists()


def test_disk_outlives_memory(folder):
    cache = EmbeddingCache(folder, memory_bytes=16)
    cache.put("a", value(1))
    cache.put("b", value(2))
    assert list(cache._entries) == ["b"]
    assert torch.equal(cache.get("a"), value(1))
    assert list(cache._entries) == ["a"]


def test_the_folder_may_be_deleted_at_any_time(folder):
    cache = EmbeddingCache(folder)
    cache.put("a", value(1))
    shutil.rmtree(folder)
    assert torch.equal(cache.get("a"), value(1))
    assert EmbeddingCache(folder).get("a") is None
    cache.put("b", value(2))
    assert torch.equal(EmbeddingCache(folder).get("b"), value(2))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: os.urandom(len(content)),
        lambda content: content.replace(b"embedding", b"something"),
        lambda content: b"\xff" * 8 + content[8:],
    ],
    ids=["empty", "half", "one byte less", "garbage", "another name", "long header"],
)
def test_a_damaged_file_is_no_entry(folder, damage, caplog):
    EmbeddingCache(folder).put("a", value(1))
    path = folder / "a.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    cache = EmbeddingCache(folder)
    assert cache.get("a") is None
    assert "unreadable cache entry" in caplog.text
    assert not path.exists()
    cache.put("a", value(3))
    assert torch.equal(EmbeddingCache(folder).get("a"), value(3))


def test_a_folder_where_an_entry_should_be(folder):
    (folder / "a.safetensors").mkdir(parents=True)
    cache = EmbeddingCache(folder)
    assert cache.get("a") is None
    cache.put("a", value(1))
    assert torch.equal(cache.get("a"), value(1))
    assert names(folder) == {"a.safetensors"}


def fails(code: int):
    def call(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("function", ["mkstemp", "save_file", "replace", "mkdir"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failing_disk_costs_only_the_file(
    folder, monkeypatch, caplog, function, code
):
    cache = EmbeddingCache(folder)
    cache.put("a", value(1))
    owner = {
        "mkstemp": "tempfile.mkstemp",
        "save_file": "napari_infosam.models.embeddings.save_file",
        "replace": "pathlib.Path.replace",
        "mkdir": "pathlib.Path.mkdir",
    }[function]
    with monkeypatch.context() as patch:
        patch.setattr(owner, fails(code))
        cache.put("b", value(2))
    assert torch.equal(cache.get("b"), value(2))
    assert os.strerror(code) in caplog.text
    assert names(folder) == {"a.safetensors"}


def test_a_read_only_disk_still_gives_its_entries(folder, monkeypatch):
    EmbeddingCache(folder).put("a", value(1))
    (folder / "b.safetensors").write_bytes(b"garbage")
    for call in ("os.utime", "os.unlink", "os.replace", "pathlib.Path.unlink"):
        monkeypatch.setattr(call, fails(errno.EROFS))
    monkeypatch.setattr("tempfile.mkstemp", fails(errno.EROFS))
    cache = EmbeddingCache(folder)
    assert torch.equal(cache.get("a"), value(1))
    assert cache.get("b") is None
    cache.put("c", value(3))
    assert torch.equal(cache.get("c"), value(3))


def test_a_disk_that_is_really_full(small_disk):
    cache = EmbeddingCache(small_disk / "cache")
    for number in range(6):
        cache.put(str(number), value(number, 400_000))
    for number in range(6):
        assert torch.equal(cache.get(str(number)), value(number, 400_000))
    # what was written is whole, and no half file is left
    fresh = EmbeddingCache(small_disk / "cache")
    kept = [n for n in range(6) if fresh.get(str(n)) is not None]
    assert kept == [0, 1]
    assert names(small_disk / "cache") == {"0.safetensors", "1.safetensors"}


@pytest.fixture
def small_disk(tmp_path):
    """Return an empty disk of two mebibytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if sys.platform != "linux" or not shutil.which("mount"):
        pytest.skip("needs mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def age(path: Path, seconds: int) -> None:
    """Let a file have been used this long before a fixed time."""
    os.utime(path, (1_000_000_000 - seconds,) * 2)


def test_the_disk_is_pruned_by_last_use(folder):
    writer = EmbeddingCache(folder)
    for number, name in enumerate("abcd"):
        writer.put(name, value(number, 500))
        age(folder / f"{name}.safetensors", 100 - number)
    size = (folder / "a.safetensors").stat().st_size
    reader = EmbeddingCache(folder, disk_bytes=3 * size)
    assert reader.get("a") is not None
    reader.put("e", value(9, 500))
    assert names(folder) == {f"{n}.safetensors" for n in "ade"}


def test_the_newest_entry_stays_however_large(folder):
    cache = EmbeddingCache(folder, disk_bytes=1)
    cache.put("a", value(1))
    age(folder / "a.safetensors", 5)
    cache.put("b", value(2))
    assert names(folder) == {"b.safetensors"}


def test_pruning_leaves_other_files_alone(folder):
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    cache = EmbeddingCache(folder, disk_bytes=1)
    cache.put("a", value(1))
    cache.put("b", value(2))
    assert "notes.txt" in names(folder)


WORK = """
import sys
from pathlib import Path
import torch
from napari_infosam.models.embeddings import EmbeddingCache

def work(folder, number, turns):
    cache = EmbeddingCache(Path(folder), memory_bytes=0, disk_bytes=4000)
    for turn in range(turns):
        key = str((turn * 7 + number) % 5)
        wanted = torch.full((300,), int(key), dtype=torch.float16)
        found = cache.get(key)
        assert found is None or torch.equal(found, wanted), key
        cache.put(key, wanted)

if __name__ == "__main__":
    print("ready", flush=True)
    work(sys.argv[1], 1, 60)
"""


def test_two_processes_share_a_folder(folder):
    script: dict[str, Any] = {"__name__": "script"}
    exec(WORK, script)
    command = [sys.executable, "-c", WORK, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        while other.poll() is None:
            script["work"](folder, 2, 20)
    assert other.returncode == 0
    assert not [name for name in names(folder) if name.endswith(".tmp")]


def test_threads_share_a_cache(folder):
    cache = EmbeddingCache(folder, memory_bytes=1500)

    def use(turn: int) -> bool:
        key = str(turn % 5)
        cache.put(key, value(turn % 5, 300))
        found = cache.get(key)
        return found is not None and torch.equal(found, value(turn % 5, 300))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))
    assert sum(v.nbytes for v in cache._entries.values()) <= 1500
