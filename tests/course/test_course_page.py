"""What docs/course.md says of the exercises."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(tensorflow):
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    code, printed = found.groups()
    assert str(tensorflow(code)["printed"]) == printed


def test_the_table_has_every_exercise_and_names_what_is_there():
    rows = re.findall(r"^\| `(\d.*?\.py)` \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(path.name for path in (ROOT / "course").glob("*.py"))
    for _, ours in rows:
        found = re.findall(r"`([A-Za-z.]+)`(?: and `([A-Za-z.]+)`)? in `(.+?)`", ours)
        assert found, ours
        for *names, path in found:
            text = (ROOT / path).read_text(encoding="utf-8")
            for name in filter(None, names):
                for part in name.split("."):
                    assert re.search(rf"^ *(class|def) {part}\b", text, re.MULTILINE), f"{name} in {path}"
