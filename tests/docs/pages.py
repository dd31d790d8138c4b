"""The pages as data: their code blocks and links; and running a page as its reader would.

A page is one program: its `python` blocks run from top to bottom in one module, those with `await` at the top level in an
event loop. What a block prints stands in the `text` block below it, to the letter.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(?P<language>\w*)$(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    """Number of its first line in the page."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(found["language"], found["text"].removeprefix("\n"), text.count("\n", 0, found.start()) + 2)
        for found in _FENCE.finditer(text)
    ]


def prose_of(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def links_of(page: Path) -> list[str]:
    return [found["target"] for found in _LINK.finditer(prose_of(page))]


def anchors_of(page: Path) -> set[str]:
    """What `#…` can name in a page, by the rule of the usual code hosts."""
    titles = [found["title"].lower() for found in _HEADING.finditer(prose_of(page))]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def program_of(page: Path) -> str:
    """The first `python` block of a page."""
    return next(block.text for block in blocks_of(page) if block.language == "python")


def output_below(page: Path, block: Block) -> str:
    """The `text` block that follows, before any other code; empty where there is none."""
    after = [other for other in blocks_of(page) if other.line > block.line]
    return after[0].text if after and after[0].language == "text" else ""


def run(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Each `python` block with what it has printed, and all in one event loop.

    The page's code is written into `folder` on the line numbers of the page: errors then name the page's lines.
    """
    code = [block for block in blocks_of(page) if block.language == "python"]
    lines = [""] * (page.read_text("utf-8").count("\n") + 1)
    for block in code:
        for offset, line in enumerate(block.text.splitlines()):
            lines[block.line - 1 + offset] = line
    file = folder / f"{page.stem}_page.py"
    file.write_text("\n".join(lines), "utf-8")
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules[module.__name__] = module
    try:
        with asyncio.Runner() as runner:
            for block in code:
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    compiled = _compiled(block, file)
                    if compiled.co_flags & inspect.CO_COROUTINE:
                        runner.run(eval(compiled, module.__dict__))
                    else:  # as in a program: no event loop runs, so the code may block
                        exec(compiled, module.__dict__)
                yield block, printed.getvalue()
    finally:
        del sys.modules[module.__name__]


def _compiled(block: Block, file: Path) -> CodeType:
    """A coroutine's code where the block awaits at the top level."""
    tree = ast.parse("\n" * (block.line - 1) + block.text, str(file))
    compiled: CodeType = compile(tree, str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return compiled
