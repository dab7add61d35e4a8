"""The documents, taken apart: fenced blocks, tables and links, so that tests can hold them against the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `words` follow the language in its first line: `run=create`, `background`."""

    path: Path
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        return next((word.removeprefix("run=") for word in self.words if word.startswith("run=")), "")


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path, language: str | None = None, word: str | None = None) -> list[Block]:
    found = [
        Block(path, match[1], tuple(match[2].split()), match[3])
        for match in _FENCE.finditer(path.read_text(encoding="utf-8"))
    ]
    return [
        block
        for block in found
        if (language is None or block.language == language) and (word is None or word in block.words)
    ]


def prose(path: Path) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(path)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def tables(path: Path) -> list[list[list[str]]]:
    """Each table as rows of cells, without the line of dashes; `\\|` within a cell is a plain bar."""
    found: list[list[list[str]]] = []
    before = ""
    for line in prose(path).splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not all(set(cell) <= set("-:") for cell in cells) or not any(cells):
                found[-1].append(cells)
        before = line
    return found


def table_under(path: Path, *header: str) -> list[list[str]]:
    """The rows of the one table with this header. Raises AssertionError unless there is exactly one."""
    fitting = [table[1:] for table in tables(path) if tuple(table[0]) == header]
    assert len(fitting) == 1, f"{path.name} has {len(fitting)} tables with the header {header}"
    return fitting[0]
