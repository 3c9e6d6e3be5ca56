"""Settings that open a door have to be meant."""

import re
from pathlib import Path

import pytest
import yaml

import mammoroi
from mammoroi.cli import main
from mammoroi.clinic.service.admission import REFUSALS
from mammoroi.clinic.service.config import ServeConfig
from mammoroi.clinic.service.run import Service
from mammoroi.clinic.service.worker import REASONS
from mammoroi.configuration import configured, find_config
from mammoroi.errors import MammoroiError

from .conftest import fast

TLS = {"certificate": "ca.pem", "key": "secret"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"listener": {"host": "0.0.0.0"}}, "other machines can reach"),
        ({"health": {"host": "192.0.2.1"}}, "other machines can reach"),
        ({"listener": {"host": "0.0.0.0", "remote": True}}, "names nobody"),
        ({"listener": {"ae_title": "A" * 17}}, "no AE title"),
        ({"listener": {"allowed": ["A\\B"]}}, "no AE title"),
        ({"listener": {"port": 99999}}, "give a port"),
        ({"listener": {"enabled": False}}, "nothing could come in"),
        ({"listener": {"prot": 104}}, "did you mean listener.port?"),
        ({"cases": {"timeout_s": 0}}, "cases.timeout_s is 0"),
        ({"cases": {"keep_hours": -1}}, "cases.keep_hours is -1"),
        ({"cases": {"settle_s": float("nan")}}, "cases.settle_s is nan"),
        ({"cases": {"timeout_s": float("nan")}}, "cases.timeout_s is nan"),
        ({"destination": {"url": "ftp://x"}}, "no http"),
        ({"destination": {"url": "http://u:p@127.0.0.1"}}, "into credentials"),
        ({"destination": {"url": "http://127.0.0.1", "host": "h"}}, "keep one"),
        ({"destination": {"credentials": "nowhere"}}, "is no file"),
        ({"destination": {"host": "h", "authorities": "ca.pem"}}, "of C-STORE they stand in tls"),
        ({"destination": {"url": "http://h", "authorities": "ca.pem"}}, "authorities has no"),
        ({"destination": {"host": "h", "credentials": "secret"}}, "they are for DICOMweb"),
        ({"destination": {"url": "https://h", "tls": TLS}}, "destination.tls has no effect"),
        ({"home": "x", "watch": {"folder": "x/y"}}, "keep them apart"),
        ({"listener": {"tls": {"certificate": "no.pem", "key": "no.pem"}}}, "is no file"),
    ],
)
def test_refused_with_the_reason(settings, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(settings))
    assert main(["serve", "serve.yaml"]) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert " -> " in printed
    assert not (tmp_path / "mammoroi-service").exists()


def test_credentials_are_for_their_owner_and_for_encrypted_ways(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("user:password")
    secret.chmod(0o644)
    words = ["--destination.url", "https://pacs/dicom-web", "--destination.credentials"]
    with pytest.raises(MammoroiError, match="others may read"):
        configured(ServeConfig, "serve", None, [*words, str(secret)])
    secret.chmod(0o600)
    configured(ServeConfig, "serve", None, [*words, str(secret)])
    words[1] = "http://pacs.example/dicom-web"
    with pytest.raises(MammoroiError, match="unencrypted"):
        configured(ServeConfig, "serve", None, [*words, str(secret)])


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("listener.tls", {"listener": {"tls": {"certificate": "a", "key": "b"}}}),
        (
            "destination.tls",
            {"destination": {"host": "127.0.0.1", "tls": {"certificate": "a", "key": "b"}}},
        ),
        ("destination.authorities", {"destination": {"url": "https://x", "authorities": "c"}}),
        ("destination.credentials", {"destination": {"url": "https://x", "credentials": "d"}}),
    ],
)
def test_files_that_cannot_be_used_are_said_at_the_start(section, settings, tmp_path, monkeypatch):
    """Not by results that are set aside as if the PACS had refused them."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).write_text("no certificate")
    (tmp_path / "d").write_bytes(b"\xff\xfe")
    (tmp_path / "d").chmod(0o600)
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(settings))
    config = configured(ServeConfig, "serve", tmp_path / "serve.yaml", [])
    with pytest.raises(MammoroiError, match=f"{section} cannot be used: "):
        Service(config, fast.fast)


def test_the_documented_file_is_understood(tmp_path):
    """The clinic's file of docs/serve.md, its files made here."""
    page = Path(mammoroi.__file__).parent / "docs" / "serve.md"
    text = re.search(r'```yaml title="clinic.yaml"\n(.*?)```', page.read_text(), re.DOTALL)[1]
    for path in set(re.findall(r"/etc/mammoroi/[\w.-]+", text)):
        (tmp_path / Path(path).name).touch(mode=0o600)
    (tmp_path / "clinic.yaml").write_text(text.replace("/etc/mammoroi", str(tmp_path)))
    config = configured(ServeConfig, "serve", tmp_path / "clinic.yaml", [])
    assert config.listener.allowed == ("MODALITY1", "PACS")
    assert config.cases.min_free_gb == 20


def test_every_reason_is_documented():
    page = (Path(mammoroi.__file__).parent / "docs" / "serve.md").read_text()
    for reason, (status, _) in REFUSALS.items():
        assert f"| `{reason}` | {status:04X} |" in page
    for reason in (*REASONS, "pacs-refused"):
        assert f"| `{reason}` |" in page


def test_the_preset_is_reachable_from_this_machine_alone():
    config = configured(ServeConfig, "serve", find_config("serve"), [])
    assert config.listener.host == config.health.host == "127.0.0.1"
    assert not config.listener.remote
    assert not config.health.remote
