"""Short database URLs find their driver, and passwords stay where they are."""

import importlib.util

import pytest

import keras_optim_lab as kol
from keras_optim_lab.redaction import without_password
from keras_optim_lab.tuning import urls
from keras_optim_lab.tuning.urls import with_driver
from tests.studies import small_task

pytestmark = pytest.mark.once


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
        ("mysql://me@h/d?ssl=1&password=secret&x=1", "mysql://me@h/d?ssl=1&password=***&x=1"),
        ("postgresql:///d?sslpassword=secret", "postgresql:///d?sslpassword=***"),
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("sqlite:///s.db", "sqlite:///s.db"),
        ("no url: a@b", "no url: a@b"),
    ],
)
def test_passwords_in_urls_are_not_shown(text, expected):
    assert without_password(text) == expected
    assert "cret" not in without_password(text)


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
    result = kol.tune(small_task(), trials=2, storage=url, name="s")
    kept = [result.study.user_attrs, *(trial.user_attrs for trial in result.study.trials)]
    assert "secret" not in str(kept)
