"""Short database URLs find their driver, and passwords stay where they are."""

import importlib.util
import traceback
from pathlib import Path

import pytest

import keras_optim_lab as kol
from keras_optim_lab.redaction import shown, without_password
from keras_optim_lab.tuning.storages import urls
from keras_optim_lab.tuning.storages.storage import load_study, open_storage
from keras_optim_lab.tuning.storages.urls import with_driver
from tests.studies import small_task

pytestmark = pytest.mark.once("torch")  # which has the least to do


def installed(monkeypatch, *names):
    monkeypatch.setattr(urls, "find_spec", lambda name: name in names or None)


@pytest.mark.parametrize(
    ("url", "drivers", "expected"),
    [
        ("sqlite:///s.db", [], "sqlite:///s.db"),
        ("postgresql://u:p%40@h/d", ["psycopg"], "postgresql+psycopg://u:p%40@h/d"),
        ("postgresql://u@h/d", ["psycopg", "psycopg2"], "postgresql://u@h/d"),
        ("postgresql+psycopg://u@h/d", ["psycopg"], "postgresql+psycopg://u@h/d"),
        ("mysql://u@h/d?charset=utf8", ["pymysql"], "mysql+pymysql://u@h/d?charset=utf8"),
        ("mysql+mysqldb://u@h/d", ["MySQLdb"], "mysql+mysqldb://u@h/d"),
    ],
)
def test_a_url_gets_the_driver_that_is_installed(monkeypatch, url, drivers, expected):
    installed(monkeypatch, *drivers)
    assert with_driver(url) == expected


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("postgresql://u@h/d", "psycopg", "postgresql"),
        ("mysql://u@h/d", "pymysql", "mysql"),
        ("postgresql+asyncpg://u@h/d", "asyncpg", "postgresql"),
    ],
)
def test_a_driver_that_is_missing_is_named_with_what_to_install(monkeypatch, url, package, extra):
    installed(monkeypatch)
    with pytest.raises(ImportError, match=rf"{package}.*pip install .*\[{extra}\]"):
        with_driver(url)


def test_the_drivers_of_the_extras_are_those_that_are_looked_for():
    assert all(importlib.util.find_spec(name) for name in ("psycopg", "pymysql"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:secret@h/d", "postgresql://me:***@h/d"),
        (
            "at postgresql+psycopg://me:s%40cret@h:5432/d now",
            "at postgresql+psycopg://me:***@h:5432/d now",
        ),
        ("mysql://h/d?ssl=1&password=secret&x=1", "mysql://h/d?ssl=***&password=***&x=***"),
        ("postgresql:///d?sslpassword=se cret", "postgresql:///d?sslpassword=***"),
        ("at postgresql://me:se cret@h/d now", "at postgresql://me:***@h/d now"),
        ("'mysql://h/d?pwd=se cret' is", "'mysql://h/d?pwd=***' is"),
        ("--storage=mysql://h/d?pwd=se'cret", "--storage=mysql://h/d?pwd=***"),
        ("--storage=mysql://me:se'cret@h/d", "--storage=mysql://me:***@h/d"),
        ("postgresql://tokensecret@h/d", "postgresql://***@h/d"),
        ("sqlite+pysqlcipher://:secret@/s.db", "sqlite+pysqlcipher://:***@/s.db"),
        ("postgresql://me:secret@[::1]:5432/d", "postgresql://me:***@[::1]:5432/d"),
        ("sqlite:////home/me@work/a b.db", "sqlite:////home/me@work/a b.db"),
        ("no url: a@b", "no url: a@b"),
        ("C:/studies/s.journal", "C:/studies/s.journal"),
    ],
)
def test_passwords_in_urls_are_not_shown(text, expected):
    assert without_password(text) == expected
    assert "cret" not in without_password(text)


NOT_TAKEN_APART = [
    "postgresql://me:s@cret@h/d",
    "postgresql://me:s@cret:cret@h/d",
    "postgresql://me:s@cret/cret@h/d",
    "postgresql://me:s@cret?cret@h/d",
    "postgresql://h/d?user=me&password=s@cret",
    "postgresql://h:5432?password=cret@cret",
    "postgresql://cret/cret@h/d",
    "postgresql:/me:secret@h/d",
    " postgresql://me:secret@h/d",
]


@pytest.mark.parametrize("url", NOT_TAKEN_APART)
def test_of_a_url_that_cannot_be_taken_apart_only_the_scheme_is_shown(url):
    assert shown(url) == "postgresql:…"
    assert "cret" not in without_password(f"the storage {url} is '{url}'")


def in_full(error):
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "url", [*NOT_TAKEN_APART, "me:secret@h/d", Path("postgresql://me:secret@h")]
)
def test_a_storage_that_is_no_url_is_refused_without_a_word_of_it_or_a_folder_named_by_it(
    url, tmp_path
):
    for use in (
        lambda: kol.tune(small_task(), trials=1, storage=url),
        lambda: load_study("s", url),
    ):
        with pytest.raises(OSError, match=r"cannot be opened .*%40") as refused:
            use()
        assert "cret" not in in_full(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_url_in_place_of_a_name_is_not_shown_either(tmp_path):
    name = NOT_TAKEN_APART[0]
    for storage in (None, tmp_path / "s.journal", f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(ValueError, match=r"study|name") as refused:
            load_study(name, storage)
        assert "cret" not in in_full(refused.value)


@pytest.mark.parametrize("option", ["connect_timeout=secret", "secret=secret"])
def test_what_a_driver_says_of_a_secret_is_not_repeated(option):
    with pytest.raises(OSError, match="cannot be opened") as refused:
        open_storage(f"postgresql://me@localhost:1/d?{option}", "s")
    assert "=secret" not in in_full(refused.value)
    assert '"secret"' not in in_full(refused.value)


def test_the_file_of_a_sqlite_url_is_found_whatever_options_it_has(tmp_path):
    url = f"sqlite+pysqlite:///{tmp_path}/s.db?timeout=5"
    with pytest.raises(ValueError, match="there is no storage"):
        load_study("s", url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@localhost:1/d?connect_timeout=1",
        "mysql://me:secret@localhost:1/d",
        "nonsense://me:secret@h/d",
    ],
)
def test_a_database_that_cannot_be_opened_is_named_without_its_password(url):
    with pytest.raises(OSError, match=r"cannot be opened") as refused:
        kol.tune(small_task(), trials=1, storage=url)
    assert "secret" not in str(refused.value)
    assert "***" in str(refused.value)


def test_a_study_keeps_nothing_of_where_it_is_stored(by_formula, postgres):
    url = postgres.replace("postgres:@", "postgres:secret@")
    assert url != postgres
    result = kol.tune(small_task(), trials=2, confirm=0, storage=url, name="s")
    kept = [result.study.user_attrs, *(trial.user_attrs for trial in result.study.trials)]
    assert "secret" not in str(kept)
