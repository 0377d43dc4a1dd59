"""Files are whole or as they were: after `kill -9` anywhere, on a full disk, with links, permissions and leftovers."""

import errno
import os
import signal
import stat
import subprocess
import sys
import zlib

import numpy as np
import pytest

import kinms.atomic
from kinms.atomic import replacing
from kinms.cube import Cube
from kinms.errors import FileError, OutputExistsError
from kinms.fits_read import read_cube
from kinms.fits_write import write_cube
from kinms.grid import Beam, CubeGrid

posix = pytest.mark.skipif(os.name == "nt", reason="no signals, links or limits to test with")


def cube(value=1.0):
    return Cube(np.full((4, 64, 64), value), CubeGrid((4, 64, 64), 1.0, 10.0), Beam(3.0))


#: Each of these processes writes over a file and is killed: in the midst of the data, before they are on the disk,
#: before the move, after it; or finds the disk full. Forked from one, as that has imported all there is.
WRITERS = """
import os, resource, signal, sys
import numpy as np
import kinms.fits_file
from kinms.cube import Cube
from kinms.errors import FileError
from kinms.fits_write import write_cube
from kinms.grid import Beam, CubeGrid

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def half(hdus, stream):
    stream.write(b"SIMPLE  =                    T" + bytes(20000))
    stream.flush()
    die()

def then_die(move):
    return lambda *names: (move(*names), die())

new = Cube(np.full((4, 64, 64), 2.0), CubeGrid((4, 64, 64), 1.0, 10.0), Beam(3.0))
for when, path in (argument.split(":", 1) for argument in sys.argv[1:]):
    child = os.fork()
    if child:
        print(when, os.waitpid(child, 0)[1], flush=True)
        continue
    if when == "data":
        kinms.fits_file._write = half
    elif when == "sync":
        os.fsync = die
    elif when == "move":
        os.replace = die
    elif when == "after":
        os.replace = then_die(os.replace)
    elif when == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    try:
        write_cube(path, new, overwrite=True)
    except FileError as error:
        print(error, flush=True)
    os._exit(0)
"""

KILLED = {"data": 1.0, "sync": 1.0, "move": 1.0, "after": 2.0}


@posix
def test_killed_writers_and_full_disks_leave_whole_files(tmp_path):
    folders = {f"{when}{suffix}": when for when in (*KILLED, "full") for suffix in (".fits", ".fits.gz")}
    paths = {name: tmp_path / name / f"cube{name[name.index('.') :]}" for name in folders}
    for path in paths.values():
        path.parent.mkdir()
        write_cube(path, cube())
    before = {name: path.read_bytes() for name, path in paths.items()}
    jobs = [f"{when}:{paths[name]}" for name, when in folders.items()]
    run = subprocess.run([sys.executable, "-c", WRITERS, *jobs], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = run.stdout.splitlines()
    for name, when in folders.items():
        path = paths[name]
        left = [other for other in os.listdir(path.parent) if other != path.name]
        if when == "full" and name.endswith("fits"):
            # What is packed fits on such a disk.
            assert f"full {0}" in said
            assert any(line.startswith(f"{path}: cannot be written (") for line in said)
            assert path.read_bytes() == before[name]
        if when in KILLED:
            assert f"{when} {int(signal.SIGKILL)}" in said
            assert np.all(read_cube(path).data == KILLED[when]), name
            assert len(left) == (when != "after"), name
            assert all(other.startswith(".partial-") for other in left)
        else:
            assert left == []
        # The next one that writes there clears up.
        write_cube(path, cube(3.0), overwrite=True)
        assert np.all(read_cube(path).data == 3.0)
        assert os.listdir(path.parent) == [path.name]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append(stat.S_ISDIR(os.fstat(number).st_mode)), sync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("move"), replace(*names)))
    with replacing(tmp_path / "note.txt") as part:
        part.write_text("whole")
    assert done == [False, "move", True][: 3 if os.name == "posix" else 2]


def test_a_failed_move_of_any_kind_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileError, match=r"cannot be written \(Input/output error\)"):
        write_cube(tmp_path / "cube.fits", cube())
    assert os.listdir(tmp_path) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "note.txt"

    def write():
        with replacing(path, overwrite=False) as part:
            part.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(OutputExistsError, match=r"note\.txt exists already"):
        write()
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["note.txt"]


@posix
def test_a_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    write_cube(tmp_path / "there" / "real.fits", cube())
    os.symlink("there/real.fits", tmp_path / "link.fits")
    write_cube(tmp_path / "link.fits", cube(2.0), overwrite=True)
    assert os.readlink(tmp_path / "link.fits") == "there/real.fits"
    assert np.all(read_cube(tmp_path / "there" / "real.fits").data == 2.0)
    os.symlink("there/new.fits", tmp_path / "dangling.fits")
    write_cube(tmp_path / "dangling.fits", cube(3.0))
    assert np.all(read_cube(tmp_path / "there" / "new.fits").data == 3.0)
    os.symlink("loop.fits", tmp_path / "loop.fits")
    with pytest.raises(FileError, match="cannot be written"):
        write_cube(tmp_path / "loop.fits", cube())


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_permissions_are_handed_on(tmp_path, mode):
    path = tmp_path / "cube.fits"
    write_cube(path, cube())
    before = os.umask(0)
    os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~before
    path.chmod(mode)
    write_cube(path, cube(), overwrite=True)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_may_not_be_changed_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "cube.fits"
    path.write_text("mine")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as anyone but root finds it
    with pytest.raises(FileError, match=r"cannot be written \(Permission denied\)"):
        write_cube(path, cube(), overwrite=True)
    assert path.read_text() == "mine"


@posix
def test_devices_pipes_and_folders_are_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    (tmp_path / "folder.fits").mkdir()
    for name, says in (("pipe.fits", "it is a device or a pipe"), ("folder.fits", "it is a directory")):
        with pytest.raises(FileError, match=rf"cannot be written \({says}\)"):
            write_cube(tmp_path / name, cube(), overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe.fits").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder.fits", "pipe.fits"]


@posix
def test_leftovers_of_others_stay(tmp_path):
    """Of a process that lives, of another machine, of another file; none is in the way."""
    machine = kinms.atomic._machine()
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = ended.pid
    keep = {
        f".partial-{machine:08x}-{os.getppid()}-0-cube.fits",
        f".partial-{zlib.crc32(b'elsewhere'):08x}-{gone}-0-cube.fits",
        f".partial-{machine:08x}-{gone}-0-other.fits",
        ".partial-cube.fits",
    }
    for name in {*keep, f".partial-{machine:08x}-{gone}-12-cube.fits"}:
        (tmp_path / name).write_text("half")
    write_cube(tmp_path / "cube.fits", cube())
    assert set(os.listdir(tmp_path)) == {*keep, "cube.fits"}


@pytest.mark.parametrize("name", ["n" * 200 + ".fits", "é" * 100 + ".fits", "with blank [x] *.fits.gz", "-o.fits"])
def test_any_name_can_be_written(tmp_path, name):
    write_cube(tmp_path / name, cube())
    write_cube(tmp_path / name, cube(2.0), overwrite=True)
    assert os.listdir(tmp_path) == [name]
    assert np.all(read_cube(tmp_path / name).data == 2.0)


def test_no_folder_is_said(tmp_path):
    with pytest.raises(FileError, match=r"cannot be written \(No such file or directory\). Check the folder"):
        write_cube(tmp_path / "nowhere" / "cube.fits", cube())
