from __future__ import annotations

import hashlib
import os
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import weights
from napari_infosam.models.weights import (
    PUBLISHED,
    DownloadCancelledError,
    RemoteFile,
    download,
    load_state_dict,
)

CONTENT = bytes(range(256)) * 4096
CHUNK = 1 << 18


class Writer:
    """Unpickling it writes a file: what a malicious checkpoint would do."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def state():
    return {"a.weight": torch.arange(30_000.0).reshape(3, -1), "a.bias": torch.ones(3)}


def assert_same(loaded, state):
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(loaded[key], value)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
def test_loads_what_was_saved(tmp_path, state, name):
    path = tmp_path / name
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    assert_same(load_state_dict(path), state)
    assert_same(load_state_dict(str(path)), state)


def test_loads_files_of_old_torch(tmp_path, state):
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert_same(load_state_dict(path), state)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_unwraps_checkpoints(tmp_path, state, wrapper):
    path = tmp_path / "w.pth"
    torch.save({wrapper: state, "epoch": 3, "optimizer": {"lr": [0.1]}}, path)
    assert_same(load_state_dict(path), state)


def test_missing_file(tmp_path):
    with pytest.raises(InfosamError, match=r"no weights file .*gone\.pth"):
        load_state_dict(tmp_path / "gone.pth")
    with pytest.raises(InfosamError, match="no weights file"):
        load_state_dict(tmp_path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_truncated_file(tmp_path, state, name, kept):
    path = tmp_path / name
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InfosamError, match="is damaged or was not downloaded compl"):
        load_state_dict(path)


def test_truncated_file_of_old_torch(tmp_path, state):
    path = tmp_path / "w.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InfosamError, match="is damaged"):
        load_state_dict(path)


def test_file_that_is_something_else(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"<html>Not found</html>" * 100)
    with pytest.raises(InfosamError, match="is damaged"):
        load_state_dict(path)


@pytest.mark.parametrize("wrap", [torch.save, pickle.dump])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, state, wrap):
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    with path.open("wb") as file:
        wrap({**state, "extra": Writer(trace)}, file)
    with pytest.raises(InfosamError, match="could run code, so it is refused"):
        load_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"a": 1}, {1: torch.ones(1)}, {"model": 3}]
)
def test_no_state_dict(tmp_path, content):
    path = tmp_path / "w.pt"
    torch.save(content, path)
    with pytest.raises(InfosamError, match="is not a state dict"):
        load_state_dict(path)


class Server(ThreadingHTTPServer):
    """Serves one file, as well or as badly as a test wants."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = []
        self.status = None
        self.knows_ranges = True
        self.cut_at = None

    def remote(self, **changes):
        fields = {
            "url": f"http://127.0.0.1:{self.server_port}/files/w.pth",
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "size": len(CONTENT),
        }
        return RemoteFile(**{**fields, **changes})


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = 0
        if wanted and self.server.knows_ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = self.server.content[start:]
        status = self.server.status or (206 if start else 200)
        if start and not body:
            status = 416
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut_at])

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(server, folder, **options):
    changes = options.pop("changes", {})
    published = {"vit_x": server.remote(**changes)}
    return download("vit_x", published=published, folder=folder, **options)


def cancel_after(chunks):
    seen = iter([False] * chunks + [True])
    return lambda: next(seen)


def test_downloads_once_and_says_how_far_it_is(server, tmp_path):
    folder = tmp_path / "new" / "models"
    steps = []
    path = fetch(server, folder, on_progress=lambda *step: steps.append(step))
    assert path == folder / "w.pth"
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert len(steps) >= len(CONTENT) // CHUNK
    assert fetch(server, folder) == path
    assert server.ranges == [None]
    assert not list(folder.glob("*.part"))


def test_default_folder_can_be_chosen(server, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "chosen"))
    assert fetch(server, None) == tmp_path / "chosen" / "w.pth"


def test_cancelled_download_is_resumed(server, tmp_path):
    with pytest.raises(DownloadCancelledError, match="will continue where it ended"):
        fetch(server, tmp_path, cancelled=cancel_after(2))
    assert not (tmp_path / "w.pth").exists()
    steps = []
    path = fetch(server, tmp_path, on_progress=lambda *step: steps.append(step))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={2 * CHUNK}-"]
    assert steps[0][0] > 2 * CHUNK


def test_lost_connection_is_one_sentence_and_resumed(server, tmp_path):
    server.cut_at = len(CONTENT) // 2
    with pytest.raises(InfosamError, match="Check the network and try again"):
        fetch(server, tmp_path)
    server.cut_at = None
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1].startswith("bytes=")


def test_server_without_ranges_sends_it_all_again(server, tmp_path):
    with pytest.raises(DownloadCancelledError):
        fetch(server, tmp_path, cancelled=cancel_after(2))
    server.knows_ranges = False
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_complete_part_needs_no_server(server, tmp_path):
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


def test_wrong_content_is_refused_and_fetched_anew(server, tmp_path):
    server.content = CONTENT[::-1]
    with pytest.raises(InfosamError, match="not the published file"):
        fetch(server, tmp_path)
    assert not (tmp_path / "w.pth").exists()
    server.content = CONTENT
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_part_that_the_server_can_not_continue_is_dropped(server, tmp_path):
    (tmp_path / "w.pth.part").write_bytes(b"x" * 1000)
    server.content = CONTENT[:1000]
    with pytest.raises(InfosamError, match="answered 416"):
        fetch(server, tmp_path)
    server.content = CONTENT
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"half")
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_error_of_the_server(server, tmp_path):
    server.status = 503
    with pytest.raises(InfosamError, match=r"w\.pth answered 503"):
        fetch(server, tmp_path)


def test_no_network(server, tmp_path):
    closed = f"http://127.0.0.1:{unused_port()}/w.pth"
    with pytest.raises(InfosamError, match=r"No connection to .* 1 MB have to be"):
        fetch(server, tmp_path, changes={"url": closed})


def unused_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as free:
        return free.server_port


def test_too_little_space(server, tmp_path):
    with pytest.raises(InfosamError, match="free some space"):
        fetch(server, tmp_path, changes={"size": 10**18})
    assert server.ranges == []


def test_disk_that_fills_up_while_writing(server, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK, hard))
    try:
        with pytest.raises(InfosamError, match="can not be written to"):
            fetch(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_folder_that_can_not_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InfosamError, match="can not be written to"):
        fetch(server, tmp_path / "file" / "models")


def test_two_downloads_of_one_file(server, tmp_path):
    with (
        FileLock(tmp_path / ".w.pth.lock"),
        pytest.raises(InfosamError, match="Another program is downloading"),
    ):
        fetch(server, tmp_path)


def test_published_files_are_those_of_segment_anything():
    assert set(PUBLISHED) == {"vit_b", "vit_l", "vit_h"}
    for name, remote in PUBLISHED.items():
        assert remote.name.startswith(f"sam_{name}_")
        assert remote.url.startswith("https://")
        assert len(remote.sha256) == 64
        assert remote.size > 300_000_000
