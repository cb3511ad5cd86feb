"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import json
import os
import platform
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keras_faceattr.errors import RunError
from keras_faceattr.storage import cache_folder, locked, replacing, replacing_folder, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_whole_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.bin"
    with replacing(path) as temporary:
        temporary.write_bytes(b"123")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".bin"
    assert path.read_bytes() == b"123"
    assert names(path.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RunError])
def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failing_writer_of_a_new_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / 0))
    assert names(tmp_path) == []


def test_a_full_disk_is_a_run_error_with_the_path_and_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RunError) as error, replacing(path):
        raise OSError(28, "No space left on device")
    assert str(error.value).startswith(f"cannot write {path}: No space left on device;")
    assert "free space or choose another folder" in str(error.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*a\.txt"), replacing(tmp_path / "file" / "a.txt"):
        pytest.fail("the block was entered")


def test_a_folder_in_the_files_place_is_a_run_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(RunError, match="cannot write .*a folder has its name: remove or rename it"):
        write_text(tmp_path / "a.txt", "new")
    with pytest.raises(RunError, match="a folder has its name"), locked(tmp_path / "a.txt", tmp_path):
        pytest.fail("the block was entered")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").is_dir()


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_permissions_that_the_umask_gives(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_a_private_file_is_readable_by_its_owner_alone_while_it_is_written_and_afterwards(tmp_path: Path) -> None:
    with replacing(tmp_path / "key.pem", private=True) as temporary:
        temporary.write_text("secret")
        assert temporary.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_writing_never_changes_the_umask_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another thread that makes a file in between would give it to everybody.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
    write_text(tmp_path / "a.txt", "x")
    filled(tmp_path / "faces", "a")


def test_a_device_stays_a_device_and_gets_the_content(tmp_path: Path) -> None:
    nowhere = tmp_path / "null.csv"
    try:
        os.mknod(nowhere, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        nowhere.open("w").close()
    except OSError:
        # Without the right to make devices, a link to one.
        nowhere.unlink(missing_ok=True)
        nowhere.symlink_to(os.devnull)
    before = nowhere.lstat()
    write_text(nowhere, "x")
    assert nowhere.lstat() == before and nowhere.read_text() == ""
    assert names(tmp_path) == ["null.csv"]


def test_a_pipe_stays_a_pipe_and_its_reader_gets_the_content(tmp_path: Path) -> None:
    path, found = tmp_path / "pipe.csv", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    write_text(path, "a,b\n")
    reader.join(timeout=20)
    assert found == ["a,b\n"] and stat.S_ISFIFO(path.lstat().st_mode)


TO_STDOUT = """
import sys
from pathlib import Path
from keras_faceattr.storage import write_text
print("before")
write_text(Path(sys.argv[1]), "a,b\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_in_turn_also_where_it_is_a_file(tmp_path: Path, name: str) -> None:
    with (tmp_path / "out.txt").open("w") as out:
        subprocess.run([sys.executable, "-c", TO_STDOUT, name], stdout=out, check=True)
    assert (tmp_path / "out.txt").read_text() == "before\na,b\nafter\n"
    assert names(tmp_path) == ["out.txt"]


def test_a_cache_that_cannot_be_written_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").touch()
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(tmp_path / "file"))
    for write in (replacing(cache_folder() / "mtcnn" / "a"), replacing_folder(cache_folder() / "demo" / "b", "c")):
        with pytest.raises(RunError, match="free space, or set KERAS_FACEATTR_CACHE to a folder that you may"), write:
            pytest.fail("the block was entered")
    with pytest.raises(RunError, match="choose another folder"), replacing(tmp_path / "other" / "a"):
        pytest.fail("the block was entered")


def test_without_a_home_folder_the_caches_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_FACEATTR_CACHE")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(RunError, match="set KERAS_FACEATTR_CACHE to a folder"):
        cache_folder()


def filled(folder: Path, text: str) -> None:
    with replacing_folder(folder, "list.csv") as temporary:
        (temporary / "list.csv").write_text(text)
        assert temporary.parent == folder.parent and not (folder / text).exists()
        (temporary / text).touch()


def test_a_folder_appears_whole_with_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        filled(tmp_path / "new" / "faces", "a")
    finally:
        os.umask(before)
    assert names(tmp_path / "new") == ["faces"] and names(tmp_path / "new" / "faces") == ["a", "list.csv"]
    assert (tmp_path / "new" / "faces").stat().st_mode & 0o777 == 0o750


def test_the_folder_of_a_faster_process_stays(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "faces", "list.csv") as slow:
        (slow / "list.csv").write_text("slow")
        filled(tmp_path / "faces", "fast")
    assert names(tmp_path) == ["faces"] and names(tmp_path / "faces") == ["fast", "list.csv"]


def test_a_folder_without_its_proof_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "half").touch()
    filled(tmp_path / "faces", "whole")
    assert names(tmp_path / "faces") == ["list.csv", "whole"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failing_writer_of_a_folder_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replacing_folder(tmp_path / "faces", "list.csv") as temporary:
        (temporary / "half").touch()
        raise error
    assert names(tmp_path) == []


def test_a_folder_on_a_full_disk_is_a_run_error_with_the_fix(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"cannot write .*faces: No space left on device; set another cache"),
        replacing_folder(tmp_path / "faces", "list.csv", "set another cache"),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_faceattr.storage import replacing, replacing_folder
folder = Path(sys.argv[1])
with replacing_folder(folder / "faces", "list.csv") as half, replacing(folder / "a.bin") as temporary:
    (half / "list.csv").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_not_taken_for_whole_and_goes_with_the_next_writer(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert len(names(tmp_path)) == 2 and all(name.startswith(".writing-") for name in names(tmp_path))
    other = tmp_path / ".writing-1-another-machine-x"
    other.touch()
    with replacing(tmp_path / "b.bin") as ours:
        filled(tmp_path / "faces", "whole")
        assert set(names(tmp_path)) == {"faces", ours.name, other.name}


def test_a_file_that_a_killed_process_left_goes_with_the_next_file_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    theirs = tmp_path / f".writing-{os.getpid()}-{platform.node()}-x"
    theirs.touch()
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == [theirs.name, "a.txt"]


def test_text_is_utf8_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a much longer text than the next")
    write_text(path, "ε-error ± σ")
    assert path.read_bytes() == "ε-error ± σ".encode()


def test_json_keeps_the_order_of_keys_and_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [1.5, None], "σ": "größer"})
    text = path.read_text(encoding="utf-8")
    assert list(json.loads(text).items()) == [("b", 1), ("a", [1.5, None]), ("σ", "größer")]
    assert "größer" in text
    assert text.endswith("}\n")


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == [1]
    assert names(tmp_path) == ["a.json"]


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"


@pytest.mark.parametrize("unset", [True, False], ids=["unset", "empty"])
def test_the_cache_lies_at_home_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unset: bool) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", "")
    if unset:
        monkeypatch.delenv("KERAS_FACEATTR_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "keras-faceattr"


HOLDER = """
import sys, time
from pathlib import Path
from keras_faceattr.storage import locked
with locked(Path(sys.argv[1]), Path("runs")):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_keeps_other_processes_out_until_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is filling runs; wait for it"), locked(path, Path("runs")):
            pytest.fail("the block was entered")
    finally:
        holder.kill()
        holder.wait()
    for _ in range(2):
        with locked(path, Path("runs")):
            pass


def test_a_lock_in_a_folder_that_is_not_there_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write .*lock"), locked(tmp_path / "file" / "lock", tmp_path):
        pytest.fail("the block was entered")
