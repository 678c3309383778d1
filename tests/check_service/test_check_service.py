"""`htq check-service` against services with one fault each."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from check_service.services import Conduct, Service
from htq.check_service import main

pytestmark = pytest.mark.timeout(60)

SOON = ["--running-after", "0.1", "-X", "POST"]
AS_SOMEBODY = ["-H", "Authorization: Bearer mine"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of htq are for networks; these services are next door."""
    monkeypatch.setattr("htq.check_service.probe.GRACE", 0.3)
    monkeypatch.setattr("htq.check_service.probe._STOP_TOTAL", 0.5)
    monkeypatch.setattr("htq.check_service.probe._QUIET", 0.05)


def check(conduct: Conduct, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    with Service(conduct) as service:
        code = main([service.url, *SOON, *more])
    return code, capsys.readouterr().out


def test_a_service_that_keeps_the_contract_passes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(Conduct(), capsys, *AS_SOMEBODY)
    assert code == 0
    assert out.endswith("This service honors a cancel.\n")
    assert [line[:6].strip() for line in out.splitlines()[1:-1]] == ["ok"] * 6


@pytest.mark.parametrize(
    ("conduct", "code", "sentence"),
    [
        (Conduct(stops=False, status=404), 1, "answered with 404. It says that nothing of the kind runs"),
        (Conduct(stops=False, status=405), 1, "answered with 405. It takes no DELETE here"),
        (Conduct(stops=False, status=403), 1, "answered with 403. It doesn't let the credentials"),
        (Conduct(stops=False, status=500), 1, "answered with 500. htq counts that as a failure"),
        (Conduct(stops=False, status=None), 1, "got no answer within 10 s"),
        (Conduct(stops=False, status=200), 1, "That proves nothing"),
        (Conduct(stops=False, status=202), 1, "asked, and still stopping"),
        (Conduct(status=202), 0, "ended by itself, with 499"),
        (Conduct(proof=False), 0, "without HTQ-Cancel: stopped"),
        (Conduct(status=None), 1, "ended by itself, with 499"),
        (Conduct(ends=False), 0, "yet the request stayed open"),
        (Conduct(compares_tasks=False), 1, "Another request to the same URL ended as well"),
        (Conduct(compares_attempts=False), 1, "A stop for another attempt of the task ended this one"),
        (Conduct(compares_credentials=False), 1, "A stop without the credentials of the request ended it"),
        (Conduct(remembers=False), 0, "A request that came after its own cancel was run"),
        (Conduct(slow=False), 2, "before it could be canceled. Give one that takes ten seconds or more"),
    ],
)
def test_a_fault_is_named(conduct: Conduct, code: int, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, out = check(conduct, capsys, *AS_SOMEBODY)
    assert sentence in out
    assert found == code, out


def test_a_service_that_is_not_there_can_not_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert main([f"http://127.0.0.1:{nobody.getsockname()[1]}/", *SOON]) == 2
    assert "The request failed: ConnectionRefusedError" in capsys.readouterr().out


def test_it_sends_what_htq_would_send() -> None:
    with Service(Conduct()) as service:
        main([service.url, *SOON, *AS_SOMEBODY, "--json", '{"a": 1}'])
        posted = next((headers, body) for method, headers, body in service.requests if method == "POST")
        stopped = next(headers for method, headers, _ in service.requests if method == "DELETE")
    headers, body = posted
    assert body == b'{"a": 1}'
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    task = headers["HTQ-Task-Id"]
    assert headers["Idempotency-Key"] == f'"{task}"'
    assert stopped["HTQ-Cancel"] == "requested"
    assert stopped["Authorization"] == "Bearer mine"
    assert stopped["Idempotency-Key"].endswith(':cancel"')
    assert "Content-Type" not in stopped
    assert "Content-Length" not in stopped


@pytest.mark.parametrize(
    "arguments", [["ftp://x/"], ["http://x/", "-d", "a", "--json", "b"], ["http://x/", "-H", "nocolon"], []]
)
def test_a_usage_error_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.skipif(shutil.which("node") is None, reason="the page's example is for Node")
def test_the_example_on_the_contract_page_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "service-contract.md").read_text()
    section = page.split("## A server in 40 lines")[1]
    program = "\n".join(line[4:] for line in re.findall(r"^(?: {4}.*)?$", section, re.MULTILINE))
    work = """
    function doTheWork(req, res, signal) {
      return new Promise(resolve => {
        const end = () => { res.writeHead(499).end(); resolve(); };
        signal.addEventListener("abort", end);
      });
    }
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listening = program.replace(".listen(8000)", f'.listen({port}, "127.0.0.1", () => console.log("ready"))')
    assert listening != program
    source = tmp_path / "service.js"
    source.write_text(work + listening)
    with subprocess.Popen(["node", str(source)], stdout=subprocess.PIPE) as node:
        try:
            assert node.stdout is not None
            assert node.stdout.readline() == b"ready\n"
            code = main([f"http://127.0.0.1:{port}/work", *SOON, *AS_SOMEBODY])
        finally:
            node.kill()
    assert code == 0, capsys.readouterr().out
