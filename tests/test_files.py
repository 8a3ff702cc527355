"""What is written is there as a whole, and in the place of nothing else."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_optim_lab.files import file_name, write_whole
from keras_optim_lab.reports.html import Page

pytestmark = pytest.mark.once


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "page.html"


def test_a_file_is_written_with_its_folder_and_nothing_is_left_beside_it(path):
    assert write_whole(path, "η") == path
    assert path.read_bytes() == "η".encode()
    assert write_whole(path, b"\0").read_bytes() == b"\0"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_called_part_is_neither_followed_nor_taken_for_ours(path, tmp_path):
    own, part = tmp_path / "own", path.with_name("page.html.part")
    own.write_text("a user's own")
    path.parent.mkdir()
    part.symlink_to(own)
    Page("title").write(path)
    assert part.is_symlink()
    assert own.read_text() == "a user's own"
    assert "<h1>title</h1>" in path.read_text()


def test_a_link_is_replaced_and_what_it_leads_to_stays(path, tmp_path):
    own = tmp_path / "own"
    own.write_text("a user's own")
    path.parent.mkdir()
    path.symlink_to(own)
    write_whole(path, "page")
    assert (own.read_text(), path.read_text()) == ("a user's own", "page")
    assert not path.is_symlink()


def test_permissions_stay_and_those_of_a_new_file_are_the_users_own(path):
    write_whole(path, "")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o600)
    write_whole(path, "")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_file_before_and_names_it(path, monkeypatch):
    write_whole(path, "earlier")

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*page.html'"):
        write_whole(path, "later")
    assert path.read_text() == "earlier"
    assert list(path.parent.iterdir()) == [path]


def test_of_many_who_write_at_once_the_whole_file_of_one_is_there(path):
    texts = [str(writer) * 100_000 for writer in range(8)]
    write_whole(path, texts[0])
    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(write_whole, path, text) for text in texts * 4]
        while not all(each.done() for each in writing):
            assert path.read_text() in texts
        for each in writing:
            each.result()
    assert list(path.parent.iterdir()) == [path]


def test_a_device_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reading:
        write_whole(pipe, "through")
        assert reading.communicate()[0] == b"through"
    assert pipe.is_fifo()


def test_the_output_of_the_process_is_written_to_and_stays_what_it_is(tmp_path):
    said = tmp_path / "said"
    program = "from pathlib import Path; from keras_optim_lab.files import write_whole; "
    program += "write_whole(Path('/dev/stdout'), 'said')"
    with said.open("w") as output:
        subprocess.run([sys.executable, "-c", program], stdout=output, check=True)
    assert said.read_text() == "said"
    assert os.path.islink("/dev/stdout")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        write_whole(tmp_path, "page")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits-mlp", "digits-mlp"),
        ("Adam, ε = 1e-8", "Adam-ε-1e-8"),
        ("../../x", "x"),
        ("/etc/passwd", "etc-passwd"),
        (r"..\x", "x"),
        (".hidden", "hidden"),
        ("a\0b\nc", "a-b-c"),
        ("a/../b", "a-..-b"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("\udcff", "unnamed"),
    ],
)
def test_a_name_becomes_that_of_a_file_in_any_folder(text, name):
    assert file_name(text) == name


def test_long_names_that_differ_at_their_ends_stay_two(path):
    names = {file_name("ε" * 500 + end) for end in ("a", "b", "\udcff")}
    assert len(names) == 3
    for name in names:
        write_whole(path.with_name(f".{name}.journal.processes"), "")
