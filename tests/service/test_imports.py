"""A service depends on nothing of the server."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
before = set(sys.modules)
import htq.service
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_the_library_loads_the_standard_library_and_nothing_else() -> None:
    # -S -E would hide the editable install, so what site itself loads is taken off by `before`.
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    loaded: list[str] = json.loads(output)
    ours = {name for name in loaded if name.split(".")[0] == "htq"}
    assert "htq.service.asgi" in ours
    assert {name for name in ours if not name.startswith("htq.service")} == {"htq"}
    others = {name.split(".")[0] for name in loaded} - {"htq"}
    assert others <= sys.stdlib_module_names | {"__mp_main__"}


def test_every_public_name_is_exported_once() -> None:
    import htq.service

    assert sorted(htq.service.__all__) == htq.service.__all__
    assert all(hasattr(htq.service, name) for name in htq.service.__all__)
