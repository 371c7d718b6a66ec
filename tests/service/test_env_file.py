"""Variables from a ``.env`` file."""

from __future__ import annotations

import os

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.service import get_posthog_config, load_env_file

FILE = """
# PostHog
POSTHOG_ENABLE=true
export POSTHOG_API_KEY="phc_0123456789abcdefghij"
POSTHOG_FLUSH_AT=7  # events
GENOPS_TEAM='checkout'
POSTHOG_BARE
"""


@pytest.fixture(autouse=True)
def environment_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)


@pytest.mark.requirement("S0-06")
def test_a_file_fills_what_the_environment_does_not_say(tmp_path):
    (tmp_path / "shop.env").write_text(FILE)
    config = get_posthog_config(load_env_file=tmp_path / "shop.env")
    assert (config.enable, config.api_key, config.flush_at) == (True, "phc_0123456789abcdefghij", 7)
    assert os.environ["GENOPS_TEAM"] == "checkout"


@pytest.mark.requirement("S0-06")
def test_a_file_never_overrides_the_environment_not_even_where_that_is_blank(tmp_path):
    (tmp_path / ".env").write_text(FILE)
    os.environ |= {"POSTHOG_ENABLE": "false", "POSTHOG_FLUSH_AT": ""}
    assert load_env_file() == ["POSTHOG_API_KEY", "GENOPS_TEAM"]
    assert (os.environ["POSTHOG_ENABLE"], os.environ["POSTHOG_FLUSH_AT"]) == ("false", "")


@pytest.mark.requirement("S0-06")
def test_the_usual_file_need_not_be_there_and_one_that_is_named_must():
    assert get_posthog_config(load_env_file=True) == get_posthog_config()
    with pytest.raises(GenOpsConfigurationError, match=r"'shop\.env' cannot be read: No such file"):
        get_posthog_config(load_env_file="shop.env")


def test_the_usual_file_is_read_where_it_is(tmp_path):
    (tmp_path / ".env").write_text(FILE)
    assert get_posthog_config(load_env_file=True).flush_at == 7


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\xfa")
    with pytest.raises(GenOpsConfigurationError, match="it is not UTF-8"):
        load_env_file()


def test_without_the_package_that_reads_it_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dotenv", None)
    with pytest.raises(GenOpsConfigurationError, match=r"pip install 'genops-otel-posthog\[dotenv\]'"):
        load_env_file()
